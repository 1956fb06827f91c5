/* journal/reading.h: walking over entries in bounded read transactions. */
#ifndef HOLDFAST_JOURNAL_READING_H
#define HOLDFAST_JOURNAL_READING_H

#include "journal/handle.h"

/* A walk over [next, end) in seq order. A read transaction left open keeps the writer
 * from reusing pages, so the walk begins a new one after so many headers or bytes. */
struct scan {
    struct journal *journal;
    uint64_t next;
    uint64_t end;
    MDB_txn *txn;
    MDB_cursor *cursor;
    bool placed; /* the cursor stands at the entry before `next` */
    unsigned headers;
    uint64_t bytes; /* the caller adds what it copied */
};

/* Ends at what is durable now. No transaction is open yet; scan_end may be called
 * always. */
struct scan scan_from(struct journal *journal, uint64_t seq);
void scan_end(struct scan *scan);

/* An entry that a walk came to. The value is valid until the next step. */
struct scanned {
    bool found; /* false: nothing there, the rest is not set */
    struct entry_header header;
    struct slice value;
};

/* The next entry; its header is checked and the density of seq. ERR_CORRUPT ... */
int scan_next(struct scan *scan, struct scanned *out_entry, struct err *err);

/* As scan_next, passing over other lanes' entries. */
int scan_next_of_lane(struct scan *scan, const char *stream, uint32_t lane,
                      struct scanned *out_entry, struct err *err);

/* Fills in oldest_seq and oldest_pending_at_us. */
int reading_fill_oldest(struct journal *journal, struct journal_lane *lane,
                        struct err *err);

#endif
