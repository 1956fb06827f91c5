/* tests/faults/preload_record.c: writes down every call that changes what is in a
 * directory (HOLDFAST_FAULTS_WATCH) or syncs something in it, in the order in which they
 * happened, to a file (HOLDFAST_FAULTS_TRACE; its form: trace.h).
 *
 * One lock is held around each call and its record, so there is one order over all
 * threads; the program itself puts its marks into the same order by faults_mark(). What
 * it writes through a memory map is not seen: the journal doesn't.
 */
#undef _FORTIFY_SOURCE /* its inline open() would stand in the way of ours */
#include "tests/faults/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HERE_MAX = 512 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int trace = -1;
static char watch[HERE_MAX];

/* ---- Records ----------------------------------------------------------------------- */

static void put(const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        long n = syscall(SYS_write, trace, at, len);
        if (n <= 0) {
            abort(); /* half a trace would be worse than none */
        }
        at += n;
        len -= (size_t)n;
    }
}

static void record(const struct trace_event *event, const char *names,
                   const struct iovec *parts, int count)
{
    put(event, sizeof *event);
    if (event->name_len > 0) {
        put(names, event->name_len);
    }
    size_t left = event->data_len;
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = parts[i].iov_len < left ? parts[i].iov_len : left;
        put(parts[i].iov_base, len);
        left -= len;
    }
}

static void start(void)
{
    const char *path = getenv("HOLDFAST_FAULTS_TRACE");
    const char *directory = getenv("HOLDFAST_FAULTS_WATCH");
    struct stat st;
    if (path == NULL || directory == NULL || strlen(directory) >= sizeof watch ||
        stat(directory, &st) != 0) {
        return;
    }
    (void)snprintf(watch, sizeof watch, "%s", directory);
    trace = (int)syscall(SYS_openat, AT_FDCWD, path,
                         O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct trace_event root = {.kind = TRACE_ROOT, .node = st.st_ino};
    if (trace >= 0) {
        record(&root, NULL, NULL, 0);
    }
}

static bool begin(void)
{
    (void)pthread_once(&once, start);
    if (trace < 0) {
        return false;
    }
    (void)pthread_mutex_lock(&lock);
    return true;
}

static void end(void)
{
    int keep = errno;
    (void)pthread_mutex_unlock(&lock);
    errno = keep;
}

/* ---- Who is meant ------------------------------------------------------------------ */

static bool is_within(const char *path)
{
    size_t len = strlen(watch);
    return strncmp(path, watch, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool path_of(int fd, char out[HERE_MAX])
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, out, HERE_MAX - 1);
    out[len > 0 ? len : 0] = '\0';
    return len > 0;
}

/* The inode where the descriptor is of something watched; 0: it isn't. */
static uint64_t watched(int fd)
{
    char path[HERE_MAX];
    struct stat st;
    return path_of(fd, path) && is_within(path) && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

struct place {
    uint64_t parent; /* 0: not watched */
    uint64_t node;   /* what is there; 0: nothing */
    char name[256];
};

/* Where a path leads, before the call that changes it. */
static struct place place_of(int directory, const char *path)
{
    struct place place = {0};
    char whole[2 * HERE_MAX];
    char base[HERE_MAX] = "";
    struct stat st;
    if (path[0] != '/' && directory != AT_FDCWD) {
        (void)path_of(directory, base);
    } else if (path[0] != '/' && getcwd(base, sizeof base) == NULL) {
        return place;
    }
    (void)snprintf(whole, sizeof whole, "%s%s%s", base, *base ? "/" : "", path);
    char *slash = strrchr(whole, '/');
    if (slash == NULL || !is_within(whole) || strlen(slash + 1) >= sizeof place.name) {
        return place;
    }
    memcpy(place.name, slash + 1, strlen(slash + 1) + 1);
    place.node = lstat(whole, &st) == 0 ? st.st_ino : 0;
    *slash = '\0';
    place.parent = is_within(whole) && stat(whole, &st) == 0 ? st.st_ino : 0;
    return place;
}

static void record_named(enum trace_kind kind, const struct place *place, uint64_t node)
{
    struct trace_event event = {.kind = kind,
                                .node = node,
                                .parent = place->parent,
                                .name_len = (uint32_t)strlen(place->name)};
    record(&event, place->name, NULL, 0);
}

static bool are_zeros(const struct iovec *parts, int count)
{
    for (int i = 0; i < count; i++) {
        const char *bytes = parts[i].iov_base;
        size_t len = parts[i].iov_len;
        if (len > 0 && (bytes[0] != 0 || memcmp(bytes, bytes + 1, len - 1) != 0)) {
            return false;
        }
    }
    return true;
}

static void record_write(int fd, const struct iovec *parts, int count, off_t offset,
                         ssize_t len)
{
    uint64_t node = len > 0 ? watched(fd) : 0;
    if (node == 0) {
        return;
    }
    struct trace_event event = {.kind = TRACE_WRITE,
                                .node = node,
                                .offset = (uint64_t)offset,
                                .len = (uint64_t)len,
                                .durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0};
    event.data_len = are_zeros(parts, count) ? 0 : (uint32_t)len;
    record(&event, NULL, parts, count);
}

static void record_node(enum trace_kind kind, int fd, uint64_t len)
{
    struct trace_event event = {.kind = kind, .node = watched(fd), .len = len};
    if (event.node != 0) {
        record(&event, NULL, NULL, 0);
    }
}

void faults_mark(const void *bytes, size_t len);
void faults_mark(const void *bytes, size_t len)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = bytes};
    struct iovec part = {pointer.out, len};
    struct trace_event event = {.kind = TRACE_MARK, .data_len = (uint32_t)len};
    if (begin()) {
        record(&event, NULL, &part, 1);
        end();
    }
}

