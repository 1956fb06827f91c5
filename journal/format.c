/* The journal's format, version 2.
 *
 * Integers are little-endian in values and big-endian in keys (so that they sort); a
 * time is microseconds since 1970 UTC as a two's complement u64; "slice" is a LEB128
 * length and that many bytes. A reader takes every version up to its own and refuses a
 * newer one. What version 1 lacks is marked so: it reads as 0 there.
 *
 * Database `entries`, key: seq as a native u64 (MDB_INTEGERKEY). Value:
 *
 *    0  4  magic "HFEN"
 *    4  1  version
 *    5  1  state: 0 full, 1 expired (payload given up), 2 gap (lost to damage)
 *    6  2  header length H = 125 + length of the stream's name
 *    8  8  seq
 *   16  8  batch's first seq
 *   24  4  batch's number of entries
 *   28  4  records
 *   32  4  accepted: how many of the records `running` counts
 *   36  8  running: records accepted in this lane up to and with this entry
 *   44  8  received at
 *   52  4  lane
 *   56  8  seq of the lane's entry before this one, 0 for the first
 *   64 16  its sum
 *   80  8  payload length (a stub keeps it, though its payload is gone)
 *   88  8  retried: records of this lane up to and with this entry that `running` doesn't
 *          count, since they are dead letters tried again (version 1: zeros)
 *   96  4  zeros
 *  100  1  length n of the stream's name
 *  101  n  stream
 *        16  sum: XXH3-128, canonical, over all the bytes before it with the state taken
 *            as 0, and then the payload
 *         8  XXH3-64 over all the bytes before it: the header's own check, so that a
 *            header can be believed without reading a large payload
 *    H     payload
 *
 * The sum names the entry for good: a stub keeps it. Since it covers the sum of the
 * lane's entry before, equal sums mean equal histories of the lane.
 *
 * All other values are sealed: version u8, fields, XXH3-64 over all the bytes before it.
 *
 * Database `meta`:
 *   "id"                    id (16 bytes), created at
 *   "state"                 next seq, records, dead-letter bytes, dead letters kept,
 *                           receipts (u64 each)
 *   'L' lane(u32) stream    last seq, last sum, running, done seq, done sum, done
 *                           running, rejected, given up, retried, done retried
 *                           (version 1 lacks the last two)
 *   'S' name                the setting's text, as it is (not sealed)
 *
 * Database `receipts`:
 *   'k' scope key           body sum (16 bytes), first seq, at, answer (slice)
 *   't' at first_seq        the scope key, as it is: the order of expiry
 *
 * Database `deadletter`, key seq(u64) index(u32):
 *   state u8 (enum journal_dead_state), at intake u8, lane u32, at, retried seq,
 *   slices: stream, reason, field, detail, bytes
 *
 * File `journal.id`: "holdfast journal\nversion 1\nid <32 hex digits>\n".
 */
#include "journal/format.h"

#include "journal/sum.h"

#include "base/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const char entry_magic[4] = {'H', 'F', 'E', 'N'};

enum {
    STATE_OFFSET = 5,
    STREAM_OFFSET = 101,
    CHECK_LEN = 8,
    HEADER_FIXED = STREAM_OFFSET + JOURNAL_SUM_LEN + CHECK_LEN,
};

_Static_assert(HEADER_FIXED + JOURNAL_STREAM_MAX <= FORMAT_HEADER_MAX,
               "the longest header fits");

/* A buffer over memory that is there already: it never grows. */
static struct buf fixed_buf(void *memory, size_t len)
{
    return (struct buf){.data = memory, .capacity = len, .max = len};
}

size_t format_header_len(size_t stream_len)
{
    return HEADER_FIXED + stream_len;
}

