#include "replay/ledger.h"

#include "schema/value.h"

#include <stdio.h>
#include <stdlib.h>

void ledger_append_ddl(struct buf *out)
{
    buf_append_text(
        out, "CREATE TABLE IF NOT EXISTS `" LEDGER_TABLE "` (\n"
             "  `journal_id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n"
             "  `stream` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,\n"
             "  `lane` INT UNSIGNED NOT NULL,\n"
             "  `applied_seq` BIGINT UNSIGNED NOT NULL,\n"
             "  `applied_sum` BINARY(16) NOT NULL,\n"
             "  `records` BIGINT UNSIGNED NOT NULL,\n"
             "  `events` BIGINT UNSIGNED NOT NULL,\n"
             "  `duplicates` BIGINT UNSIGNED NOT NULL,\n"
             "  `conflicts` BIGINT UNSIGNED NOT NULL,\n"
             "  `retried` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n"
             "  `given_up` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n"
             "  `updated_at` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP"
             " ON UPDATE CURRENT_TIMESTAMP,\n"
             "  PRIMARY KEY (`journal_id`, `stream`, `lane`)\n"
             ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci");
}

int ledger_upgrade(struct db *db, struct err *err)
{
    static const char sql[] =
        "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() "
        "AND table_name = '" LEDGER_TABLE "' AND column_name IN ('retried', 'given_up')";
    struct db_rows rows = {0};
    int code = db_query(db, SLICE_LITERAL(sql), &rows, err);
    if (code) {
        return code;
    }
    bool old = rows.row_count && strcmp(db_cell(&rows, 0, 0).data, "0") == 0;
    db_rows_free(&rows);
    if (!old) {
        return 0;
    }
    code =
        db_execf(db, NULL, err,
                 "ALTER TABLE `" LEDGER_TABLE "` "
                 "ADD COLUMN `retried` BIGINT UNSIGNED NOT NULL DEFAULT 0 AFTER "
                 "`conflicts`, ADD COLUMN `given_up` BIGINT UNSIGNED NOT NULL DEFAULT 0 "
                 "AFTER `retried`");
    return code ? err_wrap(err, "table " LEDGER_TABLE " of an earlier version lacks the "
                                "columns retried and given_up")
                : 0;
}

static void append_sum(struct buf *out, const uint8_t sum[JOURNAL_SUM_LEN])
{
    buf_append_text(out, "X'");
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        buf_printf(out, "%02X", sum[i]);
    }
    buf_append_char(out, '\'');
}

static void append_lane(struct buf *out, const struct ledger_lane *lane)
{
    buf_append_text(out, " WHERE journal_id = ");
    db_append_quoted(out, slice_text(lane->journal_id));
    buf_append_text(out, " AND stream = ");
    db_append_quoted(out, slice_text(lane->stream));
    buf_printf(out, " AND lane = %u", lane->lane);
}

static uint64_t read_number(struct slice cell)
{
    char text[24] = "";
    memcpy(text, cell.data, cell.len < sizeof text ? cell.len : sizeof text - 1);
    return strtoull(text, NULL, 10);
}

static bool read_sum(struct slice hex, uint8_t out_sum[JOURNAL_SUM_LEN])
{
    uint8_t sum[JOURNAL_SUM_LEN];
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        char pair[3] = "";
        char *end = pair;
        if (hex.len == 2 * sizeof sum) {
            memcpy(pair, hex.data + 2 * i, 2);
            sum[i] = (uint8_t)strtoul(pair, &end, 16);
        }
        if (end != pair + 2) {
            return false;
        }
    }
    memcpy(out_sum, sum, sizeof sum);
    return true;
}

static int read_row(const struct db_rows *rows, struct ledger_row *out_row,
                    struct err *err)
{
    struct ledger_row row = {0};
    if (rows->row_count == 0) {
        *out_row = row;
        return 0;
    }
    if (!read_sum(db_cell(rows, 0, 1), row.position.sum)) {
        return err_set(err, ERR_SCHEMA, 0,
                       "table " LEDGER_TABLE ": applied_sum is not 16 bytes; the column "
                       "must be BINARY(16)");
    }
    row.found = true;
    row.position.seq = read_number(db_cell(rows, 0, 0));
    row.records = read_number(db_cell(rows, 0, 2));
    row.events = read_number(db_cell(rows, 0, 3));
    row.duplicates = read_number(db_cell(rows, 0, 4));
    row.conflicts = read_number(db_cell(rows, 0, 5));
    row.retried = read_number(db_cell(rows, 0, 6));
    row.given_up = read_number(db_cell(rows, 0, 7));
    (void)value_parse_time(db_cell(rows, 0, 8), 0, &row.moved_us);
    *out_row = row;
    return 0;
}

