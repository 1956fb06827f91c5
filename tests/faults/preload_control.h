/* tests/faults/preload_control.h: what preload_control.c and the layers share: a page of
 * memory, a file that the layer makes and names in HOLDFAST_FAULTS_CONTROL.
 *
 * Counted are the calls by which data reach a disk or a peer, over all threads, from the
 * start of the process. The layer reads the counters and names the call, relative to
 * them, at which the process is killed, or which fails. Standard output and error are not
 * counted: a log line is no fault point.
 */
#ifndef HOLDFAST_TESTS_FAULTS_PRELOAD_CONTROL_H
#define HOLDFAST_TESTS_FAULTS_PRELOAD_CONTROL_H

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
    CONTROL_KINDS,
};

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
};

#endif