/* Everything before the sum. */
static size_t put_header(const struct entry_header *header, int state, uint8_t *out)
{
    static const char zeros[4];
    size_t stream_len = strlen(header->stream);
    struct buf buf = fixed_buf(out, FORMAT_HEADER_MAX);
    buf_append(&buf, entry_magic, sizeof entry_magic);
    bytes_put_u8(&buf, header->version);
    bytes_put_u8(&buf, (uint8_t)state);
    bytes_put_u16(&buf, (uint16_t)format_header_len(stream_len));
    bytes_put_u64(&buf, header->seq);
    bytes_put_u64(&buf, header->batch_seq);
    bytes_put_u32(&buf, header->batch_entries);
    bytes_put_u32(&buf, header->records);
    bytes_put_u32(&buf, header->accepted);
    bytes_put_u64(&buf, header->running);
    bytes_put_u64(&buf, (uint64_t)header->received_at_us);
    bytes_put_u32(&buf, header->lane);
    bytes_put_u64(&buf, header->previous.seq);
    buf_append(&buf, header->previous.sum, JOURNAL_SUM_LEN);
    bytes_put_u64(&buf, header->payload_len);
    bytes_put_u64(&buf, header->retried);
    buf_append(&buf, zeros, sizeof zeros);
    bytes_put_u8(&buf, (uint8_t)stream_len);
    buf_append(&buf, header->stream, stream_len);
    assert(!buf.failed && buf.len == STREAM_OFFSET + stream_len);
    return buf.len;
}

/* Puts sum and check behind `head_len` bytes; returns the header's length. */
static size_t finish_header(const uint8_t sum[JOURNAL_SUM_LEN], uint8_t *out,
                            size_t head_len)
{
    memcpy(out + head_len, sum, JOURNAL_SUM_LEN);
    struct buf check = fixed_buf(out + head_len + JOURNAL_SUM_LEN, CHECK_LEN);
    bytes_put_u64(&check, XXH3_64bits(out, head_len + JOURNAL_SUM_LEN));
    return head_len + JOURNAL_SUM_LEN + CHECK_LEN;
}

void format_entry_encode(struct entry_header *header, struct slice payload, uint8_t *out)
{
    assert(header->state == JOURNAL_ENTRY_FULL);
    uint8_t head[FORMAT_HEADER_MAX];
    header->version = FORMAT_VERSION;
    header->payload_len = payload.len;
    size_t head_len = put_header(header, JOURNAL_ENTRY_FULL, head);
    header->header_len = format_header_len(strlen(header->stream));
    sum_entry(slice_of(head, head_len), payload, out + header->header_len, header->sum);
    (void)finish_header(header->sum, head, head_len);
    memcpy(out, head, header->header_len);
}

size_t format_stub_encode(const struct entry_header *header, uint8_t *out)
{
    size_t head_len = put_header(header, header->state, out);
    return finish_header(header->sum, out, head_len);
}

static void get_position(struct bytes_reader *in, struct journal_position *out)
{
    out->seq = bytes_get_u64(in);
    struct slice sum = bytes_get_raw(in, JOURNAL_SUM_LEN);
    if (sum.len) {
        memcpy(out->sum, sum.data, sum.len);
    }
}

static void get_fields(struct bytes_reader *in, struct entry_header *out)
{
    out->seq = bytes_get_u64(in);
    out->batch_seq = bytes_get_u64(in);
    out->batch_entries = bytes_get_u32(in);
    out->records = bytes_get_u32(in);
    out->accepted = bytes_get_u32(in);
    out->running = bytes_get_u64(in);
    out->received_at_us = (int64_t)bytes_get_u64(in);
    out->lane = bytes_get_u32(in);
    get_position(in, &out->previous);
    out->payload_len = bytes_get_u64(in);
    out->retried = bytes_get_u64(in);
    (void)bytes_get_raw(in, 4);
}

static int check_lengths(const struct entry_header *header, struct slice value,
                         struct err *err)
{
    uint64_t payload = value.len - header->header_len;
    if (header->state > JOURNAL_ENTRY_GAP) {
        return err_set(err, ERR_CORRUPT, 0, "entry %llu has the unknown state %d",
                       (unsigned long long)header->seq, header->state);
    }
    if (payload != (header->state == JOURNAL_ENTRY_FULL ? header->payload_len : 0)) {
        return err_set(err, ERR_CORRUPT, 0,
                       "entry %llu holds %llu bytes of payload instead of %llu",
                       (unsigned long long)header->seq, (unsigned long long)payload,
                       (unsigned long long)header->payload_len);
    }
    return ERR_OK;
}

static int check_version(uint8_t version, const char *what, struct err *err)
{
    if (version > FORMAT_VERSION) {
        return err_set(err, ERR_VERSION, 0,
                       "%s has format version %d, this program reads up to %d: use the "
                       "newer holdfast",
                       what, version, FORMAT_VERSION);
    }
    if (version == 0) {
        return err_set(err, ERR_CORRUPT, 0, "%s has format version 0", what);
    }
    return ERR_OK;
}