/* ---- Bytes ------------------------------------------------------------------------- */

static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t at)
{
    bool recording = begin();
    off_t offset = at;
    if (recording && at < 0) {
        offset = lseek(fd, 0, SEEK_CUR);
    }
    ssize_t len = at < 0 ? syscall(SYS_writev, fd, parts, count)
                         : syscall(SYS_pwritev, fd, parts, count, at, 0);
    if (recording) {
        int keep = errno;
        record_write(fd, parts, count, offset, len);
        errno = keep;
        end();
    }
    return len;
}

static ssize_t write_one(int fd, const void *bytes, size_t len, off_t at)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = bytes};
    struct iovec part = {pointer.out, len};
    return write_parts(fd, &part, 1, at);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    return write_one(fd, bytes, len, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return write_one(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return write_one(fd, bytes, len, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_parts(fd, parts, count, -1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return write_parts(fd, parts, count, at);
}

static int resize(int fd, off_t len)
{
    bool recording = begin();
    int rc = (int)syscall(SYS_ftruncate, fd, len);
    if (recording) {
        if (rc == 0) {
            record_node(TRACE_SIZE, fd, (uint64_t)len);
        }
        end();
    }
    return rc;
}

int ftruncate(int fd, off_t len)
{
    return resize(fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    return resize(fd, len);
}

static int sync_by(long number, int fd)
{
    bool recording = begin();
    int rc = (int)syscall(number, fd);
    if (recording) {
        if (rc == 0) {
            record_node(TRACE_SYNC, fd, 0);
        }
        end();
    }
    return rc;
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

/* Nothing of the engine calls these on its journal; if that changes, the recorder has to
 * learn what they mean. */
static void refuse_unknown(int fd, const char *call)
{
    (void)pthread_once(&once, start);
    if (trace >= 0 && watched(fd) != 0) {
        (void)fprintf(stderr, "preload_record.c doesn't know %s\n", call);
        abort();
    }
}

/* Room is nothing that an image shows; a length is, even one that a failed call left. */
int fallocate(int fd, int mode, off_t offset, off_t len)
{
    if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) {
        refuse_unknown(fd, "fallocate");
    }
    bool recording = begin();
    struct stat before = {0};
    struct stat now = {0};
    (void)fstat(fd, &before);
    int rc = (int)syscall(SYS_fallocate, fd, mode, offset, len);
    int keep = errno;
    if (recording) {
        if (fstat(fd, &now) == 0 && now.st_size != before.st_size) {
            record_node(TRACE_SIZE, fd, (uint64_t)now.st_size);
        }
        end();
    }
    errno = keep;
    return rc;
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t len,
                        unsigned flags)
{
    refuse_unknown(to, "copy_file_range");
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, len, flags);
}

/* ---- Names ------------------------------------------------------------------------- */

static int open_at(int directory, const char *path, int flags, mode_t mode)
{
    bool changes = (flags & (O_CREAT | O_TRUNC)) != 0 && begin();
    struct place place = {0};
    if (changes) {
        place = place_of(directory, path);
    }
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    int keep = errno;
    if (changes && fd >= 0 && place.parent != 0) {
        if (place.node == 0) {
            record_named(TRACE_CREATE, &place, watched(fd));
        } else if ((flags & O_TRUNC) != 0) {
            record_node(TRACE_SIZE, fd, 0);
        }
    }
    errno = keep;
    if (changes) {
        end();
    }
    return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define OPEN_BODY_(directory)                                                            \
    va_list arguments;                                                                   \
    va_start(arguments, flags);                                                          \
    mode_t mode = mode_of(flags, arguments);                                             \
    va_end(arguments);                                                                   \
    return open_at(directory, path, flags, mode)

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

int mkdir(const char *path, mode_t mode)
{
    bool recording = begin();
    struct place place = {0};
    if (recording) {
        place = place_of(AT_FDCWD, path);
    }
    int rc = (int)syscall(SYS_mkdir, path, mode);
    struct stat st;
    if (recording && rc == 0 && place.parent != 0 && stat(path, &st) == 0) {
        record_named(TRACE_MKDIR, &place, st.st_ino);
    }
    if (recording) {
        end();
    }
    return rc;
}

/* glibc's own calls a mkdir() that nobody can stand before. */
char *mkdtemp(char *path)
{
    static unsigned number;
    size_t len = strlen(path);
    for (int tries = 0; tries < 1000; tries++) {
        (void)snprintf(path + len - 6, 7, "%06u",
                       ((unsigned)getpid() * 31 + number++) % 1000000);
        if (mkdir(path, 0700) == 0) {
            return path;
        }
        if (errno != EEXIST) {
            return NULL;
        }
    }
    return NULL;
}

static int rename_at(int from_directory, const char *from, int to_directory,
                     const char *to)
{
    bool recording = begin();
    struct place old = {0};
    struct place new = {0};
    if (recording) {
        old = place_of(from_directory, from);
        new = place_of(to_directory, to);
    }
    int rc = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
    if (recording && rc == 0 && old.parent != 0 && new.parent != 0) {
        char names[sizeof old.name + sizeof new.name];
        size_t old_len = strlen(old.name);
        memcpy(names, old.name, old_len + 1);
        memcpy(names + old_len + 1, new.name, strlen(new.name) + 1);
        struct trace_event event = {.kind = TRACE_RENAME,
                                    .node = old.node,
                                    .parent = old.parent,
                                    .to_parent = new.parent,
                                    .name_len =
                                        (uint32_t)(old_len + 1 + strlen(new.name))};
        record(&event, names, NULL, 0);
    }
    if (recording) {
        end();
    }
    return rc;
}

int rename(const char *from, const char *to)
{
    return rename_at(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return rename_at(from_directory, from, to_directory, to);
}

static int unlink_at(int directory, const char *path, int flags)
{
    bool recording = begin();
    struct place place = {0};
    if (recording) {
        place = place_of(directory, path);
    }
    int rc = (int)syscall(SYS_unlinkat, directory, path, flags);
    if (recording && rc == 0 && place.parent != 0) {
        record_named(TRACE_UNLINK, &place, place.node);
    }
    if (recording) {
        end();
    }
    return rc;
}

int unlink(const char *path)
{
    return unlink_at(AT_FDCWD, path, 0);
}

int unlinkat(int directory, const char *path, int flags)
{
    return unlink_at(directory, path, flags);
}

int rmdir(const char *path)
{
    return unlink_at(AT_FDCWD, path, AT_REMOVEDIR);
}
