#include "journal/pieces.h"

struct piece_head {
    enum piece_kind kind;
    enum building_database database;
    uint64_t number;
    uint64_t key_len;
    uint64_t value_len;
};

void piece_add(struct buf *pieces, const struct piece *piece)
{
    struct piece_head head = {.kind = piece->kind,
                              .database = piece->database,
                              .number = piece->number,
                              .key_len = piece->key.len,
                              .value_len = piece->value.len};
    buf_append(pieces, &head, sizeof head);
    buf_append_slice(pieces, piece->key);
    if (!buf_append_slice(pieces, piece->value)) {
        reading_child_lacks_memory();
    }
}

bool pieces_send(FILE *out, struct buf *pieces)
{
    bool sent = fwrite(pieces->data, 1, pieces->len, out) == pieces->len;
    buf_clear(pieces);
    return sent && fflush(out) == 0;
}

int pieces_start(void (*read)(FILE *out, const void *context), const void *context,
                 struct pieces *out_pieces, struct err *err)
{
    struct pieces pieces = {0};
    int code = reading_child_start(read, context, &pieces.child, err);
    if (code == ERR_OK) {
        *out_pieces = pieces;
    }
    return code;
}

bool pieces_next(struct pieces *pieces, struct piece *out_piece)
{
    struct piece_head head;
    buf_clear(&pieces->bytes);
    if (fread(&head, sizeof head, 1, pieces->child.in) != 1) {
        return false;
    }
    size_t len = (size_t)(head.key_len + head.value_len);
    if (!buf_reserve(&pieces->bytes, len + 1) ||
        fread(pieces->bytes.data, 1, len, pieces->child.in) != len) {
        return false;
    }
    const char *bytes = pieces->bytes.data;
    *out_piece =
        (struct piece){.kind = head.kind,
                       .database = head.database,
                       .number = head.number,
                       .key = slice_of(bytes, (size_t)head.key_len),
                       .value = slice_of(bytes + head.key_len, (size_t)head.value_len)};
    return true;
}

int pieces_stop(struct pieces *pieces, int *out_status, struct err *err)
{
    bool lacked = pieces->bytes.failed;
    buf_free(&pieces->bytes);
    int rc = reading_child_stop(&pieces->child, out_status, err);
    return lacked ? err_set(err, ERR_NOMEM, 0, "out of memory for what was read") : rc;
}