int format_entry_decode(struct slice value, struct entry_header *out_header,
                        struct err *err)
{
    struct bytes_reader in = bytes_reader(value);
    struct slice magic = bytes_get_raw(&in, sizeof entry_magic);
    uint8_t version = bytes_get_u8(&in);
    struct entry_header header = {.version = version, .state = bytes_get_u8(&in)};
    header.header_len = bytes_get_u16(&in);
    if (in.failed || memcmp(magic.data, entry_magic, sizeof entry_magic) != 0) {
        return err_set(err, ERR_CORRUPT, 0, "an entry does not begin as one");
    }
    int rc = check_version(version, "an entry", err);
    if (rc) {
        return rc;
    }
    if (header.header_len < HEADER_FIXED || header.header_len > value.len ||
        header.header_len > HEADER_FIXED + JOURNAL_STREAM_MAX) {
        return err_set(err, ERR_CORRUPT, 0, "an entry's header has the length %zu",
                       header.header_len);
    }
    size_t check_at = header.header_len - CHECK_LEN;
    struct bytes_reader check =
        bytes_reader(slice_of(value.data + check_at, (size_t)CHECK_LEN));
    if (bytes_get_u64(&check) != XXH3_64bits(value.data, check_at)) {
        return err_set(err, ERR_CORRUPT, 0, "an entry's header fails its checksum");
    }
    get_fields(&in, &header);
    size_t stream_len = bytes_get_u8(&in);
    struct slice stream = bytes_get_raw(&in, stream_len);
    struct slice sum = bytes_get_raw(&in, JOURNAL_SUM_LEN);
    if (in.failed || format_header_len(stream_len) != header.header_len) {
        return err_set(err, ERR_CORRUPT, 0, "an entry's header has wrong lengths");
    }
    if (stream_len && memchr(stream.data, '\0', stream_len)) {
        return err_set(err, ERR_CORRUPT, 0, "an entry's header names no stream");
    }
    memcpy(header.stream, stream.data, stream_len);
    memcpy(header.sum, sum.data, JOURNAL_SUM_LEN);
    rc = check_lengths(&header, value, err);
    if (rc) {
        return rc;
    }
    *out_header = header;
    return ERR_OK;
}

struct journal_counts format_entry_before(const struct entry_header *header)
{
    return (struct journal_counts){header->running - header->accepted,
                                   header->retried -
                                       (header->records - header->accepted)};
}

bool format_entry_follows(const struct entry_header *header,
                          const struct entry_header *before)
{
    struct journal_counts counts = format_entry_before(header);
    return counts.running == before->running && counts.retried == before->retried;
}

struct slice format_entry_payload(const struct entry_header *header, struct slice value)
{
    return slice_of(value.data + header->header_len, value.len - header->header_len);
}

int format_entry_check(const struct entry_header *header, const uint8_t *header_bytes,
                       struct slice payload, struct err *err)
{
    uint8_t head[FORMAT_HEADER_MAX];
    size_t head_len = header->header_len - JOURNAL_SUM_LEN - CHECK_LEN;
    memcpy(head, header_bytes, head_len);
    head[STATE_OFFSET] = JOURNAL_ENTRY_FULL;
    uint8_t sum[JOURNAL_SUM_LEN];
    sum_entry(slice_of(head, head_len), payload, NULL, sum);
    if (memcmp(sum, header->sum, JOURNAL_SUM_LEN) != 0) {
        return err_set(err, ERR_CORRUPT, 0,
                       "entry %llu fails its checksum: its stored bytes are damaged",
                       (unsigned long long)header->seq);
    }
    return ERR_OK;
}

/* ---- Sealed records -------------------------------------------------------------- */

static void seal(struct buf *out, size_t start)
{
    if (!out->failed) {
        bytes_put_u64(out, XXH3_64bits(out->data + start, out->len - start));
    }
}

/* Checks seal and version; `out_in` then stands at the first field. */
static int unseal(struct slice value, const char *what, struct bytes_reader *out_in,
                  uint8_t *out_version, struct err *err)
{
    if (value.len < 1 + CHECK_LEN) {
        return err_set(err, ERR_CORRUPT, 0, "%s is cut off", what);
    }
    size_t len = value.len - CHECK_LEN;
    struct bytes_reader check =
        bytes_reader(slice_of(value.data + len, (size_t)CHECK_LEN));
    if (bytes_get_u64(&check) != XXH3_64bits(value.data, len)) {
        return err_set(err, ERR_CORRUPT, 0, "%s fails its checksum", what);
    }
    *out_in = bytes_reader(slice_of(value.data, len));
    *out_version = bytes_get_u8(out_in);
    return check_version(*out_version, what, err);
}

