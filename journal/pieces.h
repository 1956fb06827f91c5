/* journal/pieces.h: a child process that reads a journal, and the pipe over which it
 * hands the pieces to its parent. Both are the same program: no format is needed. */
#ifndef HOLDFAST_JOURNAL_PIECES_H
#define HOLDFAST_JOURNAL_PIECES_H

#include "base/slice.h"
#include "journal/journal.h"
#include "journal/reading_child.h"
#include "journal/store_create.h"

#include <stdio.h>

enum piece_kind {
    PIECE_BEGIN,   /* `number` is the map's length in bytes */
    PIECE_VALUE,   /* key and value of a database; of an entry `number` is the seq */
    PIECE_FORGET,  /* the entries so far have left the journal */
    PIECE_PROBLEM, /* value is a struct err; `number` the seq where it is of an entry */
    PIECE_DONE,    /* a step of the reading has ended: `number` */
    PIECE_END      /* the last; value is a struct err */
};

struct piece {
    enum piece_kind kind;
    enum building_database database;
    uint64_t number;
    struct slice key;
    struct slice value;
};

/* The child's side. Keys and values are copied; without memory the child ends. False: the
 * parent is gone. */
void piece_add(struct buf *pieces, const struct piece *piece);
bool pieces_send(FILE *out, struct buf *pieces);

struct pieces {
    struct reading_child child;
    struct buf bytes; /* of the piece in hand */
};

/* Runs `read` in a child, whose end it is. The parent's handles of LMDB aren't used in
 * it. ERR_IO, ERR_NOMEM. */
int pieces_start(void (*read)(FILE *out, const void *context), const void *context,
                 struct pieces *out_pieces, struct err *err);

/* The next piece, valid until the next call; false: the child has ended, or there is no
 * memory for it. */
bool pieces_next(struct pieces *pieces, struct piece *out_piece);

/* Waits for the child; *out_status is its wait status. ERR_NOMEM: it or its parent was
 * out of memory, so that what came isn't all. */
int pieces_stop(struct pieces *pieces, int *out_status, struct err *err);

#endif
