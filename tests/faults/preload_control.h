/* tests/faults/preload_control.h: what preload_control.c and the layers share: a page of
 * memory, a file that the layer makes and names in HOLDFAST_FAULTS_CONTROL.
 *
 * Counted are the calls by which data reach a disk or a peer, over all threads, from the
 * start of the process. The layer reads the counters and names the call, relative to
 * them, at which the process is killed, or which fails. Standard output and error are not
 * counted: a log line is no fault point.
 *
 * A test program may have it linked in instead (CONTROL_LINKED), to see what its own
 * objects and the libraries under them do; tests/wrapped_calls.c has further calls then.
 */
#ifndef HOLDFAST_TESTS_FAULTS_PRELOAD_CONTROL_H
#define HOLDFAST_TESTS_FAULTS_PRELOAD_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

enum control_kind {
    CONTROL_NONE,
    CONTROL_WRITE, /* write, pwrite, writev, pwritev to regular files */
    CONTROL_SYNC,  /* fsync, fdatasync */
    CONTROL_SIZE,  /* ftruncate, fallocate */
    CONTROL_NAME,  /* rename, unlink, mkdir, open that creates */
    CONTROL_SEND,  /* to sockets: write, writev, send, sendto, sendmsg, sendfile */
    CONTROL_RECV,  /* from sockets: read, recv, recvfrom, recvmsg */
    CONTROL_CONNECT,
    CONTROL_MEMORY, /* malloc, calloc, realloc, mmap; counted only while they may fail */
    CONTROL_LOOK,   /* open that doesn't create, and what else only looks */
    CONTROL_START,  /* fork, pipe, pthread_create */
    CONTROL_LMDB,   /* LMDB's own functions */
    CONTROL_PUT,    /* those of them that change something */
    CONTROL_CLIENT, /* the database client's own: handles, options, logins */
    CONTROL_QUERY,  /* its statements */
    CONTROL_RESULT, /* what they give */
    CONTROL_KINDS,
};

enum { CONTROL_PLACES = 4096, CONTROL_FRAMES = 24 };

enum control_way {
    CONTROL_ERROR, /* the call returns -1 with `error`, and does nothing */
    CONTROL_SHORT, /* half of the bytes; the error where there are no two bytes */
    CONTROL_CUT,   /* the connection is shut down first: what is under way is lost */
};

/* Atomic, all of them. The layer sets `fail_kind` and `kill_at` last. */
struct control {
    /* by the process */
    uint64_t total; /* of all kinds but RECV, CONNECT and MEMORY */
    uint64_t calls[CONTROL_KINDS];
    uint64_t failed; /* calls that failed as was asked */
    uint32_t killed;

    /* by the layer */
    uint64_t kill_at; /* of total: SIGKILL instead of the call; 0: never */
    uint64_t fail_at; /* of calls[fail_kind] */
    uint32_t fail_kind;
    uint32_t fail_forever; /* and all calls of its kind after it, until it is 0 again */
    uint32_t fail_way;
    int32_t fail_error;
    uint32_t fail_family; /* of the socket, AF_UNIX or AF_INET; 0: whichever */

    /* CONTROL_LINKED alone. With a depth, fail_at 0 stands for the first call from a
     * place that is not yet among `places`: it is put there, and into fail_at. A place is
     * a chain of so many callers, so it belongs to one process and its forks. */
    uint32_t place_depth;
    uint32_t place_count;
    uint64_t places[CONTROL_PLACES];
    void *frames[CONTROL_FRAMES]; /* of the call that was chosen */
    uint32_t frame_count;
};

/* CONTROL_LINKED alone: names the page, before there are threads. */
void control_use(struct control *page);
/* Counts a call of that kind. True: it is to fail, errno says how. */
bool control_fails(enum control_kind kind);
/* From here on the calling thread's calls are neither counted nor fail; or again are. */
void control_spare(bool spared);

#endif