static int check_end(const struct bytes_reader *in, const char *what, struct err *err)
{
    if (in->failed || bytes_left(in)) {
        return err_set(err, ERR_CORRUPT, 0, "%s has the wrong length", what);
    }
    return ERR_OK;
}

void format_identity_encode(struct buf *out, const struct format_identity *identity)
{
    size_t start = out->len;
    bytes_put_u8(out, FORMAT_VERSION);
    buf_append(out, identity->id, FORMAT_ID_LEN);
    bytes_put_u64(out, (uint64_t)identity->created_at_us);
    seal(out, start);
}

int format_identity_decode(struct slice value, struct format_identity *out_identity,
                           struct err *err)
{
    static const char what[] = "the journal's identity record";
    struct bytes_reader in;
    uint8_t version = 0;
    int rc = unseal(value, what, &in, &version, err);
    if (rc) {
        return rc;
    }
    struct slice id = bytes_get_raw(&in, FORMAT_ID_LEN);
    int64_t created_at_us = (int64_t)bytes_get_u64(&in);
    rc = check_end(&in, what, err);
    if (rc) {
        return rc;
    }
    memcpy(out_identity->id, id.data, FORMAT_ID_LEN);
    out_identity->created_at_us = created_at_us;
    return ERR_OK;
}

void format_state_encode(struct buf *out, const struct format_state *state)
{
    size_t start = out->len;
    bytes_put_u8(out, FORMAT_VERSION);
    bytes_put_u64(out, state->next_seq);
    bytes_put_u64(out, state->records);
    bytes_put_u64(out, state->dead_bytes);
    bytes_put_u64(out, state->dead_kept);
    bytes_put_u64(out, state->receipts);
    seal(out, start);
}

int format_state_decode(struct slice value, struct format_state *out_state,
                        struct err *err)
{
    static const char what[] = "the journal's state record";
    struct bytes_reader in;
    uint8_t version = 0;
    int rc = unseal(value, what, &in, &version, err);
    if (rc) {
        return rc;
    }
    struct format_state state = {.next_seq = bytes_get_u64(&in)};
    state.records = bytes_get_u64(&in);
    state.dead_bytes = bytes_get_u64(&in);
    state.dead_kept = bytes_get_u64(&in);
    state.receipts = bytes_get_u64(&in);
    rc = check_end(&in, what, err);
    if (rc) {
        return rc;
    }
    *out_state = state;
    return ERR_OK;
}

static void put_position(struct buf *out, const struct journal_position *position)
{
    bytes_put_u64(out, position->seq);
    buf_append(out, position->sum, JOURNAL_SUM_LEN);
}

void format_lane_encode(struct buf *out, const struct format_lane *lane)
{
    size_t start = out->len;
    bytes_put_u8(out, FORMAT_VERSION);
    put_position(out, &lane->last);
    bytes_put_u64(out, lane->running);
    put_position(out, &lane->done);
    bytes_put_u64(out, lane->done_running);
    bytes_put_u64(out, lane->rejected);
    bytes_put_u64(out, lane->given_up);
    bytes_put_u64(out, lane->retried);
    bytes_put_u64(out, lane->done_retried);
    seal(out, start);
}

int format_lane_decode(struct slice value, struct format_lane *out_lane, struct err *err)
{
    static const char what[] = "a lane's record";
    struct bytes_reader in;
    uint8_t version = 0;
    int rc = unseal(value, what, &in, &version, err);
    if (rc) {
        return rc;
    }
    struct format_lane lane = {0};
    get_position(&in, &lane.last);
    lane.running = bytes_get_u64(&in);
    get_position(&in, &lane.done);
    lane.done_running = bytes_get_u64(&in);
    lane.rejected = bytes_get_u64(&in);
    lane.given_up = bytes_get_u64(&in);
    if (version > 1) {
        lane.retried = bytes_get_u64(&in);
        lane.done_retried = bytes_get_u64(&in);
    }
    rc = check_end(&in, what, err);
    if (rc) {
        return rc;
    }
    *out_lane = lane;
    return ERR_OK;
}

