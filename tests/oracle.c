/* tests/oracle.c: see oracle.h. */
#include "tests/oracle.h"

#include "tests/oracle_rows.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one batch without an answer: its own events that are there, and that are not. */
struct tally {
    uint32_t present;
    uint32_t absent;
};

/* One stream's comparison. */
struct check {
    const char *stream; /* for messages, "all:" where it is about none */
    struct facts facts;
    struct event_rows events;
    struct node_rows nodes;
    struct tally *tallies; /* for each batch of all logs */
    const struct oracle_context *context;
    struct oracle_report *report;
};

__attribute__((format(printf, 4, 5))) static void
differ(struct check *check, uint64_t *counter, uint32_t ip, const char *format, ...)
{
    struct oracle_report *report = check->report;
    (*counter)++;
    if (report->difference_count == ORACLE_DIFFERENCES_MAX)
        return;
    char *text = report->differences[report->difference_count++];
    char ip_text[INET_ADDRSTRLEN];
    struct in_addr address = {.s_addr = htonl(ip)};
    (void)inet_ntop(AF_INET, &address, ip_text, sizeof ip_text);
    int len = snprintf(text, ORACLE_TEXT_MAX, "%s %s ", check->stream, ip_text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text + len, ORACLE_TEXT_MAX - (size_t)len, format, args);
    va_end(args);
}

static int compare_keys(uint32_t ip, int64_t time_s, uint32_t other_ip, int64_t other_s)
{
    if (ip != other_ip)
        return ip < other_ip ? -1 : 1;
    return (time_s > other_s) - (time_s < other_s);
}

/* Facts of one event key: first to first + count - 1. */
static size_t group_length(const struct facts *facts, size_t first)
{
    const struct fact *head = &facts->items[first];
    size_t end = first + 1;
    while (end < facts->count && facts->items[end].ip == head->ip &&
           facts->items[end].time_s == head->time_s)
        end++;
    return end - first;
}

static bool any_sure(const struct fact *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (group[i].sure)
            return true;
    }
    return false;
}

/* The order of these facts is known: one log, and each taken once at its place. */
static bool all_ordered(const struct fact *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!group[i].ordered || group[i].log != group[0].log)
            return false;
    }
    return true;
}

/* Content that only one batch has tells whether that batch was taken. */
static void tally(struct check *check, const struct fact *group, size_t count,
                  bool present)
{
    for (size_t i = 0; i < count; i++) {
        if (group[i].sure || group[i].batch != group[0].batch)
            return;
    }
    struct tally *own = &check->tallies[group[0].batch];
    own->present += present;
    own->absent += !present;
}

static void check_content(struct check *check, const struct fact *group, size_t count,
                          const struct event_row *row)
{
    size_t among = all_ordered(group, count) ? 1 : count;
    for (size_t i = 0; i < among; i++) {
        if (group[i].event == row->event && group[i].city == row->city)
            return;
    }
    differ(check, &check->report->altered, row->ip,
           "at %lld has event type %d and city %d; sent: %d and %d",
           (long long)row->time_s, row->event, row->city, group[0].event, group[0].city);
}

static void check_group(struct check *check, const struct fact *group, size_t count,
                        const struct event_row *row)
{
    tally(check, group, count, row != NULL);
    if (row)
        check_content(check, group, count, row);
    else if (any_sure(group, count))
        differ(check, &check->report->lost, group->ip,
               "at %lld was acknowledged and is not there (seq %llu, row %u)",
               (long long)group->time_s, (unsigned long long)group->order, group->row);
}

static void check_events(struct check *check)
{
    size_t fact = 0;
    size_t row = 0;
    while (fact < check->facts.count || row < check->events.count) {
        const struct fact *group = &check->facts.items[fact];
        const struct event_row *found = &check->events.items[row];
        int order;
        if (fact == check->facts.count)
            order = 1;
        else if (row == check->events.count)
            order = -1;
        else
            order = compare_keys(group->ip, group->time_s, found->ip, found->time_s);
        if (order > 0) {
            bool again = row > 0 && compare_keys(found->ip, found->time_s, found[-1].ip,
                                                 found[-1].time_s) == 0;
            differ(check, again ? &check->report->repeated : &check->report->foreign,
                   found->ip, "at %lld is there %s", (long long)found->time_s,
                   again ? "once more" : "and was never sent");
            row++;
            continue;
        }
        size_t count = group_length(&check->facts, fact);
        check_group(check, group, count, order == 0 ? found : NULL);
        fact += count;
        row += order == 0;
    }
}

