/* tests/process.c: see process.h. */
#include "tests/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In the new process, which can only report by its exit code and its log. */
static void become(const char *const *argv, int out, int death_signal, pid_t parent)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;
    (void)sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, death_signal) != 0 || getppid() != parent || in < 0 ||
        setpgid(0, 0) != 0 || sigprocmask(SIG_SETMASK, &none, NULL) != 0 ||
        dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    (void)execvp(argv[0], (char *const *)argv);
    dprintf(2, "can't run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int process_start(const char *const *argv, const char *log, int death_signal,
                  pid_t *out_pid, struct err *err)
{
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0)
        return err_set_errno(err, ERR_IO, errno, "can't write the log %s", log);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become(argv, out, death_signal, parent);
    int fork_errno = errno;
    (void)close(out);
    if (pid < 0)
        return err_set_errno(err, ERR_IO, fork_errno, "can't start %s", argv[0]);
    *out_pid = pid;
    return 0;
}

static int reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool process_wait(pid_t pid, int timeout_ms, int *out_code)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return false;
    int64_t end = process_now_ms() + timeout_ms;
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    int ready;
    do {
        int64_t left = end - process_now_ms();
        ready = poll(&ended, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    (void)close(fd);
    if (ready == 1)
        *out_code = reap(pid);
    return ready == 1;
}

bool process_alive(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

void process_kill(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)reap(pid);
}

void process_sleep_ms(long ms)
{
    (void)nanosleep(
        &(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

int64_t process_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool port_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    bool free_port = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                     bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    (void)close(fd);
    return free_port;
}

uint16_t process_free_port(uint16_t wanted)
{
    for (uint16_t port = wanted; port < wanted + 100; port++) {
        if (port_free(port))
            return port;
    }
    return 0;
}
