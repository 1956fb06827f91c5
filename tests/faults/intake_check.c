#include "tests/faults/intake.h"

#include "journal/journal.h"
#include "schema/record.h"
#include "tests/specs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHECK_TIMEOUT_S = 120 };

/* ---- Reading ----------------------------------------------------------------------- */

static bool gather_letter(const struct journal_dead_entry *entry, void *context)
{
    struct buf *text = context;
    buf_printf(text, "%u %s ", entry->letter.index, entry->letter.reason);
    buf_append_slice(text, entry->letter.bytes);
    buf_append_char(text, '\n');
    return true;
}

/* The entry as a part; free it with free_part. */
static int read_part(struct journal *journal, uint64_t seq, struct intake_part *out,
                     uint64_t *out_batch_seq, struct err *err)
{
    struct journal_entries entries = {0};
    *out = (struct intake_part){0};
    int code = journal_read_entry(journal, seq, &entries, err);
    if (code == ERR_OK) {
        const struct journal_entry *entry = &entries.items[0];
        (void)snprintf(out->stream, sizeof out->stream, "%s", entry->stream);
        out->lane = entry->lane;
        out->records = entry->records;
        *out_batch_seq = entry->batch_seq;
        buf_append_slice(&out->payload, entry->payload);
        code = journal_dead_letters_visit(journal, seq, seq, gather_letter, &out->letters,
                                          err);
    }
    journal_entries_free(&entries);
    return code;
}

static void free_part(struct intake_part *part)
{
    buf_free(&part->payload);
    buf_free(&part->letters);
}

static bool are_alike(const struct intake_part *a, const struct intake_part *b)
{
    return a->records == b->records && a->lane == b->lane &&
           strcmp(a->stream, b->stream) == 0 &&
           slice_equal(buf_slice(&a->payload), buf_slice(&b->payload)) &&
           slice_equal(buf_slice(&a->letters), buf_slice(&b->letters));
}

/* ---- Learning ---------------------------------------------------------------------- */

