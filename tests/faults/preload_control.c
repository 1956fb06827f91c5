/* tests/faults/preload_control.c: counts the calls of the real binary, and kills it at,
 * or fails, the one that a layer chose; see preload_control.h. */
#undef _FORTIFY_SOURCE /* its inline open() would stand in the way of ours */
#include "tests/faults/preload_control.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct control *control; /* NULL: nobody asked, or not yet */

/* glibc's own names for what stands behind ours; in a program the linker's, of what its
 * own objects ask for, so that a sanitizer's allocator stays in its place. And what
 * glibc's headers declare under other names, or in other headers.
 * NOLINTBEGIN(*-identifier-naming, *-reserved-identifier) */
#ifdef CONTROL_LINKED
#define OURS_(name) __wrap_##name
#define BEHIND_(name) __real_##name
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *memory, size_t len);
#else
#define OURS_(name) name
#define BEHIND_(name) __libc_##name
#endif
void *BEHIND_(malloc)(size_t len);
void *BEHIND_(calloc)(size_t count, size_t len);
void *BEHIND_(realloc)(void *memory, size_t len);
/* NOLINTEND(*-identifier-naming, *-reserved-identifier) */
int rename(const char *from, const char *to);
ssize_t sendfile64(int to, int from, off64_t *at, size_t len);

#ifndef CONTROL_LINKED
/* Before main(), and before there are threads. */
__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("HOLDFAST_FAULTS_CONTROL");
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd < 0) {
        return;
    }
    long map = syscall(SYS_mmap, NULL, sizeof *control, PROT_READ | PROT_WRITE,
                       MAP_SHARED, fd, 0);
    (void)syscall(SYS_close, fd);
    control = map == -1 ? NULL : (struct control *)map;
}
#endif

/* ---- Counting ---------------------------------------------------------------------- */

struct verdict {
    bool fails;
    size_t len; /* of the bytes, so many are passed on */
};

static void die(void)
{
    __atomic_store_n(&control->killed, 1, __ATOMIC_SEQ_CST);
    (void)syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) {
        (void)pause();
    }
}

static bool is_family(int fd, uint32_t wanted)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    return wanted == 0 || (getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
                           own.ss_family == wanted);
}

#ifdef CONTROL_LINKED
static _Thread_local bool is_spared;

void control_spare(bool spared)
{
    is_spared = spared;
}

