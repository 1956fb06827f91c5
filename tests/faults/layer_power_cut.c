/* Real power cuts of a file system: the programs of crash_images work on a journal on a
 * loop-mounted ext4, which is shut down under them at a moment of chance (the ioctl by
 * which file systems test this: nothing that isn't on the disk by then gets there). It is
 * mounted again, recovers, and the journal is compared with what the program was told.
 * One point in ten has the loop's file on a tmpfs that runs full instead, so that blocks
 * fail to be written (EIO) under a file system that has room.
 *
 * A point is a workload and a moment, both of chance. Idle: the program was through.
 */
#include "tests/faults/crash_check.h"
#include "tests/faults/crash_fs.h"
#include "tests/faults/crash_work.h"
#include "tests/faults/layer.h"
#include "tests/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* EXT4_IOC_SHUTDOWN, and that the log is not written out first. */
#define SHUTDOWN_IOCTL _IOR('X', 125, uint32_t)

enum {
    PATH_SIZE = 256,
    SHUTDOWN_NO_LOG = 2,
    COMMAND_TIMEOUT_MS = 20000,
    PROGRAM_TIMEOUT_MS = 30000,
    WORKLOADS_MAX = 16,
    TRIES = 5,
    LITTLE_ROOM = 256 << 10,
    FULL_EACH = 10,
    WORKLOAD_GROWTH = 3, /* which writes enough to fill a small disk */
};

static struct {
    char scratch[PATH_SIZE]; /* a tmpfs of its own, so that it can run full */
    char image[PATH_SIZE + 16];
    char disk[PATH_SIZE + 16]; /* where the ext4 is mounted */
    char trace[PATH_SIZE + 16];
    char log[PATH_SIZE + 16];
    char preload[PATH_SIZE];
    uint64_t lasts_us[WORKLOADS_MAX]; /* each program, undisturbed */
    bool mounted;
    bool disk_mounted;
} layer;

/* ---- The file system --------------------------------------------------------------- */

static int command(const char *const *argv, struct err *err)
{
    pid_t pid = 0;
    int exit_code = -1;
    int code = process_start(argv, layer.log, SIGKILL, &pid, err);
    if (code != ERR_OK) {
        return code;
    }
    if (!process_wait(pid, COMMAND_TIMEOUT_MS, &exit_code)) {
        process_kill(pid);
    }
    return exit_code == 0 ? ERR_OK
                          : err_set(err, ERR_IO, 0, "%s ended with %d; see %s", argv[0],
                                    exit_code, layer.log);
}

static int mount_disk(struct err *err)
{
    const char *argv[] = {"mount", "-o", "loop", layer.image, layer.disk, NULL};
    int code = command(argv, err);
    layer.disk_mounted = code == ERR_OK;
    return code;
}

static int unmount_disk(struct err *err)
{
    if (layer.disk_mounted && umount2(layer.disk, 0) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't unmount %s", layer.disk);
    }
    layer.disk_mounted = false;
    return ERR_OK;
}

static int resize_scratch(const char *size, struct err *err)
{
    char options[64];
    (void)snprintf(options, sizeof options, "size=%s", size);
    if (mount("holdfast-faults", layer.scratch, "tmpfs", layer.mounted ? MS_REMOUNT : 0,
              options) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't mount a tmpfs of %s", size);
    }
    layer.mounted = true;
    return ERR_OK;
}

/* Less than the workload writes. */
static int leave_little_room(struct err *err)
{
    struct statvfs about;
    char size[32];
    if (statvfs(layer.scratch, &about) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't examine %s", layer.scratch);
    }
    uint64_t blocks = about.f_blocks - about.f_bfree;
    uint64_t bytes = blocks * about.f_frsize + LITTLE_ROOM;
    (void)snprintf(size, sizeof size, "%" PRIu64, bytes);
    return resize_scratch(size, err);
}

