#include "replay/bury.h"

#include "schema/record.h"

#include <stdlib.h>

enum { BURY_LETTERS = 256, BURY_BYTES = 1 << 20 };

/* Letters of one entry that wait to be written together. */
struct pit {
    const struct bury *bury;
    const struct journal_entry *entry;
    struct record_decoder *decoder;
    struct value *values; /* of the row last read */
    uint32_t next_index;  /* the decoder's next row */
    struct buf bytes;
    size_t at[BURY_LETTERS]; /* where each letter's bytes begin */
    struct journal_dead_letter letters[BURY_LETTERS];
    size_t count;
};

static int flush(struct pit *pit, struct err *err)
{
    if (pit->bytes.failed) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the bytes of dead letters");
    }
    for (size_t i = 0; i < pit->count; i++) {
        size_t end = i + 1 < pit->count ? pit->at[i + 1] : pit->bytes.len;
        pit->letters[i].bytes = slice_of(pit->bytes.data + pit->at[i], end - pit->at[i]);
    }
    const struct bury *bury = pit->bury;
    int code = ERR_OK;
    if (pit->count) {
        code = bury->add(bury->journal, pit->entry->seq, pit->letters, pit->count, err);
    }
    pit->count = 0;
    buf_clear(&pit->bytes);
    return code;
}

/* Goes on to the row, whether or not it can be read under today's configuration. */
static int read_row(struct pit *pit, uint32_t index, struct err *err)
{
    int code = ERR_OK;
    while (pit->next_index <= index && (code == ERR_OK || code == ERR_DATA)) {
        struct reject reject;
        code = record_decoder_next(pit->decoder, pit->values, &reject, err);
        pit->next_index++;
    }
    return code == ERR_DATA ? ERR_OK : code;
}

static int add_letter(struct pit *pit, const struct burial *burial, struct err *err)
{
    if (pit->count == BURY_LETTERS || pit->bytes.len >= BURY_BYTES) {
        if (flush(pit, err) != ERR_OK) {
            return err->code;
        }
    }
    int code = read_row(pit, burial->index, err);
    if (code != ERR_OK) {
        return code;
    }
    pit->at[pit->count] = pit->bytes.len;
    record_decoder_append_json(pit->decoder, &pit->bytes);
    pit->letters[pit->count++] = (struct journal_dead_letter){
        .index = burial->index,
        .at_us = pit->bury->at_us,
        .reason = burial->reason,
        .field = burial->field,
        .detail = burial->detail,
    };
    return ERR_OK;
}

static const struct journal_entry *entry_of(const struct journal_entries *entries,
                                            uint64_t seq)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->items[i].seq == seq) {
            return &entries->items[i];
        }
    }
    return NULL;
}

/* The burials of one entry. */
static int bury_of_entry(struct pit *pit, const struct burial *burials, size_t count,
                         struct err *err)
{
    const struct bury *bury = pit->bury;
    pit->entry = entry_of(bury->entries, burials[0].seq);
    pit->next_index = 0;
    if (!pit->entry) {
        return err_set(err, ERR_INTERNAL, 0,
                       "a dead letter of entry %llu, which is not "
                       "in hand",
                       (unsigned long long)burials[0].seq);
    }
    int code = record_decoder_new(bury->stream, pit->entry->payload, &pit->decoder, err);
    if (code != ERR_OK) {
        return code;
    }
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        code = add_letter(pit, &burials[i], err);
    }
    record_decoder_free(pit->decoder);
    return code == ERR_OK ? flush(pit, err) : code;
}

static size_t same_entry(const struct burial *burials, size_t count)
{
    size_t same = 1;
    while (same < count && burials[same].seq == burials[0].seq) {
        same++;
    }
    return same;
}

static int bury_all(struct pit *pit, const struct burial *burials, size_t count,
                    struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0, same; i < count && code == ERR_OK; i += same) {
        same = same_entry(burials + i, count - i);
        code = bury_of_entry(pit, burials + i, same, err);
    }
    return code;
}

int bury(const struct bury *bury, const struct burial *burials, size_t count,
         struct err *err)
{
    if (count == 0) {
        return ERR_OK;
    }
    struct pit *pit = calloc(1, sizeof *pit);
    struct value *values = calloc(bury->stream->field_count, sizeof *values);
    int code;
    if (pit && values) {
        pit->bury = bury;
        pit->values = values;
        code = bury_all(pit, burials, count, err);
        buf_free(&pit->bytes);
    } else {
        code = err_set(err, ERR_NOMEM, 0, "no memory for dead letters");
    }
    free(values);
    free(pit);
    return code;
}
