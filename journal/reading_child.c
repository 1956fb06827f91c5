#include "journal/reading_child.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LACKS_MEMORY = 2 };

_Noreturn void reading_child_lacks_memory(void)
{
    _exit(LACKS_MEMORY);
}

static _Noreturn void be_child(void (*read)(FILE *out, const void *context),
                               const void *context, int fd)
{
    /* A fault ends the child visibly, whatever handlers the program has. */
    (void)signal(SIGSEGV, SIG_DFL);
    (void)signal(SIGBUS, SIG_DFL);
    (void)signal(SIGFPE, SIG_DFL);
    (void)signal(SIGABRT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    FILE *out = fdopen(fd, "w");
    if (!out) {
        reading_child_lacks_memory();
    }
    read(out, context);
    _exit(fflush(out) ? 1 : 0);
}

int reading_child_start(void (*read)(FILE *out, const void *context), const void *context,
                        struct reading_child *out_child, struct err *err)
{
    int ends[2];
    if (pipe(ends)) {
        return err_set_errno(err, ERR_IO, errno, "cannot make a pipe");
    }
    FILE *in = fdopen(ends[0], "r");
    pid_t child = in ? fork() : -1;
    if (child < 0) {
        int failed = errno;
        (void)(in ? fclose(in) : close(ends[0]));
        (void)close(ends[1]);
        return err_set_errno(err, ERR_NOMEM, failed, "cannot start the reading process");
    }
    if (child == 0) {
        (void)close(ends[0]);
        be_child(read, context, ends[1]);
    }
    (void)close(ends[1]);
    *out_child = (struct reading_child){.pid = child, .in = in};
    return ERR_OK;
}

int reading_child_stop(struct reading_child *child, int *out_status, struct err *err)
{
    int status = 0;
    (void)fclose(child->in);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
        /* again */
    }
    *out_status = status;
    return WIFEXITED(status) && WEXITSTATUS(status) == LACKS_MEMORY
               ? err_set(err, ERR_NOMEM, 0, "the reading process is out of memory")
               : ERR_OK;
}