static int make_disk(struct err *err)
{
    const char *argv[] = {"mkfs.ext4", "-q",     "-F",        "-E", "lazy_itable_init=0",
                          "-J",        "size=4", layer.image, NULL};
    (void)unlink(layer.image);
    int fd = open(layer.image, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool made = fd >= 0 && ftruncate(fd, 48 << 20) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    int code = made ? command(argv, err)
                    : err_set_errno(err, ERR_IO, errno, "can't make %s", layer.image);
    return code != ERR_OK ? code : mount_disk(err);
}

/* ---- The program ------------------------------------------------------------------- */

static pid_t start_program(const struct workload *workload)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    char number[16];
    (void)snprintf(number, sizeof number, "%zu", (size_t)(workload - crash_workloads));
    int log = open(layer.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log >= 0 && dup2(log, STDERR_FILENO) >= 0 &&
        setenv("LD_PRELOAD", layer.preload, 1) == 0 &&
        setenv("HOLDFAST_FAULTS_TRACE", layer.trace, 1) == 0 &&
        setenv("HOLDFAST_FAULTS_WATCH", layer.disk, 1) == 0) {
        (void)execl("/proc/self/exe", "faults_power_cut", "workload", number, layer.disk,
                    (char *)NULL);
    }
    _exit(127);
}

/* Until the program's first call is recorded: what lies before it is no work. */
static void wait_for_work(pid_t pid)
{
    while (access(layer.trace, F_OK) != 0 && process_alive(pid)) {
        (void)usleep(200);
    }
}

static int be_program(const char *number, const char *disk)
{
    char path[PATH_SIZE];
    size_t workload = strtoul(number, NULL, 10);
    (void)snprintf(path, sizeof path, "%s/journal", disk);
    if (workload >= crash_workload_count ||
        (crash_workloads[workload].exists && mkdir(path, 0700) != 0)) {
        return 1;
    }
    return work_run(&crash_workloads[workload], path);
}