/* The rows of a part are lines of the body: each line's ip and isp, which name it. */
static int compare_rows(const struct intake_batch *batch, const struct intake_part *part,
                        uint32_t *rows, struct err *err)
{
    struct stream_spec spec = botnet_spec(part->stream);
    struct stream *stream = NULL;
    struct record_decoder *decoder = NULL;
    int code = stream_new(&spec, &stream, NULL, err);
    if (code != ERR_OK) {
        return code;
    }
    code = record_decoder_new(stream, buf_slice(&part->payload), &decoder, err);
    struct value *values = calloc(stream->field_count, sizeof *values);
    struct reject reject;
    while (code == ERR_OK && values != NULL) {
        code = record_decoder_next(decoder, values, &reject, err);
        struct buf json = {0};
        if (code == ERR_OK) {
            record_decoder_append_json(decoder, &json);
            const char *ip = strstr(buf_text(&json), "\"ip\":\"");
            const char *end = ip ? strchr(ip + 6, '"') : NULL;
            bool found = end && memmem(batch->body.data, batch->body.len, ip,
                                       (size_t)(end - ip) + 1) != NULL;
            *rows += 1;
            code = found ? ERR_OK
                         : err_set(err, ERR_CORRUPT, 0, "a row was never sent: %.200s",
                                   buf_text(&json));
        }
        buf_free(&json);
    }
    free(values);
    record_decoder_free(decoder);
    stream_free(stream);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static int learn_batch(struct intake_batch *batch, const struct intake_line *line,
                       struct journal *journal, struct err *err)
{
    uint64_t batch_seq = 0;
    uint32_t records = 0;
    uint32_t rows = 0;
    int code = ERR_OK;
    while (code == ERR_OK && records < batch->records &&
           batch->part_count < INTAKE_PARTS_MAX) {
        struct intake_part *part = &batch->parts[batch->part_count];
        code = read_part(journal, line->seq + batch->part_count, part, &batch_seq, err);
        batch->part_count++;
        records += part->records;
        if (code == ERR_OK && batch_seq != line->seq) {
            code = err_set(err, ERR_CORRUPT, 0, "another batch lies in between");
        }
        code = code != ERR_OK ? code : compare_rows(batch, part, &rows, err);
    }
    bool good = records == batch->records && rows == batch->records - batch->bad &&
                line->accepted == batch->records && line->dead_lettered == batch->bad;
    return code != ERR_OK || good
               ? code
               : err_set(err, ERR_CORRUPT, 0,
                         "a batch of %u records, %u of them bad, became %u with %u rows",
                         batch->records, batch->bad, records, rows);
}

int intake_learn(struct intake_work *work, const struct intake_line *lines,
                 const char *path, struct err *err)
{
    struct journal *journal = NULL;
    int code = journal_open_reader(path, &journal, err);
    for (uint32_t i = 0; code == ERR_OK && i < work->count; i++) {
        code = lines[i].fate == INTAKE_ACKED
                   ? learn_batch(&work->batches[i], &lines[i], journal, err)
                   : err_set(err, ERR_CORRUPT, 0, "batch %u was not taken: %d", i,
                             lines[i].status);
    }
    journal_close(journal);
    return code;
}

/* ---- Comparing --------------------------------------------------------------------- */

struct comparison {
    const struct intake_work *work;
    struct journal *journal;
    uint32_t *seen; /* how often each batch is there whole */
    uint64_t *seqs; /* where, the last time */
    enum layer_verdict verdict;
};

/* The batch that begins with this part; -1: none does. */
static int64_t recognise(const struct intake_work *work, const struct intake_part *part)
{
    for (uint32_t i = 0; i < work->count; i++) {
        if (are_alike(&work->batches[i].parts[0], part)) {
            return i;
        }
    }
    return -1;
}

/* The batch at `seq`; returns how many entries it has, 0: no sense in going on. */
static uint64_t take_batch(struct comparison *c, uint64_t seq, uint64_t next_seq)
{
    struct intake_part part;
    struct err err = {0};
    uint64_t batch_seq = 0;
    int64_t number = -1;
    size_t p = 0;
    bool good = true;
    for (size_t count = 1; good && p < count; p++) {
        if (seq + p >= next_seq ||
            read_part(c->journal, seq + p, &part, &batch_seq, &err) != ERR_OK) {
            c->verdict = layer_broken("I4", "entry %" PRIu64 ": %s", seq + p,
                                      err.code ? err.message : "its batch is cut off");
            return 0;
        }
        number = p == 0 ? recognise(c->work, &part) : number;
        good = number >= 0 && batch_seq == seq &&
               are_alike(&c->work->batches[number].parts[p], &part);
        count = good ? c->work->batches[number].part_count : 0;
        free_part(&part);
    }
    if (!good) {
        c->verdict = layer_broken("I2", "entry %" PRIu64 " is of no batch that was sent",
                                  seq + p - 1);
        return 0;
    }
    c->seen[number]++;
    c->seqs[number] = seq;
    return p;
}

static void judge(struct comparison *c, uint32_t number, const struct intake_line *line)
{
    uint32_t seen = c->seen[number];
    if (line->fate == INTAKE_STRANGE) {
        c->verdict = layer_broken("I7", "batch %u was answered %d", number, line->status);
    } else if (line->fate == INTAKE_ACKED &&
               (seen != 1 || c->seqs[number] != line->seq)) {
        c->verdict = layer_broken("I1",
                                  "batch %u was acknowledged as %" PRIu64
                                  " and is there %u times, at "
                                  "%" PRIu64,
                                  number, line->seq, seen, c->seqs[number]);
    } else if (line->fate == INTAKE_UNKNOWN && seen > 1) {
        c->verdict = layer_broken("I1", "batch %u was sent once and is there %u times",
                                  number, seen);
    } else if (line->fate == INTAKE_UNSENT && seen > 0) {
        c->verdict =
            layer_broken("I2", "batch %u was not sent, or refused, and is there", number);
    }
}

static void compare(struct comparison *c, const struct intake_line *lines,
                    const char *path)
{
    struct journal_stat stat = {0};
    struct journal_verify_result result;
    struct err err = {0};
    if (journal_verify(path, NULL, NULL, &result, &err) != ERR_OK ||
        journal_open_reader(path, &c->journal, &err) != ERR_OK ||
        journal_stat(c->journal, &stat, &err) != ERR_OK) {
        c->verdict = layer_broken("I5", "%s", err.message);
        return;
    }
    uint64_t records = 0;
    uint64_t entries = 1;
    for (uint64_t seq = 1; seq < stat.next_seq && entries > 0; seq += entries) {
        entries = take_batch(c, seq, stat.next_seq);
    }
    for (uint32_t i = 0; entries > 0 && i < c->work->count; i++) {
        records += (uint64_t)c->seen[i] * c->work->batches[i].records;
        judge(c, i, &lines[i]);
    }
    if (entries > 0 && records != stat.records) {
        c->verdict =
            layer_broken("I3", "%" PRIu64 " records are there, %" PRIu64 " counted",
                         records, stat.records);
    }
    journal_close(c->journal);
}

enum layer_verdict intake_check(const struct intake_work *work,
                                const struct intake_line *lines, const char *journal)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct comparison c = {.work = work, .verdict = LAYER_HELD};
        (void)alarm(CHECK_TIMEOUT_S);
        c.seen = calloc(work->count, sizeof *c.seen);
        c.seqs = calloc(work->count, sizeof *c.seqs);
        if (c.seen == NULL || c.seqs == NULL) {
            c.verdict = layer_broken("I5", "no memory for the check");
        } else {
            compare(&c, lines, journal);
        }
        (void)fflush(stdout);
        _exit((int)c.verdict);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return layer_broken("I5", "reading the journal ended with %x", (unsigned)status);
    }
    return WEXITSTATUS(status) == LAYER_HELD ? LAYER_HELD : LAYER_BROKEN;
}
