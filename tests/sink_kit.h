/* tests/sink_kit.h: one sink on the shared server, with a database of its own, and what a
 * lane would remember. All functions fail the test where something unexpected happens. */
#ifndef HOLDFAST_TESTS_SINK_KIT_H
#define HOLDFAST_TESTS_SINK_KIT_H

#include "replay/sink.h"
#include "tests/specs.h"
#include "tests/world.h"

enum { SINK_KIT_RECORDS = 256 };

struct sink_kit {
    struct world *w; /* borrowed; its session uses the kit's database */
    char database[64];
    struct db_config db;
    struct sink_mariadb_config config;
    struct db_hosts *hosts;
    struct sink *sink;
    struct stream *stream;
    struct buf notes; /* of the last prepare */

    struct value values[SINK_KIT_RECORDS][STREAM_FIELDS_MAX];
    struct apply_record records[SINK_KIT_RECORDS];
    size_t count;
    size_t statement_rows_max;
    bool validate;
    bool trial;

    const char *journal_id;
    struct ledger_row ledger; /* what the lane believes */
    struct apply_result result;
    uint8_t fates[SINK_KIT_RECORDS];
    struct err err;
};

/* A new database; `kit` may have config and db set already. Connects, prepares. */
void sink_kit_open(struct sink_kit *kit, struct world *w, const struct stream_spec *spec);
/* A second kit, another journal, on the first one's database. */
void sink_kit_join(struct sink_kit *kit, const struct sink_kit *first,
                   const struct stream_spec *spec, const char *journal_id);
void sink_kit_close(struct sink_kit *kit);

/* Connects (again) and prepares the stream: the first code that is not 0. */
int sink_kit_connect(struct sink_kit *kit);

/* Adds a record of "field", "text" pairs, closed by NULL. */
void sink_kit_add(struct sink_kit *kit, ...) __attribute__((sentinel));

/* Applies the added records as one transaction and forgets them. On success the lane's
 * idea of the ledger moves on, unless it was a trial. */
int sink_kit_apply(struct sink_kit *kit);

/* As sink_kit_apply, with the code expected; keeps the records unless it succeeds. */
void sink_kit_expect(struct sink_kit *kit, int code);

/* Fails unless the SELECT gives this number or text. */
void sink_kit_number(struct sink_kit *kit, const char *sql, int64_t expected);
void sink_kit_text(struct sink_kit *kit, const char *sql, const char *expected);

#endif