static int cut_power(struct err *err)
{
    uint32_t how = SHUTDOWN_NO_LOG;
    int fd = open(layer.disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : ioctl(fd, SHUTDOWN_IOCTL, &how);
    int failed = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc == 0 ? ERR_OK
                   : err_set_errno(err, ERR_IO, failed, "can't shut %s down", layer.disk);
}

/* How long each program takes where nothing happens to it. */
static int measure(struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < crash_workload_count; i++) {
        int exit_code = -1;
        code = make_disk(err);
        struct timespec from;
        struct timespec to;
        (void)unlink(layer.trace);
        pid_t pid = code == ERR_OK ? start_program(&crash_workloads[i]) : -1;
        if (pid > 0) {
            wait_for_work(pid);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        if (pid > 0 && !process_wait(pid, PROGRAM_TIMEOUT_MS, &exit_code)) {
            process_kill(pid);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        layer.lasts_us[i] = (uint64_t)((to.tv_sec - from.tv_sec) * 1000000 +
                                       (to.tv_nsec - from.tv_nsec) / 1000);
        code = code != ERR_OK ? code : unmount_disk(err);
        if (code == ERR_OK && exit_code != 0) {
            code = err_set(err, ERR_IO, 0, "without a fault \"%s\" ended with %d",
                           crash_workloads[i].name, exit_code);
        }
    }
    return code;
}

/* ---- The layer --------------------------------------------------------------------- */

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    (void)snprintf(layer.scratch, sizeof layer.scratch, "%.200s/disk", run->dir);
    (void)snprintf(layer.image, sizeof layer.image, "%s/image", layer.scratch);
    (void)snprintf(layer.disk, sizeof layer.disk, "%.200s/mounted", run->dir);
    (void)snprintf(layer.trace, sizeof layer.trace, "%.200s/trace", run->dir);
    (void)snprintf(layer.log, sizeof layer.log, "%.200s/log", run->dir);
    (void)snprintf(layer.preload, sizeof layer.preload,
                   "%.*s/libfaults_preload_record.so",
                   (int)(strrchr(run->preload, '/') - run->preload), run->preload);
    *out_points = 0;
    if (mkdir(layer.scratch, 0700) != 0 || mkdir(layer.disk, 0700) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't make %s", layer.scratch);
    }
    int code = resize_scratch("64m", err);
    code = code != ERR_OK ? code : make_disk(err);
    code = code != ERR_OK ? code : cut_power(err);
    code = code != ERR_OK ? code : unmount_disk(err);
    if (code != ERR_OK) {
        err->code = ERR_NOT_FOUND; /* loop devices, mounting and ext4 are needed */
        return ERR_NOT_FOUND;
    }
    return measure(err);
}

static void close_layer(const struct layer_run *run)
{
    struct err err = {0};
    (void)run;
    (void)unmount_disk(&err);
    if (layer.mounted && umount2(layer.scratch, MNT_DETACH) != 0) {
        (void)printf("  %s stays mounted\n", layer.scratch);
    }
}

/* Lets the program work until it is cut off, the sooner the more often it was through
 * before that, or has no blocks; *out_met: it was not through by then. */
static int disturb(const struct workload *workload, bool full, uint32_t tries,
                   uint64_t *random, bool *out_met, struct err *err)
{
    int exit_code = -1;
    uint64_t lasts_us = (layer.lasts_us[workload - crash_workloads] >> tries) + 1;
    int code = full ? leave_little_room(err) : ERR_OK;
    pid_t pid = code == ERR_OK ? start_program(workload) : -1;
    if (pid > 0 && !full) {
        wait_for_work(pid);
        (void)usleep((useconds_t)(layer_random(random) % lasts_us));
        code = cut_power(err);
    }
    if (pid > 0 && !process_wait(pid, PROGRAM_TIMEOUT_MS, &exit_code)) {
        process_kill(pid);
        return err_set(err, ERR_TIMEOUT, 0, "the program goes on without a disk");
    }
    *out_met = exit_code != 0;
    if (full && code == ERR_OK) {
        code = resize_scratch("64m", err);
    }
    return code;
}

static enum layer_verdict compare(const struct workload *workload, struct err *err)
{
    struct crash_fs *fs = NULL;
    char path[PATH_SIZE + 32];
    (void)snprintf(path, sizeof path, "%s/journal", layer.disk);
    if (crash_fs_load(layer.trace, &fs, err) != ERR_OK) {
        return LAYER_IDLE; /* cut off before the first call */
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        enum layer_verdict verdict =
            crash_check(fs, crash_fs_events(fs), workload, path, true);
        (void)fflush(stdout);
        _exit((int)verdict);
    }
    int status = 0;
    crash_fs_free(fs);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return layer_broken("I5", "opening it ended with %x", (unsigned)status);
    }
    return WEXITSTATUS(status) == LAYER_HELD ? LAYER_HELD : LAYER_BROKEN;
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    uint64_t random = seed;
    bool full = point % FULL_EACH == 0;
    size_t number = full ? WORKLOAD_GROWTH : point / FULL_EACH % crash_workload_count;
    const struct workload *workload = &crash_workloads[number];
    bool met = false;
    (void)run;
    int code = ERR_OK;
    for (uint32_t tries = 0; code == ERR_OK && !met && tries < TRIES; tries++) {
        (void)unlink(layer.trace);
        code = make_disk(err);
        code = code != ERR_OK ? code : disturb(workload, full, tries, &random, &met, err);
        code = code != ERR_OK ? code : unmount_disk(err);
    }
    code = code != ERR_OK ? code : mount_disk(err);
    if (code != ERR_OK) {
        return code;
    }
    *out_verdict = compare(workload, err);
    if (*out_verdict == LAYER_BROKEN) {
        (void)printf("  workload \"%s\"%s\n", workload->name,
                     full ? ", the disk's file ran full" : "");
    } else if (!met) {
        *out_verdict = LAYER_IDLE;
    }
    return unmount_disk(err);
}

int main(int argc, char **argv)
{
    static const struct layer power_cut = {.name = "power_cut",
                                           .invariants = "I1 I2 I3 I4 I5",
                                           .full_count = 55,
                                           .budget_s = 60,
                                           .in_flight = true,
                                           .open = open_layer,
                                           .point = run_point,
                                           .close = close_layer};
    if (argc == 4 && strcmp(argv[1], "workload") == 0) {
        return be_program(argv[2], argv[3]);
    }
    return layer_main(&power_cut, argc, argv);
}
