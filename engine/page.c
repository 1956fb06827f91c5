#include "engine/page.h"
#include "engine/report.h"
#include "holdfast_version.h"

static const char head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    "<meta http-equiv=\"refresh\" content=\"5\"><title>Holdfast</title><style>"
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem "
    "auto;max-width:60rem;padding:0 1rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8886}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".bad{font-weight:bold;color:#c22}.scroll{overflow-x:auto}</style></head><body>";

/* Whatever a value holds, it is shown as text. */
static void put_text(struct buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            buf_append_text(out, "&lt;");
            break;
        case '>':
            buf_append_text(out, "&gt;");
            break;
        case '&':
            buf_append_text(out, "&amp;");
            break;
        case '"':
            buf_append_text(out, "&quot;");
            break;
        default:
            buf_append_char(out, *text);
        }
    }
}

static void put_number(struct buf *out, uint64_t value)
{
    buf_printf(out, "<td class=\"n\">%llu</td>", (unsigned long long)value);
}

static void put_lane(struct buf *out, const struct report_lane *lane, int64_t wall_us)
{
    static const struct lane_status none;
    const struct lane_status *status = lane->replay ? lane->replay : &none;
    bool bad =
        lane->replay && (status->state == LANE_STOPPED || status->state == LANE_ORPHANED);
    buf_append_text(out, "<tr><td>");
    put_text(out, lane->journal.stream);
    buf_printf(out, "</td><td class=\"n\">%u</td><td%s>", lane->journal.lane,
               bad ? " class=\"bad\"" : "");
    put_text(out, lane->replay ? lane_state_name(status->state) : "settled");
    buf_append_text(out, "</td>");
    put_number(out, lane->journal.running);
    put_number(out, report_pending(lane));
    buf_printf(out, "<td class=\"n\">%.0f</td>", report_pending_age_s(lane, wall_us));
    put_number(out, status->ledger.events);
    put_number(out, status->ledger.duplicates);
    put_number(out, status->ledger.conflicts);
    buf_append_text(out, "<td>");
    put_text(out, status->reason.message);
    buf_append_text(out, "</td></tr>");
}

static void put_lanes(struct buf *out, const struct report *report, int64_t wall_us)
{
    buf_append_text(out,
                    "<h2>Lanes</h2><div class=\"scroll\"><table><tr><th>stream</th>"
                    "<th class=\"n\">lane</th><th>state</th><th class=\"n\">accepted</th>"
                    "<th class=\"n\">pending</th><th class=\"n\">oldest, s</th>"
                    "<th class=\"n\">events</th><th class=\"n\">duplicates</th>"
                    "<th class=\"n\">conflicts</th><th>reason</th></tr>");
    for (size_t i = 0; i < report->lane_count; i++) {
        put_lane(out, &report->lanes[i], wall_us);
    }
    buf_append_text(out, "</table></div>");
}

static void put_health(struct buf *out, struct engine *engine,
                       const struct report *report)
{
    struct err why = {0};
    bool ready = engine_ready(engine, &why);
    buf_append_text(out, "<h1>Holdfast</h1><p>");
    if (ready) {
        buf_append_text(out, "Taking records. ");
    } else {
        buf_append_text(out, "<span class=\"bad\">Refusing records: ");
        put_text(out, why.message);
        buf_append_text(out, "</span> ");
    }
    buf_append_text(out,
                    report->replay.connected
                        ? "The database is connected. "
                        : "<span class=\"bad\">The database does not answer.</span> ");
    if (report->replay.paused) {
        buf_append_text(out, "<span class=\"bad\">Paused.</span>");
    }
    const struct journal_stat *stat = &report->stat;
    buf_printf(out,
               "</p><p>Journal: %.1f %% of %.1f GiB used, %llu dead letters kept. "
               "Version " HOLDFAST_VERSION ".</p>",
               100.0 * (double)stat->used_bytes / (double)stat->size_max,
               (double)stat->size_max / (1 << 30),
               (unsigned long long)stat->dead_letters);
}

int page_make(struct engine *engine, struct buf *out, struct err *err)
{
    struct report report;
    if (report_make(engine, &report, err) != ERR_OK) {
        return err->code;
    }
    buf_append_text(out, head);
    put_health(out, engine, &report);
    put_lanes(out, &report, clock_wall_us(&clock_system));
    buf_append_text(out, "<p><a href=\"/v1/status\">status as JSON</a> · "
                         "<a href=\"/metrics\">metrics</a></p></body></html>");
    report_free(&report);
    return out->failed ? err_set(err, ERR_NOMEM, 0, "no memory for the page") : ERR_OK;
}
