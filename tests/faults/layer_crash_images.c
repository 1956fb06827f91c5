/* Crash images of the journal: a program over the real library is recorded, call by call
 * (preload_record.c); what a disk may hold at any moment of it is made (crash_fs.c), and
 * opened by the real library in a process of its own (crash_check.c).
 *
 * A point is a workload, a moment of its trace and a way of failing. Threads and the
 * clock make each trace a little different: what failed is kept with its traces, and
 * HOLDFAST_FAULTS_TRACES=DIRECTORY takes them up again instead of recording.
 */
#include "tests/faults/crash_check.h"
#include "tests/faults/crash_fs.h"
#include "tests/faults/crash_work.h"
#include "tests/faults/layer.h"
#include "tests/process.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 512, WORKLOADS_MAX = 16, IMAGE_TIMEOUT_S = 60, VERIFY_EACH = 8 };

static struct {
    struct crash_fs *traces[WORKLOADS_MAX];
    char scratch[PATH_SIZE]; /* in memory: images come and go by the thousand */
} layer;

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_all(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Recording --------------------------------------------------------------------- */

static _Noreturn void become_program(const char *preload, const char *trace,
                                     const char *watch, const char *number)
{
    if (setenv("LD_PRELOAD", preload, 1) == 0 &&
        setenv("HOLDFAST_FAULTS_TRACE", trace, 1) == 0 &&
        setenv("HOLDFAST_FAULTS_WATCH", watch, 1) == 0) {
        (void)execl("/proc/self/exe", "faults_crash_images", "workload", number, watch,
                    (char *)NULL);
    }
    _exit(127);
}

static int record(const struct layer_run *run, size_t workload, const char *trace,
                  struct err *err)
{
    char preload[PATH_SIZE];
    char watch[PATH_SIZE];
    char number[16];
    (void)snprintf(preload, sizeof preload, "%.*s/libfaults_preload_record.so",
                   (int)(strrchr(run->preload, '/') - run->preload), run->preload);
    (void)snprintf(watch, sizeof watch, "%.400s/watch-%zu", layer.scratch, workload);
    (void)snprintf(number, sizeof number, "%zu", workload);
    if (mkdir(watch, 0700) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't make %s", watch);
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_program(preload, trace, watch, number);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        return err_set(err, ERR_IO, 0, "the program of workload \"%s\" ended with %x",
                       crash_workloads[workload].name, (unsigned)status);
    }
    remove_all(watch);
    return ERR_OK;
}

static int be_program(const char *number, const char *watch)
{
    char path[PATH_SIZE];
    size_t workload = strtoul(number, NULL, 10);
    (void)snprintf(path, sizeof path, "%s/journal", watch);
    if (workload >= crash_workload_count) {
        return 64;
    }
    if (crash_workloads[workload].exists && mkdir(path, 0700) != 0) {
        return 1;
    }
    return work_run(&crash_workloads[workload], path);
}

static int load(const struct layer_run *run, size_t workload, struct err *err)
{
    char trace[PATH_SIZE];
    const char *kept = getenv("HOLDFAST_FAULTS_TRACES");
    (void)snprintf(trace, sizeof trace, "%s/trace-%zu", kept ? kept : run->dir, workload);
    int code = kept ? ERR_OK : record(run, workload, trace, err);
    return code != ERR_OK ? code : crash_fs_load(trace, &layer.traces[workload], err);
}

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    (void)snprintf(layer.scratch, sizeof layer.scratch,
                   "/dev/shm/holdfast-faults-XXXXXX");
    if (mkdtemp(layer.scratch) == NULL) {
        (void)snprintf(layer.scratch, sizeof layer.scratch, "%.400s/images", run->dir);
        if (mkdir(layer.scratch, 0700) != 0) {
            return err_set_errno(err, ERR_IO, errno, "can't make %s", layer.scratch);
        }
    }
    uint64_t points = 0;
    for (size_t i = 0; i < crash_workload_count; i++) {
        int code = load(run, i, err);
        if (code != ERR_OK) {
            return code;
        }
        points += (crash_fs_events(layer.traces[i]) + 1) * CRASH_MODES;
    }
    *out_points = points;
    return ERR_OK;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    for (size_t i = 0; i < WORKLOADS_MAX; i++) {
        crash_fs_free(layer.traces[i]);
        layer.traces[i] = NULL;
    }
    remove_all(layer.scratch);
}

