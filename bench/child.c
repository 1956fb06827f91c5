#include "bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TAIL_BYTES = 400, POLL_MS = 2 };

/* Only what may follow a fork in a program with threads. */
static _Noreturn void become(const char *const *argv, int output, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0) {
        _exit(126);
    }
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

int child_start(const char *const *argv, const char *output, struct child *out_child,
                struct err *err)
{
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_errno(err, ERR_IO, errno, "%s", output);
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(argv, fd, parent);
    }
    int sys = errno;
    (void)close(fd);
    if (pid < 0) {
        return err_set_errno(err, ERR_IO, sys, "%s", argv[0]);
    }
    *out_child = (struct child){.pid = pid};
    return ERR_OK;
}

static bool reap(struct child *child, int flags)
{
    int status;
    pid_t pid;
    do {
        pid = waitpid(child->pid, &status, flags);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0) {
        return false;
    }
    child->pid = 0;
    child->exit_code = pid < 0             ? 127
                       : WIFEXITED(status) ? WEXITSTATUS(status)
                                           : 128 + WTERMSIG(status);
    return true;
}

bool child_ended(struct child *child)
{
    return child->pid == 0 || reap(child, WNOHANG);
}

void child_end(struct child *child, int signal)
{
    if (child->pid != 0) {
        if (signal) {
            (void)kill(child->pid, signal);
        }
        (void)reap(child, 0);
    }
}

int child_wait(struct child *child, int timeout_s, struct err *err)
{
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    for (int i = 0; i < timeout_s * (1000 / POLL_MS); i++) {
        if (child_ended(child)) {
            return ERR_OK;
        }
        (void)nanosleep(&pause, NULL);
    }
    child_end(child, SIGKILL);
    return err_set(err, ERR_TIMEOUT, 0, "not ended after %d s, killed", timeout_s);
}

static void read_tail(const char *path, char out_text[TAIL_BYTES + 1])
{
    out_text[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file) {
        return;
    }
    if (fseek(file, -TAIL_BYTES, SEEK_END) != 0) {
        rewind(file);
    }
    out_text[fread(out_text, 1, TAIL_BYTES, file)] = '\0';
    (void)fclose(file);
}

int child_run(const char *const *argv, const char *output, int timeout_s, struct err *err)
{
    struct child child = {0};
    if (child_start(argv, output, &child, err) != ERR_OK ||
        child_wait(&child, timeout_s, err) != ERR_OK) {
        return err_wrap(err, "%s", argv[0]);
    }
    if (child.exit_code == 0) {
        return ERR_OK;
    }
    char tail[TAIL_BYTES + 1];
    read_tail(output, tail);
    return err_set(err, ERR_IO, 0, "%s ended with %d: %s", argv[0], child.exit_code,
                   tail);
}
