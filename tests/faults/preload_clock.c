/* tests/faults/preload_clock.c: the wall clock as a file says: FAULTS_CLOCK names a file
 * of 8 bytes, the seconds (int64_t, host order) by which CLOCK_REALTIME differs from the
 * machine's. It may be changed at any time. CLOCK_MONOTONIC is left alone, as it is where
 * somebody sets a clock. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_s;

__attribute__((constructor)) static void find_offset(void)
{
    const char *path = getenv("FAULTS_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *at = mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0);
        offset_s = at == MAP_FAILED ? NULL : at;
        (void)!close(fd);
    }
}

static int64_t offset(void)
{
    return offset_s ? *offset_s : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, out);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += offset();
    }
    return rc;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    int rc = (int)syscall(SYS_gettimeofday, out, zone);
    if (rc == 0) {
        out->tv_sec += offset();
    }
    return rc;
}

time_t time(time_t *out)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
