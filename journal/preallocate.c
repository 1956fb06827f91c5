/* From the file's present end, asked anew for each step: everything below it may hold a
 * page that was just committed. LMDB itself writes only within a commit, and commits are
 * made by the same thread.
 *
 * Where the length that was last seen is enough, the file is not asked: asking makes the
 * commit's sync write the inode too (see handle.h). */
#include "journal/preallocate.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { STEP = 1 << 20, REST_US = 10 * 1000 * 1000 };

static int write_zeros(int fd, uint64_t at, uint64_t len)
{
    static const char zeros[STEP];
    while (len) {
        size_t part = len < STEP ? (size_t)len : STEP;
        ssize_t put = store_pwrite(fd, zeros, part, (off_t)at);
        if (put <= 0) {
            return put < 0 ? errno : ENOSPC;
        }
        at += (uint64_t)put;
        len -= (uint64_t)put;
    }
    return 0;
}

static bool disk_has_room(const struct journal *journal, uint64_t len)
{
    struct statvfs disk;
    if (fstatvfs(journal->store.data_fd, &disk)) {
        return false;
    }
    return (uint64_t)disk.f_bavail * disk.f_frsize >= journal->reserve_bytes + len;
}

/* Up to where zeros are to reach. */
static uint64_t zeros_target(const struct journal *journal)
{
    uint64_t target = store_end_bytes(&journal->store) + journal->config.preallocate;
    return target < journal->store.map_bytes ? target : journal->store.map_bytes;
}

static bool is_missing(const struct journal *journal)
{
    return journal->config.preallocate && journal->extent.bytes < zeros_target(journal);
}

bool preallocate_due(const struct journal *journal)
{
    return clock_steady_us(journal->config.clock) >= journal->preallocate_after_us &&
           is_missing(journal);
}

int preallocate_look(struct journal *journal, struct err *err)
{
    const struct extent *extent = &journal->extent;
    bool has_holes = extent->written < extent->bytes;
    if (extent->bytes &&
        !(has_holes && extent->end != store_end_bytes(&journal->store))) {
        return ERR_OK;
    }
    return handle_look_at_file(journal, &journal->extent, err);
}

/* One step from the present end. *out_sys: why nothing was written, or not all. */
static int write_step(struct journal *journal, int *out_sys, struct err *err)
{
    *out_sys = 0;
    int rc = handle_look_at_file(journal, &journal->extent, err);
    if (rc || !is_missing(journal)) {
        return rc;
    }
    uint64_t at = journal->extent.bytes;
    uint64_t len = zeros_target(journal) - at;
    len = len < STEP ? len : STEP;
    *out_sys = disk_has_room(journal, len) ? write_zeros(journal->store.data_fd, at, len)
                                           : ENOSPC;
    if (!*out_sys) {
        journal->extent.bytes += len;
        journal->extent.written += len;
    }
    return ERR_OK;
}

int preallocate_step(struct journal *journal, bool sync, bool *out_more, struct err *err)
{
    *out_more = false;
    if (!preallocate_due(journal)) {
        return ERR_OK;
    }
    int sys = 0;
    int rc = write_step(journal, &sys, err);
    if (rc) {
        return rc;
    }
    if (sys) {
        /* A part may have been written. */
        journal->preallocate_after_us = clock_steady_us(journal->config.clock) + REST_US;
        return handle_look_at_file(journal, &journal->extent, err);
    }
    if (sync && fdatasync(journal->store.data_fd)) {
        return err_set_errno(err, ERR_IO, errno, "cannot sync the journal's file");
    }
    *out_more = is_missing(journal);
    return ERR_OK;
}

int preallocate_reach(struct journal *journal, uint64_t bytes, struct err *err)
{
    uint64_t wanted = store_end_bytes(&journal->store) + bytes;
    if (wanted > journal->store.map_bytes) {
        wanted = journal->store.map_bytes;
    }
    if (journal->extent.bytes >= wanted) {
        return ERR_OK;
    }
    int rc = handle_look_at_file(journal, &journal->extent, err);
    if (rc || journal->extent.bytes >= wanted) {
        return rc;
    }
    /* Where this fails, preallocate_cover makes up for it. */
    if (!ftruncate(journal->store.data_fd, (off_t)wanted)) {
        journal->extent.bytes = wanted;
    }
    return ERR_OK;
}

int preallocate_secure(struct journal *journal, uint64_t bytes, struct err *err)
{
    uint64_t end = store_end_bytes(&journal->store);
    uint64_t wanted = end + bytes;
    if (wanted > journal->store.map_bytes) {
        wanted = journal->store.map_bytes;
    }
    int rc = handle_look_at_file(journal, &journal->extent, err);
    if (rc) {
        return rc;
    }
    const struct extent *extent = &journal->extent;
    uint64_t from = extent->written < extent->bytes ? 0 : extent->bytes;
    if (from >= wanted) {
        return ERR_OK;
    }
    int failed = 0;
    if (fallocate(journal->store.data_fd, 0, (off_t)from, (off_t)(wanted - from))) {
        failed = errno;
    }
    /* One that failed may have taken a part. */
    rc = handle_look_at_file(journal, &journal->extent, err);
    if (rc || !failed) {
        return rc;
    }
    if (failed == ENOSPC || failed == EDQUOT || failed == EFBIG) {
        return err_set_errno(err, ERR_FULL, failed, "the journal's disk is full");
    }
    return preallocate_reach(journal, bytes, err);
}

int preallocate_cover(struct journal *journal, struct err *err)
{
    uint64_t end = store_end_bytes(&journal->store);
    if (journal->extent.bytes >= end) {
        return ERR_OK;
    }
    int rc = handle_look_at_file(journal, &journal->extent, err);
    uint64_t len = journal->extent.bytes;
    if (rc || len >= end) {
        return rc;
    }
    int failed = write_zeros(journal->store.data_fd, len, end - len);
    if (!failed && fdatasync(journal->store.data_fd)) {
        failed = errno;
    }
    if (failed) {
        return err_set_errno(err, ERR_IO, failed, "cannot extend the journal's file");
    }
    return handle_look_at_file(journal, &journal->extent, err);
}
