/* tests/faults/trace.h: the recorder's file.
 *
 * One struct trace_event after the other in host order, each followed by `name_len` bytes
 * of names (for a rename two, parted by NUL) and `data_len` bytes of data. `node` and
 * `parent` are inode numbers; a number that is created anew is another file.
 */
#ifndef HOLDFAST_TESTS_FAULTS_TRACE_H
#define HOLDFAST_TESTS_FAULTS_TRACE_H

#include <stdint.h>

enum trace_kind {
    TRACE_ROOT,   /* node: the watched directory; the first event */
    TRACE_CREATE, /* parent, name, node: a file */
    TRACE_MKDIR,  /* parent, name, node */
    TRACE_WRITE,  /* node, offset, len, data (none: zeros); durable: O_DSYNC */
    TRACE_SIZE,   /* node, len: its new size */
    TRACE_SYNC,   /* node, a file or a directory */
    TRACE_RENAME, /* parent, to_parent, two names, node: what has moved */
    TRACE_UNLINK, /* parent, name */
    TRACE_MARK,   /* data: what the program says */
};

struct trace_event {
    uint32_t kind;
    uint32_t durable;
    uint32_t name_len;
    uint32_t data_len;
    uint64_t node;
    uint64_t parent;
    uint64_t to_parent;
    uint64_t offset;
    uint64_t len;
};

#endif