/* ---- Keys ------------------------------------------------------------------------ */

static void put_big_endian(uint8_t *out, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        out[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    }
}

static uint64_t get_big_endian(const char *in, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value = (value << 8) | (uint8_t)in[i];
    }
    return value;
}

size_t format_lane_key(uint8_t out[FORMAT_LANE_KEY_MAX], const char *stream,
                       uint32_t lane)
{
    struct slice name = slice_text(stream);
    assert(name.len <= JOURNAL_STREAM_MAX);
    out[0] = FORMAT_LANE_TAG;
    put_big_endian(out + 1, lane, 4);
    memcpy(out + 5, name.data, name.len);
    return 5 + name.len;
}

int format_lane_key_decode(struct slice key, char out_stream[JOURNAL_STREAM_MAX + 1],
                           uint32_t *out_lane, struct err *err)
{
    if (key.len < 6 || key.len > 5 + JOURNAL_STREAM_MAX ||
        key.data[0] != FORMAT_LANE_TAG) {
        return err_set(err, ERR_CORRUPT, 0, "a lane's key has the length %zu", key.len);
    }
    if (memchr(key.data + 5, '\0', key.len - 5)) {
        return err_set(err, ERR_CORRUPT, 0, "a lane's key names no stream");
    }
    memcpy(out_stream, key.data + 5, key.len - 5);
    out_stream[key.len - 5] = '\0';
    *out_lane = (uint32_t)get_big_endian(key.data + 1, 4);
    return ERR_OK;
}

size_t format_receipt_key(uint8_t out[FORMAT_RECEIPT_KEY_MAX], struct slice scope_key)
{
    assert(scope_key.len && scope_key.len <= JOURNAL_RECEIPT_KEY_MAX);
    out[0] = FORMAT_RECEIPT_TAG;
    memcpy(out + 1, scope_key.data, scope_key.len);
    return 1 + scope_key.len;
}

void format_receipt_time_key(uint8_t out[FORMAT_RECEIPT_TIME_KEY_LEN], int64_t at_us,
                             uint64_t first_seq)
{
    out[0] = FORMAT_RECEIPT_TIME_TAG;
    put_big_endian(out + 1, at_us > 0 ? (uint64_t)at_us : 0, 8);
    put_big_endian(out + 9, first_seq, 8);
}

int format_receipt_time_decode(struct slice key, int64_t *out_at_us, struct err *err)
{
    if (key.len != FORMAT_RECEIPT_TIME_KEY_LEN) {
        return err_set(err, ERR_CORRUPT, 0, "a receipt's time key has the length %zu",
                       key.len);
    }
    *out_at_us = (int64_t)get_big_endian(key.data + 1, 8);
    return ERR_OK;
}

void format_dead_key(uint8_t out[FORMAT_DEAD_KEY_LEN], uint64_t seq, uint32_t index)
{
    put_big_endian(out, seq, 8);
    put_big_endian(out + 8, index, 4);
}

int format_dead_key_decode(struct slice key, uint64_t *out_seq, uint32_t *out_index,
                           struct err *err)
{
    if (key.len != FORMAT_DEAD_KEY_LEN) {
        return err_set(err, ERR_CORRUPT, 0, "a dead letter's key has the length %zu",
                       key.len);
    }
    *out_seq = get_big_endian(key.data, 8);
    *out_index = (uint32_t)get_big_endian(key.data + 8, 4);
    return ERR_OK;
}

/* ---- Receipts and dead letters --------------------------------------------------- */

void format_receipt_encode(struct buf *out, const struct format_receipt *receipt)
{
    size_t start = out->len;
    bytes_put_u8(out, FORMAT_VERSION);
    buf_append(out, receipt->body_sum, sizeof receipt->body_sum);
    bytes_put_u64(out, receipt->first_seq);
    bytes_put_u64(out, (uint64_t)receipt->at_us);
    bytes_put_slice(out, receipt->answer);
    seal(out, start);
}

int format_receipt_decode(struct slice value, struct format_receipt *out_receipt,
                          struct err *err)
{
    static const char what[] = "a receipt";
    struct bytes_reader in;
    uint8_t version = 0;
    int rc = unseal(value, what, &in, &version, err);
    if (rc) {
        return rc;
    }
    struct slice body_sum = bytes_get_raw(&in, sizeof out_receipt->body_sum);
    struct format_receipt receipt = {.first_seq = bytes_get_u64(&in)};
    receipt.at_us = (int64_t)bytes_get_u64(&in);
    receipt.answer = bytes_get_slice(&in);
    rc = check_end(&in, what, err);
    if (rc) {
        return rc;
    }
    memcpy(receipt.body_sum, body_sum.data, body_sum.len);
    *out_receipt = receipt;
    return ERR_OK;
}

