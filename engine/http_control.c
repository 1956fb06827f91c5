#include "engine/http_control.h"

#include "engine/json.h"
#include "engine/letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUM_TEXT_LEN = 2 * JOURNAL_SUM_LEN, CONTROL_SET_MAX = 512 };

static unsigned status_of(enum err_code code)
{
    return code == ERR_NOT_FOUND ? MHD_HTTP_NOT_FOUND
           : code == ERR_INVALID ? MHD_HTTP_BAD_REQUEST
                                 : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static enum MHD_Result refuse(struct request *request, const struct err *err)
{
    return request_refuse(request, status_of(err->code), err);
}

/* ---- Pause and resume ------------------------------------------------------------ */

static enum MHD_Result set_paused(struct request *request, bool paused)
{
    struct err err = {0};
    if (replay_pause(engine_replay(request->http->engine), paused, &err) != ERR_OK) {
        return refuse(request, &err);
    }
    return request_answer_ok(request);
}

enum MHD_Result http_control_pause(struct request *request)
{
    return set_paused(request, true);
}

enum MHD_Result http_control_resume(struct request *request)
{
    return set_paused(request, false);
}

/* ---- One lane -------------------------------------------------------------------- */

/* Absent: as *out is. */
static int read_number(const struct request *request, const char *name, uint64_t *out,
                       struct err *err)
{
    const char *text = request_argument(request, name);
    char *end = NULL;
    if (!text) {
        return ERR_OK;
    }
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end) {
        return err_set(err, ERR_INVALID, 0, "%s '%.40s' is not a whole number", name,
                       text);
    }
    *out = number;
    return ERR_OK;
}

struct lane_name {
    const char *stream;
    uint32_t lane;
};

static int read_lane(const struct request *request, struct lane_name *out,
                     struct err *err)
{
    uint64_t number = 0;
    out->stream = request_argument(request, "stream");
    int code = read_number(request, "lane", &number, err);
    if (code == ERR_OK && (!out->stream || number > UINT32_MAX)) {
        code = err_set(err, ERR_INVALID, 0, "name the lane as ?stream=NAME&lane=NUMBER");
    }
    out->lane = (uint32_t)number;
    return code;
}

enum MHD_Result http_control_accept_dead(struct request *request)
{
    struct err err = {0};
    struct lane_name lane;
    int code = read_lane(request, &lane, &err);
    code = code ? code
                : replay_accept_dead(engine_replay(request->http->engine), lane.stream,
                                     lane.lane, &err);
    return code ? refuse(request, &err) : request_answer_ok(request);
}

/* ---- Gaps ------------------------------------------------------------------------ */

static enum MHD_Result answer_gap(struct request *request, const struct lane_name *lane,
                                  const struct journal_gap *gap)
{
    char sum[SUM_TEXT_LEN + 1];
    struct json_writer *json = json_new();
    if (!json) {
        return MHD_NO;
    }
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        snprintf(sum + 2 * i, 3, "%02x", gap->to.sum[i]);
    }
    json_object(json);
    json_put_text(json, "stream", lane->stream);
    json_put_unsigned(json, "lane", lane->lane);
    json_put_unsigned(json, "first_seq", gap->first_seq);
    json_put_unsigned(json, "to", gap->to.seq);
    json_put_text(json, "sum", sum);
    json_put_unsigned(json, "records", gap->records - gap->dead_letters);
    json_put_unsigned(json, "dead_letters", gap->dead_letters);
    json_object_end(json);
    return request_answer_json(request, json);
}

enum MHD_Result http_control_gap(struct request *request)
{
    struct err err = {0};
    struct lane_name lane;
    struct journal_gap gap;
    int code = read_lane(request, &lane, &err);
    code = code ? code
                : replay_gap_find(engine_replay(request->http->engine), lane.stream,
                                  lane.lane, &gap, &err);
    return code ? refuse(request, &err) : answer_gap(request, &lane, &gap);
}

