/* tests/world_process.c: processes, files and ports of a test; see world.h. */
#include "tests/world.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct streams {
    int in, out, err;
};

void world_fail(const char *format, ...)
{
    char message[4096];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (criterion_current_test)
        cr_assert_fail("%s", message);
    /* In the runner's hooks Criterion would wait for ever for the end of no test. */
    (void)fprintf(stderr, "%s\n", message);
    _exit(1);
}

static int64_t now_ms(void)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_MONOTONIC, &now);
    if (rc != 0)
        world_fail("clock_gettime: %s", strerror(errno));
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        world_fail("can't open %s: %s", path, strerror(errno));
    return fd;
}

/* In the new process, which can only report by its exit code. */
static void become(const char *const *argv, const char *const *env, struct streams io,
                   pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(126);
    if (dup2(io.in, 0) < 0 || dup2(io.out, 1) < 0 || dup2(io.err, 2) < 0)
        _exit(126);
    for (; env && *env; env++) {
        if (putenv((char *)*env) != 0)
            _exit(126);
    }
    (void)execvp(argv[0], (char *const *)argv);
    dprintf(2, "can't run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static pid_t start(const char *const *argv, const char *const *env, struct streams io)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        world_fail("fork: %s", strerror(errno));
    if (pid == 0)
        become(argv, env, io, parent);
    return pid;
}

pid_t world_spawn(const char *const *argv, const char *const *env, const char *log)
{
    int in = open_file("/dev/null", O_RDONLY);
    int out = open_file(log, O_WRONLY | O_CREAT | O_APPEND);
    pid_t pid = start(argv, env, (struct streams){.in = in, .out = out, .err = out});
    (void)close(in);
    (void)close(out);
    return pid;
}

static int reap(pid_t pid)
{
    int status = 0;
    pid_t got;
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (got != pid)
        world_fail("waitpid(%d): %s", (int)pid, strerror(errno));
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int world_wait(pid_t pid, int timeout_ms)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        world_fail("pidfd_open(%d): %s", (int)pid, strerror(errno));
    int64_t end = now_ms() + timeout_ms;
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    int ready;
    do {
        int64_t left = end - now_ms();
        ready = poll(&ended, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    (void)close(fd);
    if (ready != 1)
        world_fail("process %d has not ended after %d ms", (int)pid, timeout_ms);
    return reap(pid);
}

void world_kill(pid_t pid)
{
    if (pid <= 0)
        world_fail("no such process to kill: %d", (int)pid);
    int rc = kill(pid, SIGKILL);
    if (rc != 0)
        world_fail("kill(%d): %s", (int)pid, strerror(errno));
    (void)reap(pid);
}

/* An unnamed file that holds `text`, to be read from its start. */
static int file_of(const char *text)
{
    char path[] = "/tmp/holdfast-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        world_fail("mkostemp: %s", strerror(errno));
    int rc = unlink(path);
    if (rc != 0)
        world_fail("unlink %s: %s", path, strerror(errno));
    size_t len = text ? strlen(text) : 0;
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n <= 0)
            world_fail("write: %s", strerror(errno));
        text += n;
        len -= (size_t)n;
    }
    off_t at = lseek(fd, 0, SEEK_SET);
    if (at != 0)
        world_fail("lseek: %s", strerror(errno));
    return fd;
}

static char *text_of(int fd)
{
    struct stat st;
    int rc = fstat(fd, &st);
    if (rc != 0)
        world_fail("fstat: %s", strerror(errno));
    size_t size = (size_t)st.st_size;
    char *text = malloc(size + 1);
    if (!text)
        world_fail("out of memory");
    size_t len = 0;
    while (len < size) {
        ssize_t n = pread(fd, text + len, size - len, (off_t)len);
        if (n < 0)
            world_fail("pread: %s", strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    return text;
}

int world_run(const char *const *argv, const char *input, char **out_text, int timeout_ms)
{
    int in = file_of(input);
    int out = file_of(NULL);
    int code = world_wait(
        start(argv, NULL, (struct streams){.in = in, .out = out, .err = 2}), timeout_ms);
    if (out_text)
        *out_text = text_of(out);
    (void)close(in);
    (void)close(out);
    return code;
}

char *world_read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = text_of(fd);
    (void)close(fd);
    return text;
}

void world_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file)
        world_fail("can't write %s: %s", path, strerror(errno));
    int put = fputs(text, file);
    int closed = fclose(file);
    if (put < 0 || closed != 0)
        world_fail("can't write %s: %s", path, strerror(errno));
}

static bool file_holds(const char *path, const char *text)
{
    char *now = world_read_file(path);
    bool found = now && strstr(now, text);
    free(now);
    return found;
}

static bool alive(pid_t pid)
{
    siginfo_t info = {0};
    int rc = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return rc == 0 && info.si_pid == 0;
}

void world_wait_log(const char *path, const char *text, pid_t pid, int timeout_ms)
{
    int64_t end = now_ms() + timeout_ms;
    /* Asked before the file is read: what a process wrote before its end counts. */
    bool going = true;
    while (going) {
        going = now_ms() < end && (pid == 0 || alive(pid));
        if (file_holds(path, text))
            return;
        if (going)
            pause_ms(5);
    }
    char *found = world_read_file(path);
    world_fail("no \"%s\" in %s after %d ms or by the end of the process:\n%s", text,
               path, timeout_ms, found ? found : "(no file)");
}

void world_make_dir(char out_path[WORLD_PATH_MAX])
{
    const char *parent = getenv("TMPDIR");
    int len = snprintf(out_path, WORLD_PATH_MAX, "%s/holdfast-XXXXXX",
                       parent && *parent ? parent : "/tmp");
    /* A Unix socket's path must fit into 107 bytes, and ours is in there. */
    if (len >= 80)
        world_fail("TMPDIR is too long a path: %s", parent);
    if (!mkdtemp(out_path))
        world_fail("mkdtemp %s: %s", out_path, strerror(errno));
}

void world_remove_dir(const char *path)
{
    const char *argv[] = {"rm", "-rf", "--", path, NULL};
    int code = world_run(argv, NULL, NULL, 60000);
    if (code != 0)
        world_fail("can't remove %s", path);
}

uint16_t world_free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        world_fail("socket: %s", strerror(errno));
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int bound = bind(fd, (struct sockaddr *)&addr, sizeof addr);
    int named = getsockname(fd, (struct sockaddr *)&addr, &len);
    if (bound != 0 || named != 0)
        world_fail("bind to 127.0.0.1: %s", strerror(errno));
    (void)close(fd);
    return ntohs(addr.sin_port);
}

const char *world_holdfast(void)
{
    const char *path = getenv("HOLDFAST_BIN");
    if (!path)
        world_fail("HOLDFAST_BIN is not set: run the tests by ctest");
    return path;
}
