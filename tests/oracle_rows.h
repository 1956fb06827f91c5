/* tests/oracle_rows.h: what was sent and what is there, as arrays to be compared. Only
 * for oracle*.c. */
#ifndef HOLDFAST_TESTS_ORACLE_ROWS_H
#define HOLDFAST_TESTS_ORACLE_ROWS_H

#include "tests/oracle.h"

/* One good record of the log. */
struct fact {
    uint32_t ip;
    int64_t time_s;
    uint64_t order; /* seq of its batch */
    uint32_t batch; /* over all logs */
    uint32_t row;   /* in its batch */
    uint8_t log;
    int8_t event;
    int8_t city;
    int8_t status;
    bool sure;    /* acknowledged */
    bool ordered; /* `order` is the only place where it can have been taken */
};

struct event_row {
    uint32_t ip;
    int64_t time_s;
    int64_t node_id;
    int8_t event; /* SAMPLE_NONE for NULL; ROW_STRANGE for what no sample has */
    int8_t city;
};

struct node_row {
    uint32_t ip;
    int64_t id;
    int64_t first_s; /* ROW_NO_TIME for NULL */
    int64_t last_s;
    int64_t count;
    int8_t city;
    int8_t status;
};

enum { ROW_STRANGE = -2, ROW_NO_TIME = -1 };

struct facts {
    struct fact *items;
    size_t count;
};

struct event_rows {
    struct event_row *items;
    size_t count;
};

struct node_rows {
    struct node_row *items;
    size_t count;
};

/* The log's facts of one stream by (ip, time, order, row). free() items. ERR_NOMEM. */
int oracle_facts(const struct oracle_log *logs, size_t log_count, const char *stream,
                 struct facts *out_facts, struct err *err);

/* The stream's tables by (ip, time) and by ip; a table that isn't there is empty. free()
 * items. ERR_TRANSIENT, ERR_NOMEM. */
int oracle_events(struct st_mysql *session, const char *stream,
                  struct event_rows *out_rows, struct err *err);
int oracle_nodes(struct st_mysql *session, const char *stream, struct node_rows *out_rows,
                 struct err *err);

/* The sums over all lanes of the ledger. */
struct ledger_sums {
    uint64_t records;
    uint64_t events;
    uint64_t duplicates;
    uint64_t conflicts;
};
int oracle_ledger(struct st_mysql *session, struct ledger_sums *out_sums,
                  struct err *err);

#endif