static bool read_sum(const char *text, uint8_t out_sum[JOURNAL_SUM_LEN])
{
    if (!text || strlen(text) != SUM_TEXT_LEN ||
        strspn(text, "0123456789abcdef") != SUM_TEXT_LEN) {
        return false;
    }
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out_sum[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

enum MHD_Result http_control_accept_gap(struct request *request)
{
    struct err err = {0};
    struct lane_name lane;
    struct journal_position to = {0};
    int code = read_lane(request, &lane, &err);
    code = code ? code : read_number(request, "to", &to.seq, &err);
    if (code == ERR_OK && !read_sum(request_argument(request, "sum"), to.sum)) {
        code = err_set(&err, ERR_INVALID, 0,
                       "name the gap's end as &to=SEQ&sum=HEX, as GET /control/gap does");
    }
    code = code ? code
                : replay_gap_accept(engine_replay(request->http->engine), lane.stream,
                                    lane.lane, &to, &err);
    return code ? refuse(request, &err) : request_answer_ok(request);
}

/* ---- Dead letters ---------------------------------------------------------------- */

static int read_time(const struct request *request, const char *name, int64_t *out,
                     struct err *err)
{
    uint64_t time_us = 0;
    int code = read_number(request, name, &time_us, err);
    if (code == ERR_OK && request_argument(request, name)) {
        *out = (int64_t)(time_us > INT64_MAX ? INT64_MAX : time_us);
    }
    return code;
}

static int read_filter(const struct request *request, struct letters_filter *out,
                       struct err *err)
{
    uint64_t index = 0;
    letters_filter_all(out);
    out->stream = request_argument(request, "stream");
    out->reason = request_argument(request, "reason");
    out->one = request_argument(request, "index") != NULL;
    int code = read_number(request, "from", &out->from_seq, err);
    code = code ? code : read_number(request, "to", &out->to_seq, err);
    code = code ? code : read_number(request, "index", &index, err);
    code = code ? code : read_time(request, "since_us", &out->since_us, err);
    code = code ? code : read_time(request, "until_us", &out->until_us, err);
    out->index = (uint32_t)index;
    return code;
}

enum MHD_Result http_control_purge(struct request *request)
{
    struct err err = {0};
    struct letters_filter filter;
    uint64_t purged = 0;
    char text[64];
    int code = read_filter(request, &filter, &err);
    code = code ? code
                : letters_purge(engine_journal(request->http->engine), &filter, &purged,
                                &err);
    if (code != ERR_OK) {
        return refuse(request, &err);
    }
    snprintf(text, sizeof text, "{\"purged\":%" PRIu64 "}", purged);
    return request_answer(request, MHD_HTTP_OK, "application/json", slice_text(text));
}

/* "set0", "set1" ... until one is absent. */
static int read_sets(const struct request *request, char texts[][CONTROL_SET_MAX],
                     struct letters_set *sets, size_t *out_count, struct err *err)
{
    size_t count = 0;
    for (; count < LETTERS_SETS_MAX; count++) {
        char name[32];
        snprintf(name, sizeof name, "set%zu", count);
        const char *text = request_argument(request, name);
        if (!text) {
            break;
        }
        snprintf(texts[count], CONTROL_SET_MAX, "%s", text);
        if (strlen(text) >= CONTROL_SET_MAX ||
            !letters_parse_set(texts[count], &sets[count])) {
            return err_set(err, ERR_INVALID, 0,
                           "%s is not FIELD=VALUE, of at most %d bytes", name,
                           CONTROL_SET_MAX - 1);
        }
    }
    *out_count = count;
    return ERR_OK;
}

enum MHD_Result http_control_retry(struct request *request)
{
    struct err err = {0};
    struct letters_filter filter;
    struct letters_set sets[LETTERS_SETS_MAX];
    char texts[LETTERS_SETS_MAX][CONTROL_SET_MAX];
    struct engine *engine = request->http->engine;
    struct letters_retry retry = {.filter = &filter,
                                  .sets = sets,
                                  .rules = engine_intake_rules(engine),
                                  .execute = true};
    struct letters_retried retried;
    int code = read_filter(request, &filter, &err);
    code = code ? code : read_sets(request, texts, sets, &retry.set_count, &err);
    code = code ? code : letters_retry(engine_journal(engine), &retry, &retried, &err);
    if (code != ERR_OK) {
        return refuse(request, &err);
    }
    struct json_writer *json = json_new();
    if (!json) {
        return MHD_NO;
    }
    letters_put_retried(json, &retried);
    return request_answer_json(request, json);
}