static void put_cut(struct buf *out, struct slice text)
{
    if (text.len > FORMAT_FIELD_MAX) {
        text.len = FORMAT_FIELD_MAX;
    }
    bytes_put_slice(out, text);
}

void format_dead_encode(struct buf *out, const struct format_dead *dead)
{
    size_t start = out->len;
    bytes_put_u8(out, FORMAT_VERSION);
    bytes_put_u8(out, (uint8_t)dead->state);
    bytes_put_u8(out, dead->at_intake);
    bytes_put_u32(out, dead->lane);
    bytes_put_u64(out, (uint64_t)dead->at_us);
    bytes_put_u64(out, dead->retried_seq);
    put_cut(out, dead->stream);
    put_cut(out, dead->reason);
    put_cut(out, dead->field);
    put_cut(out, dead->detail);
    bytes_put_slice(out, dead->bytes);
    seal(out, start);
}

int format_dead_decode(struct slice value, struct format_dead *out_dead, struct err *err)
{
    static const char what[] = "a dead letter";
    struct bytes_reader in;
    uint8_t version = 0;
    int rc = unseal(value, what, &in, &version, err);
    if (rc) {
        return rc;
    }
    struct format_dead dead = {0};
    uint8_t state = bytes_get_u8(&in);
    dead.at_intake = bytes_get_u8(&in) != 0;
    dead.lane = bytes_get_u32(&in);
    dead.at_us = (int64_t)bytes_get_u64(&in);
    dead.retried_seq = bytes_get_u64(&in);
    dead.stream = bytes_get_slice(&in);
    dead.reason = bytes_get_slice(&in);
    dead.field = bytes_get_slice(&in);
    dead.detail = bytes_get_slice(&in);
    dead.bytes = bytes_get_slice(&in);
    rc = check_end(&in, what, err);
    if (rc) {
        return rc;
    }
    if (state > JOURNAL_DEAD_CONFLICT || dead.stream.len > JOURNAL_STREAM_MAX) {
        return err_set(err, ERR_CORRUPT, 0, "a dead letter has the unknown state %d",
                       state);
    }
    dead.state = (enum journal_dead_state)state;
    *out_dead = dead;
    return ERR_OK;
}

/* ---- Identity as text ------------------------------------------------------------ */

void format_id_text(const uint8_t id[FORMAT_ID_LEN], char out[JOURNAL_ID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < FORMAT_ID_LEN; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[JOURNAL_ID_TEXT - 1] = '\0';
}

static const char sentinel_head[] = "holdfast journal\nversion ";

void format_sentinel_encode(struct buf *out, const char *id_text)
{
    buf_printf(out, "%s%d\nid %s\n", sentinel_head, FORMAT_VERSION, id_text);
}

int format_sentinel_decode(struct slice text, char out_id[JOURNAL_ID_TEXT],
                           struct err *err)
{
    size_t head_len = sizeof sentinel_head - 1;
    char copy[128];
    if (text.len <= head_len || text.len >= sizeof copy ||
        memcmp(text.data, sentinel_head, head_len) != 0) {
        return err_set(err, ERR_CORRUPT, 0, "journal.id is not a journal's");
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    char *end = NULL;
    long version = strtol(copy + head_len, &end, 10);
    if (version > FORMAT_VERSION) {
        return err_set(err, ERR_VERSION, 0,
                       "the journal has format version %ld, this program reads up to %d: "
                       "use the newer holdfast",
                       version, FORMAT_VERSION);
    }
    if (version < 1 || strncmp(end, "\nid ", 4) != 0 ||
        strspn(end + 4, "0123456789abcdef") != JOURNAL_ID_TEXT - 1 ||
        strcmp(end + 4 + JOURNAL_ID_TEXT - 1, "\n") != 0) {
        return err_set(err, ERR_CORRUPT, 0, "journal.id is damaged");
    }
    memcpy(out_id, end + 4, JOURNAL_ID_TEXT - 1);
    out_id[JOURNAL_ID_TEXT - 1] = '\0';
    return ERR_OK;
}