int ledger_read(struct db *db, const struct ledger_lane *lane, bool lock,
                struct ledger_row *out_row, struct err *err)
{
    struct buf sql = {0};
    buf_append_text(&sql, "SELECT applied_seq, HEX(applied_sum), records, events, "
                          "duplicates, conflicts, retried, given_up, updated_at FROM "
                          "`" LEDGER_TABLE "`");
    append_lane(&sql, lane);
    buf_append_text(&sql, lock ? " FOR UPDATE" : "");
    struct db_rows rows = {0};
    int code = sql.failed ? err_set(err, ERR_NOMEM, 0, "no memory for a statement")
                          : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    code = read_row(&rows, out_row, err);
    db_rows_free(&rows);
    return code;
}

static void append_move(struct buf *sql, const struct ledger_lane *lane,
                        const struct ledger_row *previous, const struct ledger_row *next)
{
    buf_printf(sql,
               "UPDATE `" LEDGER_TABLE "` SET applied_seq = %llu, records = %llu, "
               "retried = %llu, given_up = %llu, applied_sum = ",
               (unsigned long long)next->position.seq, (unsigned long long)next->records,
               (unsigned long long)next->retried, (unsigned long long)next->given_up);
    append_sum(sql, next->position.sum);
    append_lane(sql, lane);
    buf_printf(sql, " AND applied_seq = %llu AND applied_sum = ",
               (unsigned long long)previous->position.seq);
    append_sum(sql, previous->position.sum);
}

static void append_insert(struct buf *sql, const struct ledger_lane *lane,
                          const struct ledger_row *next)
{
    buf_append_text(sql, "INSERT INTO `" LEDGER_TABLE "` (journal_id, stream, lane, "
                         "applied_seq, applied_sum, records, events, duplicates, "
                         "conflicts, retried, given_up) VALUES (");
    db_append_quoted(sql, slice_text(lane->journal_id));
    buf_append_char(sql, ',');
    db_append_quoted(sql, slice_text(lane->stream));
    buf_printf(sql, ",%u,%llu,", lane->lane, (unsigned long long)next->position.seq);
    append_sum(sql, next->position.sum);
    buf_printf(sql, ",%llu,0,0,0,%llu,%llu)", (unsigned long long)next->records,
               (unsigned long long)next->retried, (unsigned long long)next->given_up);
}

/* Where the row is not what it was expected to be. */
static int elsewhere(struct db *db, const struct ledger_lane *lane,
                     const struct ledger_row *previous, struct ledger_row *out_found,
                     struct err *err)
{
    struct ledger_row row = {0};
    int code = ledger_read(db, lane, true, &row, err);
    if (code) {
        return code;
    }
    *out_found = row;
    return err_set(err, ERR_IDENTITY, 0,
                   "the ledger of stream %s lane %u is at seq %llu%s, not at %llu%s",
                   lane->stream, lane->lane, (unsigned long long)row.position.seq,
                   row.found ? "" : " (no row)",
                   (unsigned long long)previous->position.seq,
                   !previous->found                             ? " (no row)"
                   : row.position.seq == previous->position.seq ? ", or has another sum"
                                                                : "");
}

int ledger_advance(struct db *db, const struct ledger_lane *lane,
                   const struct ledger_row *previous, const struct ledger_row *next,
                   struct ledger_row *out_found, struct err *err)
{
    struct buf sql = {0};
    if (previous->found) {
        append_move(&sql, lane, previous, next);
    } else {
        append_insert(&sql, lane, next);
    }
    struct db_outcome outcome = {0};
    struct err why = {0};
    int code = sql.failed ? err_set(&why, ERR_NOMEM, 0, "no memory for a statement")
                          : db_exec(db, buf_slice(&sql), &outcome, &why);
    buf_free(&sql);
    bool lost = code ? !previous->found && why.sys == 1062 : outcome.matched != 1;
    if (lost) {
        return elsewhere(db, lane, previous, out_found, err);
    }
    if (code && err) {
        *err = why;
    }
    return code;
}

int ledger_count(struct db *db, const struct ledger_lane *lane,
                 const struct ledger_row *next, struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql,
               "UPDATE `" LEDGER_TABLE "` SET events = %llu, duplicates = %llu, "
               "conflicts = %llu",
               (unsigned long long)next->events, (unsigned long long)next->duplicates,
               (unsigned long long)next->conflicts);
    append_lane(&sql, lane);
    buf_printf(&sql, " AND applied_seq = %llu", (unsigned long long)next->position.seq);
    struct db_outcome outcome = {0};
    int code = sql.failed ? err_set(err, ERR_NOMEM, 0, "no memory for a statement")
                          : db_exec(db, buf_slice(&sql), &outcome, err);
    buf_free(&sql);
    if (code == 0 && outcome.matched != 1) {
        code = err_set(err, ERR_MISS, 0,
                       "%s: matched %llu rows of the ledger where 1 was expected",
                       db_last_statement(db), (unsigned long long)outcome.matched);
    }
    return code;
}