/* ---- One image --------------------------------------------------------------------- */

struct image {
    size_t workload;
    size_t moment;
    enum crash_mode mode;
    uint64_t seed;
    char directory[PATH_SIZE];
};

static struct image choose(uint64_t point)
{
    struct image image = {0};
    uint64_t left = point;
    while (left >= (crash_fs_events(layer.traces[image.workload]) + 1) * CRASH_MODES) {
        left -= (crash_fs_events(layer.traces[image.workload]) + 1) * CRASH_MODES;
        image.workload = (image.workload + 1) % crash_workload_count;
    }
    image.mode = (enum crash_mode)(left % CRASH_MODES);
    image.moment = (size_t)(left / CRASH_MODES);
    return image;
}

/* In a process of its own: a damaged page may end it. */
static _Noreturn void examine(const struct image *image)
{
    struct crash_fs *fs = layer.traces[image->workload];
    uint64_t random = image->seed;
    struct err err = {0};
    char path[PATH_SIZE + 16];
    (void)alarm(IMAGE_TIMEOUT_S);
    if (crash_fs_image(fs, image->moment, image->mode, &random, image->directory, &err) !=
        ERR_OK) {
        (void)layer_broken("I5", "the suite itself: %s", err.message);
        _exit(LAYER_BROKEN);
    }
    (void)snprintf(path, sizeof path, "%s/journal", image->directory);
    enum layer_verdict verdict =
        crash_check(fs, image->moment, &crash_workloads[image->workload], path,
                    layer_random(&random) % VERIFY_EACH == 0);
    (void)fflush(stdout);
    _exit((int)verdict);
}

/* The image as it was before it was opened, for a person. */
static void keep(const struct layer_run *run, const struct image *image)
{
    char directory[PATH_SIZE];
    uint64_t random = image->seed;
    struct err err = {0};
    (void)snprintf(directory, sizeof directory, "%.300s/image-%zu-%zu-%d-%llx", run->dir,
                   image->workload, image->moment, (int)image->mode,
                   (unsigned long long)image->seed);
    if (mkdir(directory, 0700) == 0) {
        (void)crash_fs_image(layer.traces[image->workload], image->moment, image->mode,
                             &random, directory, &err);
    }
    (void)printf("  workload \"%s\", event %zu, %s; the image: %s\n",
                 crash_workloads[image->workload].name, image->moment,
                 crash_mode_names[image->mode], directory);
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    struct image image = choose(point);
    image.seed = seed;
    (void)snprintf(image.directory, sizeof image.directory, "%.400s/image",
                   layer.scratch);
    if (mkdir(image.directory, 0700) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't make %s", image.directory);
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        examine(&image);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return err_set_errno(err, ERR_IO, errno, "can't start a process");
    }
    remove_all(image.directory);
    *out_verdict = WIFEXITED(status) && WEXITSTATUS(status) == LAYER_HELD ? LAYER_HELD
                                                                          : LAYER_BROKEN;
    if (!WIFEXITED(status)) {
        (void)layer_broken("I5", "opening it ended by signal %d", WTERMSIG(status));
    }
    if (*out_verdict == LAYER_BROKEN) {
        keep(run, &image);
    }
    return ERR_OK;
}

int main(int argc, char **argv)
{
    static const struct layer crash_images = {.name = "crash_images",
                                              .invariants = "I1 I2 I3 I4 I5",
                                              .full_count = 100000,
                                              .budget_s = 60,
                                              .open = open_layer,
                                              .point = run_point,
                                              .close = close_layer};
    if (argc == 4 && strcmp(argv[1], "workload") == 0) {
        return be_program(argv[2], argv[3]);
    }
    return layer_main(&crash_images, argc, argv);
}