static int compare_order(const void *left, const void *right)
{
    const struct fact *a = left;
    const struct fact *b = right;
    if (a->ip != b->ip)
        return a->ip < b->ip ? -1 : 1;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* What the newest record that carries it says, in the order of seq. */
static void check_latest(struct check *check, const struct fact *group, size_t count,
                         const struct node_row *node)
{
    if (!all_ordered(group, count))
        return;
    int64_t last_s = group[0].time_s;
    int city = SAMPLE_NONE;
    int status = 0;
    for (size_t i = 0; i < count; i++) {
        if (group[i].time_s < last_s)
            continue;
        last_s = group[i].time_s;
        city = group[i].city != SAMPLE_NONE ? group[i].city : city;
        status = group[i].status != SAMPLE_NONE ? group[i].status : status;
    }
    if (node->city != city || node->status != status)
        differ(check, &check->report->altered, node->ip,
               "has city %d and status %d; the newest records say %d and %d", node->city,
               node->status, city, status);
}

/* One entity and its events. */
static void check_node(struct check *check, const struct node_row *node,
                       const struct event_row *events, size_t count)
{
    struct oracle_report *report = check->report;
    if (count == 0) {
        differ(check, &report->entities_without_events, node->ip,
               "is an entity without an event");
        return;
    }
    if (node->count != (int64_t)count)
        differ(check, &report->count_mismatches, node->ip,
               "counts %lld communications and has %zu", (long long)node->count, count);
    if (node->first_s != events[0].time_s || node->last_s != events[count - 1].time_s)
        differ(check, &report->altered, node->ip,
               "is seen from %lld to %lld; its events are from %lld to %lld",
               (long long)node->first_s, (long long)node->last_s,
               (long long)events[0].time_s, (long long)events[count - 1].time_s);
    for (size_t i = 0; i < count; i++) {
        if (events[i].node_id != node->id)
            differ(check, &report->altered, node->ip, "has an event of entity %lld",
                   (long long)events[i].node_id);
    }
}

static size_t count_ip(const struct event_rows *events, size_t first, uint32_t ip)
{
    size_t end = first;
    while (end < events->count && events->items[end].ip == ip)
        end++;
    return end - first;
}

static void check_nodes(struct check *check)
{
    size_t event = 0;
    size_t fact = 0;
    for (size_t i = 0; i < check->nodes.count; i++) {
        const struct node_row *node = &check->nodes.items[i];
        while (event < check->events.count && check->events.items[event].ip < node->ip) {
            differ(check, &check->report->entities_lost, check->events.items[event].ip,
                   "has an event and is no entity");
            event++;
        }
        size_t count = count_ip(&check->events, event, node->ip);
        check_node(check, node, &check->events.items[event], count);
        event += count;
        while (fact < check->facts.count && check->facts.items[fact].ip < node->ip)
            fact++;
        size_t first = fact;
        while (fact < check->facts.count && check->facts.items[fact].ip == node->ip)
            fact++;
        if (fact > first && count > 0)
            check_latest(check, &check->facts.items[first], fact - first, node);
    }
    for (; event < check->events.count; event++)
        differ(check, &check->report->entities_lost, check->events.items[event].ip,
               "has an event and is no entity");
}

static int check_stream(struct st_mysql *session, const struct oracle_log *logs,
                        size_t log_count, struct check *check, struct err *err)
{
    int code = oracle_facts(logs, log_count, check->stream, &check->facts, err);
    if (code == 0)
        code = oracle_events(session, check->stream, &check->events, err);
    if (code == 0)
        code = oracle_nodes(session, check->stream, &check->nodes, err);
    if (code == 0) {
        check_events(check);
        qsort(check->facts.items, check->facts.count, sizeof *check->facts.items,
              compare_order);
        check_nodes(check);
        check->report->events += check->events.count;
        check->report->entities += check->nodes.count;
    }
    free(check->facts.items);
    free(check->events.items);
    free(check->nodes.items);
    check->facts = (struct facts){0};
    check->events = (struct event_rows){0};
    check->nodes = (struct node_rows){0};
    return code;
}

static bool seen_before(const struct oracle_log *logs, size_t log, uint32_t stream)
{
    const char *name = logs[log].sample->config.streams[stream];
    for (size_t i = 0; i <= log; i++) {
        uint32_t end = i < log ? logs[i].sample->config.stream_count : stream;
        for (uint32_t s = 0; s < end; s++) {
            if (strcmp(logs[i].sample->config.streams[s], name) == 0)
                return true;
        }
    }
    return false;
}

static int check_streams(struct st_mysql *session, const struct oracle_log *logs,
                         size_t log_count, struct check *check, struct err *err)
{
    int code = 0;
    for (size_t i = 0; i < log_count; i++) {
        for (uint32_t s = 0; s < logs[i].sample->config.stream_count && code == 0; s++) {
            if (seen_before(logs, i, s))
                continue;
            check->stream = logs[i].sample->config.streams[s];
            code = check_stream(session, logs, log_count, check, err);
        }
    }
    return code;
}

/* Sends that may have been taken beyond what the answers say: which sums of records are
 * possible, as bits. */
struct extras {
    uint64_t *sums;
    uint64_t records; /* all of them */
    uint64_t dead;
};

static void extras_add(struct extras *extras, uint32_t records)
{
    extras->records += records;
    for (uint64_t sum = extras->records + 1; sum-- > records;) {
        uint64_t from = sum - records;
        if (extras->sums[from / 64] >> (from % 64) & 1)
            extras->sums[sum / 64] |= UINT64_C(1) << (sum % 64);
    }
}

/* How often a batch may have been taken besides what its answer says. */
static uint32_t extra_sends(const struct sample_batch *batch,
                            const struct feeder_line *line)
{
    if (batch->key[0] == '\0')
        return line->unknown;
    return line->state != FEEDER_ACKED && line->unknown > 0;
}

static void sum_batch(struct check *check, const struct sample_batch *batch,
                      const struct feeder_line *line, struct extras *extras)
{
    struct oracle_report *report = check->report;
    uint32_t extra = extra_sends(batch, line);
    bool acked = line->state == FEEDER_ACKED;
    report->sent += acked || line->unknown > 0 ? batch->record_count : 0;
    report->unsettled += (uint64_t)batch->record_count * extra;
    for (uint32_t i = 0; i < extra; i++) {
        extras_add(extras, batch->record_count);
        extras->dead += batch->bad_count;
    }
    if (!acked)
        return;
    report->told += line->accepted;
    report->told_dead += line->dead_lettered;
    if (line->accepted != batch->record_count || line->dead_lettered != batch->bad_count)
        differ(check, &report->answers_wrong, 0,
               "seq %llu: told %u accepted and %u dead letters; the batch has %u and %u",
               (unsigned long long)line->seq, line->accepted, line->dead_lettered,
               batch->record_count, batch->bad_count);
}

static void check_law(struct check *check, const struct ledger_sums *ledger,
                      const struct extras *extras)
{
    struct oracle_report *report = check->report;
    uint64_t accepted = check->context->accepted;
    uint64_t extra = accepted - report->told;
    bool possible =
        extra <= extras->records && (extras->sums[extra / 64] >> (extra % 64) & 1) != 0;
    if (!possible || ledger->records > accepted)
        differ(check, &report->law_broken, 0,
               "the journal accepted %llu records, %llu were acknowledged, %llu are in "
               "the ledger; sends without answer can't explain it",
               (unsigned long long)accepted, (unsigned long long)report->told,
               (unsigned long long)ledger->records);
    uint64_t dead = accepted - ledger->events - ledger->duplicates - ledger->conflicts;
    uint64_t told = report->told_dead + check->context->replay_dead;
    if (dead - told > (extra == 0 ? 0 : extras->dead))
        differ(check, &report->law_broken, 0,
               "%llu of the accepted records are neither events nor duplicates nor "
               "conflicts; dead letters were %llu",
               (unsigned long long)dead, (unsigned long long)told);
    if (ledger->events != report->events)
        differ(check, &report->law_broken, 0, "%llu new events in the ledger, %llu there",
               (unsigned long long)ledger->events, (unsigned long long)report->events);
    report->accepted = accepted;
    report->dead = dead;
    report->duplicates = ledger->duplicates;
    report->conflicts = ledger->conflicts;
}

/* Visits every batch of every log; index counts over all of them. */
static void each_batch(const struct oracle_log *logs, size_t log_count,
                       void (*visit)(const struct sample_batch *batch,
                                     const struct feeder_line *line, uint32_t index,
                                     void *context),
                       void *context)
{
    uint32_t index = 0;
    for (size_t i = 0; i < log_count; i++) {
        for (uint32_t b = 0; b < logs[i].sample->batch_count; b++)
            visit(&logs[i].sample->batches[b], &logs[i].lines[b], index++, context);
    }
}

static void add_extra(const struct sample_batch *batch, const struct feeder_line *line,
                      uint32_t index, void *context)
{
    uint64_t *total = context;
    (void)index;
    *total += (uint64_t)batch->record_count * extra_sends(batch, line);
}

struct sums {
    struct check *check;
    struct extras extras;
};

static void check_batch(const struct sample_batch *batch, const struct feeder_line *line,
                        uint32_t index, void *context)
{
    struct sums *sums = context;
    const struct tally *own = &sums->check->tallies[index];
    sum_batch(sums->check, batch, line, &sums->extras);
    if (own->present > 0 && own->absent > 0)
        differ(sums->check, &sums->check->report->torn, 0,
               "batch %u had no answer: %u of its events are there, %u not", index,
               own->present, own->absent);
}

static int check_sums(struct st_mysql *session, const struct oracle_log *logs,
                      size_t log_count, struct check *check, struct err *err)
{
    struct ledger_sums ledger;
    int code = oracle_ledger(session, &ledger, err);
    if (code != 0)
        return code;
    uint64_t most = 0;
    each_batch(logs, log_count, add_extra, &most);
    struct sums sums = {.check = check};
    sums.extras.sums = calloc(most / 64 + 1, sizeof *sums.extras.sums);
    if (!sums.extras.sums)
        return err_set(err, ERR_NOMEM, 0, "no memory for the oracle's sums");
    sums.extras.sums[0] = 1;
    each_batch(logs, log_count, check_batch, &sums);
    check_law(check, &ledger, &sums.extras);
    free(sums.extras.sums);
    return 0;
}

int oracle_compare(struct st_mysql *session, const struct oracle_log *logs,
                   size_t log_count, const struct oracle_context *context,
                   struct oracle_report *out_report, struct err *err)
{
    size_t batches = 1;
    for (size_t i = 0; i < log_count; i++)
        batches += logs[i].sample->batch_count;
    struct oracle_report report = {0};
    struct check check = {.stream = "all:", .report = &report, .context = context};
    check.tallies = calloc(batches, sizeof *check.tallies);
    if (!check.tallies)
        return err_set(err, ERR_NOMEM, 0, "no memory for the oracle");
    int code = check_streams(session, logs, log_count, &check, err);
    check.stream = "all:";
    if (code == 0)
        code = check_sums(session, logs, log_count, &check, err);
    if (code == 0)
        *out_report = report;
    free(check.tallies);
    return code;
}

bool oracle_clean(const struct oracle_report *report)
{
    return report->lost == 0 && report->repeated == 0 && report->foreign == 0 &&
           report->torn == 0 && report->altered == 0 && report->entities_lost == 0 &&
           report->entities_without_events == 0 && report->count_mismatches == 0 &&
           report->answers_wrong == 0 && report->law_broken == 0;
}

void oracle_describe(const struct oracle_report *report, struct buf *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"sent", report->sent},
        {"told accepted", report->told},
        {"accepted", report->accepted},
        {"events", report->events},
        {"duplicates", report->duplicates},
        {"conflicts", report->conflicts},
        {"dead letters", report->dead},
        {"dead letters told", report->told_dead},
        {"entities", report->entities},
        {"lost", report->lost},
        {"repeated", report->repeated},
        {"foreign", report->foreign},
        {"torn", report->torn},
        {"altered", report->altered},
        {"entities lost", report->entities_lost},
        {"entities without events", report->entities_without_events},
        {"count mismatches", report->count_mismatches},
        {"wrong answers", report->answers_wrong},
        {"law broken", report->law_broken},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        buf_printf(out, "%s%s %llu", i ? ", " : "", counts[i].name,
                   (unsigned long long)counts[i].value);
    for (uint32_t i = 0; i < report->difference_count; i++)
        buf_printf(out, "\n  %s", report->differences[i]);
    buf_append_text(out, "\n");
}
