#include "tests/sink_kit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int sink_kit_connect(struct sink_kit *kit)
{
    int code = kit->sink->ops->connect(kit->sink, &kit->err);
    buf_clear(&kit->notes);
    return code ? code
                : kit->sink->ops->prepare(kit->sink, kit->stream, &kit->notes, &kit->err);
}

static void start(struct sink_kit *kit, const struct stream_spec *spec)
{
    kit->db.socket = kit->db.host_count ? NULL : kit->w->socket;
    kit->db.name = kit->database;
    kit->db.user = kit->db.user ? kit->db.user : "root";
    kit->validate = true;
    kit->stream = stream_of(spec);
    cr_assert_eq(db_hosts_new(&kit->db, &kit->hosts, &kit->err), 0, "%s",
                 kit->err.message);
    kit->config.db = &kit->db;
    kit->config.hosts = kit->hosts;
    cr_assert_eq(sink_mariadb_new(&kit->config, &kit->sink, &kit->err), 0);
    cr_assert_eq(sink_kit_connect(kit), 0, "%s", kit->err.message);
}

void sink_kit_open(struct sink_kit *kit, struct world *w, const struct stream_spec *spec)
{
    static int opened;
    char sql[256];
    kit->w = w;
    kit->journal_id = "0123456789abcdef0123456789abcdef";
    kit->config.create_tables = true;
    snprintf(kit->database, sizeof kit->database, "kit_%ld_%d", (long)getpid(), ++opened);
    snprintf(sql, sizeof sql, "CREATE DATABASE `%s`; USE `%s`", kit->database,
             kit->database);
    world_exec(w, sql);
    start(kit, spec);
}

void sink_kit_join(struct sink_kit *kit, const struct sink_kit *first,
                   const struct stream_spec *spec, const char *journal_id)
{
    kit->w = first->w;
    kit->journal_id = journal_id;
    kit->config = first->config;
    memcpy(kit->database, first->database, sizeof kit->database);
    start(kit, spec);
}

void sink_kit_close(struct sink_kit *kit)
{
    kit->sink->ops->free(kit->sink);
    db_hosts_free(kit->hosts);
    stream_free(kit->stream);
    buf_free(&kit->notes);
}

void sink_kit_add(struct sink_kit *kit, ...)
{
    cr_assert_lt(kit->count, SINK_KIT_RECORDS);
    struct value *values = kit->values[kit->count];
    memset(values, 0, sizeof kit->values[0]);
    va_list args;
    va_start(args, kit);
    for (const char *field; (field = va_arg(args, const char *));) {
        set_field(kit->stream, values, field, va_arg(args, const char *));
    }
    va_end(args);
    kit->records[kit->count] =
        (struct apply_record){.values = values,
                              .seq = kit->ledger.position.seq + 1,
                              .index = (uint32_t)kit->count,
                              .received_at_us = INT64_C(1767900000123456)};
    kit->count++;
}

int sink_kit_apply(struct sink_kit *kit)
{
    struct apply_request request = {
        .stream = kit->stream,
        .lane = {.journal_id = kit->journal_id, .stream = kit->stream->name},
        .previous = &kit->ledger,
        .last.seq = kit->ledger.position.seq + 1,
        .last_records = kit->ledger.records + kit->count,
        .records = kit->records,
        .record_count = kit->count,
        .statement_rows_max = kit->statement_rows_max,
        .validate = kit->validate,
        .trial = kit->trial,
    };
    /* every sum another, with quotes, NUL and high bytes in it */
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        request.last.sum[i] = (uint8_t)(request.last.seq * 31 + i * 17);
    }
    kit->err = (struct err){0};
    int code =
        kit->sink->ops->apply(kit->sink, &request, &kit->result, kit->fates, &kit->err);
    if (code == 0 && !kit->trial) {
        kit->ledger = kit->result.row;
        kit->count = 0;
    }
    return code;
}

void sink_kit_expect(struct sink_kit *kit, int code)
{
    int found = sink_kit_apply(kit);
    cr_assert_eq(found, code, "%s expected, but %s: %s", err_name(code), err_name(found),
                 kit->err.message);
    cr_assert(code == 0 || kit->err.message[0]);
}

void sink_kit_number(struct sink_kit *kit, const char *sql, int64_t expected)
{
    int64_t found = world_scalar(kit->w, sql);
    cr_assert_eq(found, expected, "%s: %lld, not %lld", sql, (long long)found,
                 (long long)expected);
}

void sink_kit_text(struct sink_kit *kit, const char *sql, const char *expected)
{
    char *found = world_text(kit->w, sql);
    cr_assert_str_eq(found, expected, "%s: '%s', not '%s'", sql, found, expected);
    free(found);
}
