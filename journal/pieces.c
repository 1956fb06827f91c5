#include "journal/pieces.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct piece_head {
    enum piece_kind kind;
    enum building_database database;
    uint64_t number;
    uint64_t key_len;
    uint64_t value_len;
};

bool piece_add(struct buf *pieces, const struct piece *piece)
{
    struct piece_head head = {.kind = piece->kind,
                              .database = piece->database,
                              .number = piece->number,
                              .key_len = piece->key.len,
                              .value_len = piece->value.len};
    return buf_append(pieces, &head, sizeof head) &&
           buf_append_slice(pieces, piece->key) && buf_append_slice(pieces, piece->value);
}

bool pieces_send(FILE *out, struct buf *pieces)
{
    bool sent = fwrite(pieces->data, 1, pieces->len, out) == pieces->len;
    buf_clear(pieces);
    return sent && fflush(out) == 0;
}

static _Noreturn void be_child(void (*read)(FILE *out, const void *context),
                               const void *context, int fd)
{
    /* A fault ends the child visibly, whatever handlers the program has. */
    (void)signal(SIGSEGV, SIG_DFL);
    (void)signal(SIGBUS, SIG_DFL);
    (void)signal(SIGFPE, SIG_DFL);
    (void)signal(SIGABRT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    FILE *out = fdopen(fd, "w");
    if (!out) {
        _exit(1);
    }
    read(out, context);
    _exit(fflush(out) ? 1 : 0);
}

int pieces_start(void (*read)(FILE *out, const void *context), const void *context,
                 struct pieces *out_pieces, struct err *err)
{
    int ends[2];
    if (pipe(ends)) {
        return err_set_errno(err, ERR_IO, errno, "cannot make a pipe");
    }
    FILE *in = fdopen(ends[0], "r");
    pid_t child = in ? fork() : -1;
    if (child < 0) {
        int failed = errno;
        (void)(in ? fclose(in) : close(ends[0]));
        (void)close(ends[1]);
        return err_set_errno(err, ERR_NOMEM, failed, "cannot start the reading process");
    }
    if (child == 0) {
        (void)close(ends[0]);
        be_child(read, context, ends[1]);
    }
    (void)close(ends[1]);
    *out_pieces = (struct pieces){.child = child, .in = in};
    return ERR_OK;
}

bool pieces_next(struct pieces *pieces, struct piece *out_piece)
{
    struct piece_head head;
    buf_clear(&pieces->bytes);
    if (fread(&head, sizeof head, 1, pieces->in) != 1) {
        return false;
    }
    size_t len = (size_t)(head.key_len + head.value_len);
    if (!buf_reserve(&pieces->bytes, len + 1) ||
        fread(pieces->bytes.data, 1, len, pieces->in) != len) {
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

int pieces_stop(struct pieces *pieces)
{
    int status = 0;
    (void)fclose(pieces->in);
    buf_free(&pieces->bytes);
    while (waitpid(pieces->child, &status, 0) < 0 && errno == EINTR) {
        /* again */
    }
    return status;
}