/* Of the calls with the same callers one fails; then that one's number is fail_at. */
static uint64_t choose_place(uint64_t number)
{
    static const uint64_t fnv_start = 0xcbf29ce484222325;
    static const uint64_t fnv_prime = 0x100000001b3;
    void *frames[CONTROL_FRAMES];
    uint64_t place = fnv_start;
    uint64_t none = 0;
    int count = backtrace(frames, (int)control->place_depth);
    for (int i = 0; i < count; i++) {
        place = (place ^ (uint64_t)(uintptr_t)frames[i]) * fnv_prime;
    }
    uint32_t known = __atomic_load_n(&control->place_count, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < known; i++) {
        if (control->places[i] == place) {
            return 0;
        }
    }
    if (known == CONTROL_PLACES ||
        !__atomic_compare_exchange_n(&control->fail_at, &none, number, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        return 0; /* no room; or another thread's was chosen meanwhile */
    }
    control->places[known] = place;
    __atomic_store_n(&control->place_count, known + 1, __ATOMIC_SEQ_CST);
    memcpy(control->frames, frames, (size_t)count * sizeof *frames);
    control->frame_count = (uint32_t)count;
    return number;
}
#else
static const bool is_spared = false;

static uint64_t choose_place(uint64_t number)
{
    (void)number;
    return 0;
}
#endif

static bool is_met(enum control_kind kind, uint64_t number)
{
    if (__atomic_load_n(&control->fail_kind, __ATOMIC_SEQ_CST) != kind) {
        return false;
    }
    uint64_t at = __atomic_load_n(&control->fail_at, __ATOMIC_SEQ_CST);
    if (at == 0 && control->place_depth) {
        at = choose_place(number);
        return at != 0;
    }
    return number == at ||
           (number > at && __atomic_load_n(&control->fail_forever, __ATOMIC_SEQ_CST));
}

/* `fd` -1: none. */
static struct verdict enter(enum control_kind kind, int fd, size_t len)
{
    struct verdict verdict = {.len = len};
    if (control == NULL || kind == CONTROL_NONE || is_spared) {
        return verdict;
    }
    /* one counter that all threads write at each allocation would slow them all down */
    if (kind == CONTROL_MEMORY &&
        __atomic_load_n(&control->fail_kind, __ATOMIC_RELAXED) != CONTROL_MEMORY) {
        return verdict;
    }
    if (kind < CONTROL_RECV) {
        uint64_t total = __atomic_add_fetch(&control->total, 1, __ATOMIC_SEQ_CST);
        if (total == __atomic_load_n(&control->kill_at, __ATOMIC_SEQ_CST)) {
            die();
        }
    }
    bool socket = kind == CONTROL_SEND || kind == CONTROL_RECV || kind == CONTROL_CONNECT;
    if (socket && !is_family(fd, control->fail_family)) {
        return verdict;
    }
    uint64_t number = __atomic_add_fetch(&control->calls[kind], 1, __ATOMIC_SEQ_CST);
    if (!is_met(kind, number)) {
        return verdict;
    }
    (void)__atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
    if (control->fail_way == CONTROL_CUT && fd >= 0) {
        (void)shutdown(fd, SHUT_RDWR);
    }
    if (control->fail_way == CONTROL_SHORT && len > 1) {
        verdict.len = len / 2;
        return verdict;
    }
    errno = control->fail_error;
    verdict.fails = true;
    return verdict;
}

#ifdef CONTROL_LINKED
void control_use(struct control *page)
{
    control = page;
}

bool control_fails(enum control_kind kind)
{
    return enter(kind, -1, 0).fails;
}
#endif

/* What a write or read of this descriptor is; pipes and the like don't count. */
static enum control_kind kind_of(int fd, enum control_kind file, enum control_kind socket)
{
    struct stat st;
    if (control == NULL || fd == STDOUT_FILENO || fd == STDERR_FILENO ||
        fstatat(fd, "", &st, AT_EMPTY_PATH) != 0) {
        return CONTROL_NONE;
    }
    return S_ISREG(st.st_mode) ? file : S_ISSOCK(st.st_mode) ? socket : CONTROL_NONE;
}

/* ---- Bytes ------------------------------------------------------------------------- */

ssize_t write(int fd, const void *bytes, size_t len)
{
    struct verdict verdict = enter(kind_of(fd, CONTROL_WRITE, CONTROL_SEND), fd, len);
    return verdict.fails ? -1 : syscall(SYS_write, fd, bytes, verdict.len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    struct verdict verdict = enter(CONTROL_WRITE, fd, len);
    return verdict.fails ? -1 : syscall(SYS_pwrite64, fd, bytes, verdict.len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return pwrite(fd, bytes, len, at);
}

/* A short one takes the first half of the parts, or half of a single one. */
static ssize_t write_parts(enum control_kind kind, int fd, const struct iovec *parts,
                           int count, off_t at)
{
    struct iovec first = parts[0];
    struct verdict verdict = enter(kind, fd, count > 1 ? (size_t)count : first.iov_len);
    if (verdict.fails) {
        return -1;
    }
    if (count > 1) {
        count = (int)verdict.len;
    } else {
        first.iov_len = verdict.len;
        parts = &first;
    }
    return at < 0 ? syscall(SYS_writev, fd, parts, count)
                  : syscall(SYS_pwritev, fd, parts, count, at, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_parts(kind_of(fd, CONTROL_WRITE, CONTROL_SEND), fd, parts, count, -1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return write_parts(CONTROL_WRITE, fd, parts, count, at);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    struct verdict verdict = enter(CONTROL_SEND, fd, len);
    return verdict.fails ? -1
                         : syscall(SYS_sendto, fd, bytes, verdict.len, flags, NULL, 0);
}

ssize_t sendto(int fd, const void *bytes, size_t len, int flags,
               const struct sockaddr *to, socklen_t to_len)
{
    struct verdict verdict = enter(CONTROL_SEND, fd, len);
    return verdict.fails ? -1
                         : syscall(SYS_sendto, fd, bytes, verdict.len, flags, to, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr part = *message;
    struct iovec first = {0};
    size_t count = part.msg_iovlen;
    size_t len = count > 1 ? count : 0;
    if (count == 1) {
        first = part.msg_iov[0];
        len = first.iov_len;
    }
    struct verdict verdict = enter(CONTROL_SEND, fd, len);
    if (verdict.fails) {
        return -1;
    }
    if (count == 1) {
        first.iov_len = verdict.len;
        part.msg_iov = &first;
    } else if (count > 1) {
        part.msg_iovlen = verdict.len;
    }
    return syscall(SYS_sendmsg, fd, &part, flags);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t len)
{
    struct verdict verdict = enter(CONTROL_SEND, to, len);
    return verdict.fails ? -1 : syscall(SYS_sendfile, to, from, at, verdict.len);
}

ssize_t read(int fd, void *bytes, size_t len)
{
    struct verdict verdict = enter(kind_of(fd, CONTROL_NONE, CONTROL_RECV), fd, len);
    return verdict.fails ? -1 : syscall(SYS_read, fd, bytes, verdict.len);
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    struct verdict verdict = enter(CONTROL_RECV, fd, len);
    return verdict.fails
               ? -1
               : syscall(SYS_recvfrom, fd, bytes, verdict.len, flags, NULL, NULL);
}

ssize_t recvfrom(int fd, void *bytes, size_t len, int flags, struct sockaddr *from,
                 socklen_t *from_len)
{
    struct verdict verdict = enter(CONTROL_RECV, fd, len);
    return verdict.fails
               ? -1
               : syscall(SYS_recvfrom, fd, bytes, verdict.len, flags, from, from_len);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct verdict verdict = enter(CONTROL_RECV, fd, 0);
    return verdict.fails ? -1 : syscall(SYS_recvmsg, fd, message, flags);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    struct verdict verdict = enter(CONTROL_CONNECT, fd, 0);
    return verdict.fails ? -1 : (int)syscall(SYS_connect, fd, to, len);
}

/* ---- Syncs, sizes, names ----------------------------------------------------------- */

int fsync(int fd)
{
    return enter(CONTROL_SYNC, fd, 0).fails ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return enter(CONTROL_SYNC, fd, 0).fails ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t len)
{
    return enter(CONTROL_SIZE, fd, 0).fails ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    return ftruncate(fd, len);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    return enter(CONTROL_SIZE, fd, 0).fails
               ? -1
               : (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int rename(const char *from, const char *to)
{
    return enter(CONTROL_NAME, -1, 0).fails ? -1 : (int)syscall(SYS_rename, from, to);
}

int unlink(const char *path)
{
    return enter(CONTROL_NAME, -1, 0).fails ? -1 : (int)syscall(SYS_unlink, path);
}

int mkdir(const char *path, mode_t mode)
{
    return enter(CONTROL_NAME, -1, 0).fails ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

static int open_at(int directory, const char *path, int flags, va_list arguments)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        /* This file is compiled twice, and at the second time clang-tidy 14 takes
         * va_start for unknown. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
        mode = va_arg(arguments, mode_t);
    }
    enum control_kind kind = (flags & O_CREAT) != 0 ? CONTROL_NAME : CONTROL_LOOK;
    if (enter(kind, -1, 0).fails) {
        return -1;
    }
    return (int)syscall(SYS_openat, directory, path, flags, mode);
}

#define OPEN_BODY_(directory)                                                            \
    va_list arguments;                                                                   \
    va_start(arguments, flags);                                                          \
    int fd = open_at(directory, path, flags, arguments);                                 \
    va_end(arguments);                                                                   \
    return fd

int open(const char *path, int flags, ...)
{
    OPEN_BODY_(AT_FDCWD);
}

int open64(const char *path, int flags, ...)
{
    OPEN_BODY_(AT_FDCWD);
}

int openat(int directory, const char *path, int flags, ...)
{
    OPEN_BODY_(directory);
}

int openat64(int directory, const char *path, int flags, ...)
{
    OPEN_BODY_(directory);
}

/* ---- Memory ------------------------------------------------------------------------ */

void *OURS_(malloc)(size_t len)
{
    return enter(CONTROL_MEMORY, -1, 0).fails ? NULL : BEHIND_(malloc)(len);
}

void *OURS_(calloc)(size_t count, size_t len)
{
    return enter(CONTROL_MEMORY, -1, 0).fails ? NULL : BEHIND_(calloc)(count, len);
}

void *OURS_(realloc)(void *memory, size_t len)
{
    return enter(CONTROL_MEMORY, -1, 0).fails ? NULL : BEHIND_(realloc)(memory, len);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    if (enter(CONTROL_MEMORY, -1, 0).fails) {
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, len, protection, flags, fd, offset);
}
