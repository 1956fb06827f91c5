/* journal/format.h: the bytes of everything that the journal stores. Pure: bytes in,
 * values out. The format itself is described at the top of format.c. */
#ifndef HOLDFAST_JOURNAL_FORMAT_H
#define HOLDFAST_JOURNAL_FORMAT_H

#include "base/err.h"
#include "base/slice.h"
#include "journal/journal.h"

#include <stdint.h>

enum {
    FORMAT_VERSION = 2,
    FORMAT_ID_LEN = 16,
    FORMAT_HEADER_MAX = 192,  /* of an entry, with the longest stream name */
    FORMAT_LANE_KEY_MAX = 80, /* tag, lane, stream */
    FORMAT_DEAD_KEY_LEN = 12,
    FORMAT_FIELD_MAX = 255, /* bytes of a dead letter's reason, field and detail */
};

struct entry_header {
    uint8_t version; /* as written; a stub keeps it */
    int state;       /* JOURNAL_ENTRY_FULL, _EXPIRED, _GAP */
    uint64_t seq;
    uint64_t batch_seq;
    uint32_t batch_entries;
    uint32_t records;  /* rows and dead letters of this entry */
    uint32_t accepted; /* how many of them `running` counts: not those of a retry */
    uint64_t running;
    uint64_t retried; /* records of the lane so far that `running` doesn't count */
    int64_t received_at_us;
    uint32_t lane;
    struct journal_position previous; /* the lane's entry before this one */
    uint64_t payload_len;             /* as written; a stub keeps the number */
    char stream[JOURNAL_STREAM_MAX + 1];
    uint8_t sum[JOURNAL_SUM_LEN];
    size_t header_len;
};

size_t format_header_len(size_t stream_len);

/* Writes header and payload to `out` (header length and payload length bytes) and sets
 * header->sum and header_len. `state` must be FULL. */
void format_entry_encode(struct entry_header *header, struct slice payload, uint8_t *out);

/* Writes the header alone, as a stub or a gap with the state and sum that it holds;
 * returns its length, at most FORMAT_HEADER_MAX. */
size_t format_stub_encode(const struct entry_header *header, uint8_t *out);

/* Reads a header and checks its own checksum and lengths, not the payload.
 * ERR_CORRUPT, ERR_VERSION. */
int format_entry_decode(struct slice value, struct entry_header *out_header,
                        struct err *err);

/* What the lane's entry before this one counted. */
struct journal_counts format_entry_before(const struct entry_header *header);

/* True where the counts go on from `before`. */
bool format_entry_follows(const struct entry_header *header,
                          const struct entry_header *before);

/* A gap of which not even the lane is known: journal repair names no stream there. It
 * only keeps seq dense. */
static inline bool format_is_unknown(const struct entry_header *header)
{
    return header->state == JOURNAL_ENTRY_GAP && !header->stream[0];
}

/* The payload of a decoded FULL value: a slice into it. */
struct slice format_entry_payload(const struct entry_header *header, struct slice value);

/* Checks the sum over header and payload. `header_bytes` holds at least header_len
 * bytes. ERR_CORRUPT. */
int format_entry_check(const struct entry_header *header, const uint8_t *header_bytes,
                       struct slice payload, struct err *err);

/* ---- Records of `meta` ----------------------------------------------------------- */

struct format_identity {
    uint8_t id[FORMAT_ID_LEN];
    int64_t created_at_us;
};

/* What the whole journal counts. */
struct format_state {
    uint64_t next_seq;
    uint64_t records; /* accepted, ever */
    uint64_t dead_bytes;
    uint64_t dead_kept;
    uint64_t receipts;
};

struct format_lane {
    struct journal_position last;
    uint64_t running;
    struct journal_position done;
    uint64_t done_running;
    uint64_t rejected;
    uint64_t given_up;
    uint64_t retried;
    uint64_t done_retried;
};

void format_identity_encode(struct buf *out, const struct format_identity *identity);
int format_identity_decode(struct slice value, struct format_identity *out_identity,
                           struct err *err);
void format_state_encode(struct buf *out, const struct format_state *state);
int format_state_decode(struct slice value, struct format_state *out_state,
                        struct err *err);
void format_lane_encode(struct buf *out, const struct format_lane *lane);
int format_lane_decode(struct slice value, struct format_lane *out_lane, struct err *err);

/* Keys of lanes start with FORMAT_LANE_TAG; returns the length. */
#define FORMAT_LANE_TAG 'L'
#define FORMAT_SETTING_TAG 'S'
/* The setting that names the id which `journal adopt` replaced. */
#define FORMAT_ADOPTED_FROM "adopted_from"
size_t format_lane_key(uint8_t out[FORMAT_LANE_KEY_MAX], const char *stream,
                       uint32_t lane);
int format_lane_key_decode(struct slice key, char out_stream[JOURNAL_STREAM_MAX + 1],
                           uint32_t *out_lane, struct err *err);

/* ---- Receipts -------------------------------------------------------------------- */

struct format_receipt {
    uint8_t body_sum[16];
    uint64_t first_seq;
    int64_t at_us;
    struct slice answer; /* decoded: points into the value */
};

#define FORMAT_RECEIPT_TAG 'k'
#define FORMAT_RECEIPT_TIME_TAG 't'
enum {
    FORMAT_RECEIPT_KEY_MAX = 1 + JOURNAL_RECEIPT_KEY_MAX,
    FORMAT_RECEIPT_TIME_KEY_LEN = 17,
};
size_t format_receipt_key(uint8_t out[FORMAT_RECEIPT_KEY_MAX], struct slice scope_key);
void format_receipt_time_key(uint8_t out[FORMAT_RECEIPT_TIME_KEY_LEN], int64_t at_us,
                             uint64_t first_seq);
int format_receipt_time_decode(struct slice key, int64_t *out_at_us, struct err *err);
void format_receipt_encode(struct buf *out, const struct format_receipt *receipt);
int format_receipt_decode(struct slice value, struct format_receipt *out_receipt,
                          struct err *err);

/* ---- Dead letters ---------------------------------------------------------------- */

struct format_dead {
    enum journal_dead_state state;
    bool at_intake;
    uint32_t lane;
    int64_t at_us;
    uint64_t retried_seq;
    struct slice stream; /* decoded: all slices point into the value */
    struct slice reason;
    struct slice field;
    struct slice detail;
    struct slice bytes;
};

void format_dead_key(uint8_t out[FORMAT_DEAD_KEY_LEN], uint64_t seq, uint32_t index);
int format_dead_key_decode(struct slice key, uint64_t *out_seq, uint32_t *out_index,
                           struct err *err);
/* Reason, field and detail are cut at FORMAT_FIELD_MAX. */
void format_dead_encode(struct buf *out, const struct format_dead *dead);
int format_dead_decode(struct slice value, struct format_dead *out_dead, struct err *err);

/* ---- Identity as text ------------------------------------------------------------ */

void format_id_text(const uint8_t id[FORMAT_ID_LEN], char out[JOURNAL_ID_TEXT]);

/* The sentinel file `journal.id`. */
void format_sentinel_encode(struct buf *out, const char *id_text);
int format_sentinel_decode(struct slice text, char out_id[JOURNAL_ID_TEXT],
                           struct err *err);

#endif
