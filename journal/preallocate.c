/* From the file's present end, asked anew for each step: everything below it may hold a
 * page that was just committed. LMDB itself writes only within a commit, and commits are
 * made by the same thread. */
#include "journal/preallocate.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { STEP = 1 << 20, REST_US = 10 * 1000 * 1000 };

static int write_zeros(int fd, uint64_t at, uint64_t len)
{
    static const char zeros[STEP];
    while (len) {
        size_t part = len < STEP ? (size_t)len : STEP;
        ssize_t put = pwrite(fd, zeros, part, (off_t)at);
        if (put < 0 && errno == EINTR) {
            continue;
        }
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

/* Bytes to be written now, at *out_at; 0: enough is there. */
static uint64_t next_step(const struct journal *journal, uint64_t *out_at)
{
    struct stat file;
    if (!journal->config.preallocate || fstat(journal->store.data_fd, &file)) {
        return 0;
    }
    uint64_t target = store_end_bytes(&journal->store) + journal->config.preallocate;
    if (target > journal->store.map_bytes) {
        target = journal->store.map_bytes;
    }
    uint64_t len = (uint64_t)file.st_size;
    *out_at = len;
    if (len >= target) {
        return 0;
    }
    return target - len < STEP ? target - len : STEP;
}

int preallocate_step(struct journal *journal, bool sync, bool *out_more, struct err *err)
{
    uint64_t at = 0;
    *out_more = false;
    int64_t now = clock_steady_us(journal->config.clock);
    if (now < journal->preallocate_after_us) {
        return ERR_OK;
    }
    uint64_t len = next_step(journal, &at);
    if (!len) {
        return ERR_OK;
    }
    if (!disk_has_room(journal, len) || write_zeros(journal->store.data_fd, at, len)) {
        journal->preallocate_after_us = now + REST_US;
        return ERR_OK;
    }
    if (sync && fdatasync(journal->store.data_fd)) {
        return err_set_errno(err, ERR_IO, errno, "cannot sync the journal's file");
    }
    *out_more = next_step(journal, &at) > 0;
    return ERR_OK;
}

void preallocate_reach(const struct journal *journal, uint64_t bytes)
{
    struct stat file;
    uint64_t wanted = store_end_bytes(&journal->store) + bytes;
    if (wanted > journal->store.map_bytes) {
        wanted = journal->store.map_bytes;
    }
    if (fstat(journal->store.data_fd, &file) || (uint64_t)file.st_size >= wanted) {
        return;
    }
    /* Where this fails, preallocate_cover makes up for it. */
    int failed = ftruncate(journal->store.data_fd, (off_t)wanted);
    (void)failed;
}

int preallocate_cover(struct journal *journal, struct err *err)
{
    struct stat file;
    uint64_t end = store_end_bytes(&journal->store);
    if (fstat(journal->store.data_fd, &file)) {
        return err_set_errno(err, ERR_IO, errno, "cannot examine the journal's file");
    }
    uint64_t len = (uint64_t)file.st_size;
    if (len >= end) {
        return ERR_OK;
    }
    int failed = write_zeros(journal->store.data_fd, len, end - len);
    if (!failed && fdatasync(journal->store.data_fd)) {
        failed = errno;
    }
    return failed ? err_set_errno(err, ERR_IO, failed, "cannot extend the journal's file")
                  : ERR_OK;
}
