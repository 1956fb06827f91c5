#include "engine/cli_overview.h"

#include "engine/json.h"
#include "engine/units.h"

static int64_t number(const struct json_value *object, const char *key)
{
    return json_as_integer(json_get(object, key), 0);
}

static const char *text(const struct json_value *object, const char *key)
{
    const char *found = json_as_text(json_get(object, key));
    return found ? found : "";
}

static bool flag(const struct json_value *object, const char *key)
{
    return json_as_bool(json_get(object, key), false);
}

/* Lanes that stand still hold no connection: that is no news. */
static void append_head(struct buf *out, const struct json_value *status)
{
    bool running = json_as_bool(json_get(status, "running"), true);
    if (!running) {
        buf_append_text(out, text(status, "note"));
    } else if (flag(status, "ready")) {
        buf_append_text(out, "ready");
    } else {
        buf_printf(out, "NOT READY: %s", text(status, "not_ready_because"));
    }
    if (flag(status, "paused")) {
        buf_append_text(out, "; PAUSED: `holdfast resume` ends that");
    } else if (running) {
        buf_append_text(out, flag(status, "connected")
                                 ? "; the database is connected"
                                 : "; the database is NOT connected");
    }
    buf_append_char(out, '\n');
}

static void append_journal(struct buf *out, const struct json_value *status)
{
    const struct json_value *journal = json_get(status, "journal");
    char used[UNITS_TEXT];
    char size[UNITS_TEXT];
    units_format_size((uint64_t)number(journal, "used_bytes"), used);
    units_format_size((uint64_t)number(journal, "size_max"), size);
    /* without an engine it is the journal's own count */
    const struct json_value *counts = json_get(status, "accepted") ? status : journal;
    buf_printf(out, "journal: %lld records accepted, ",
               (long long)number(counts, "accepted"));
    if (counts == status) {
        buf_printf(out, "%lld pending, ", (long long)number(counts, "pending"));
    }
    buf_printf(out, "%lld dead letters kept; %s of %s used%s\n",
               (long long)number(journal, "dead_letters"), used, size,
               flag(journal, "refusing") ? "; FULL, new batches are refused" : "");
}

static void append_lane(struct buf *out, const struct json_value *lane)
{
    struct buf name = {0};
    buf_printf(&name, "%s/%lld", text(lane, "stream"), (long long)number(lane, "lane"));
    buf_printf(out, "%-20s %-9s %10lld %12lld %10lld %7lld s %10lld %9lld\n",
               buf_text(&name) ? buf_text(&name) : "?",
               json_get(lane, "state") ? text(lane, "state") : "-",
               (long long)number(lane, "done_seq"), (long long)number(lane, "accepted"),
               (long long)number(lane, "pending"),
               (long long)number(lane, "pending_age_s"),
               (long long)number(lane, "rejected"), (long long)number(lane, "given_up"));
    buf_free(&name);
    if (*text(lane, "reason")) {
        buf_printf(out, "    %s\n", text(lane, "reason"));
    }
}

static void append_lanes(struct buf *out, const struct json_value *status)
{
    const struct json_value *lanes = json_get(status, "lanes");
    size_t count = json_count(lanes);
    if (count == 0) {
        buf_append_text(out, "no lanes: nothing was taken in yet\n");
        return;
    }
    buf_printf(out, "\n%-20s %-9s %10s %12s %10s %9s %10s %9s\n", "lane", "state",
               "applied to", "accepted", "pending", "for", "rejected", "given up");
    for (size_t i = 0; i < count; i++) {
        append_lane(out, json_item(lanes, i));
    }
}

static void append_checks(struct buf *out, const struct json_value *status)
{
    const struct json_value *checks = json_get(status, "checks");
    for (size_t i = 0; i < json_count(checks); i++) {
        const struct json_value *check = json_item(checks, i);
        if (*text(check, "failed")) {
            buf_printf(out, "check of %s failed: %s\n", text(check, "stream"),
                       text(check, "failed"));
        }
        if (flag(check, "tables_found")) {
            buf_printf(
                out, "check of %s: %s, %lld of %lld entities without events, at %s\n",
                text(check, "stream"), flag(check, "ok") ? "fine" : "BELOW the threshold",
                (long long)number(check, "without_events"),
                (long long)number(check, "entities"), text(check, "at"));
        }
    }
}

static void append_alerts(struct buf *out, const struct json_value *status)
{
    const struct json_value *raised = json_get(json_get(status, "alerts"), "raised");
    for (size_t i = 0; i < json_count(raised); i++) {
        const struct json_value *alert = json_item(raised, i);
        buf_printf(out, "ALERT %s (%s): %s\n", text(alert, "rule"),
                   text(alert, "severity"), text(alert, "summary"));
    }
}

bool cli_overview(struct slice json, struct buf *out)
{
    struct json_value *status = json_parse(json);
    bool known = status && json_get(status, "journal") && json_get(status, "lanes");
    if (known) {
        append_head(out, status);
        append_journal(out, status);
        append_lanes(out, status);
        append_checks(out, status);
        append_alerts(out, status);
    }
    json_value_free(status);
    return known;
}
