/* tests/faults/network.c: see network.h. */
#include "tests/faults/network.h"

#include "tests/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { COMMAND_TIMEOUT_MS = 20000, TEXT_MAX = 512 };

static int run_command(const struct network *network, const char *const *argv,
                       struct err *err)
{
    pid_t pid = 0;
    int exit_code = -1;
    int code = process_start(argv, network->log, SIGKILL, &pid, err);
    if (code != 0)
        return code;
    if (!process_wait(pid, COMMAND_TIMEOUT_MS, &exit_code))
        process_kill(pid);
    return exit_code == 0 ? 0
                          : err_set(err, ERR_IO, 0, "%s %s %s ends with %d; see %s",
                                    argv[0], argv[1], argv[2], exit_code, network->log);
}

static int shell(const struct network *network, const char *command, struct err *err)
{
    const char *argv[] = {"sh", "-c", command, NULL};
    return run_command(network, argv, err);
}

/* A new namespace, in which this thread is then. */
static int make_namespace(int *out_fd, struct err *err)
{
    if (unshare(CLONE_NEWNET) != 0)
        return err_set_errno(err, ERR_NOT_FOUND, errno,
                             "no network namespaces (root makes them)");
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "/proc/self/ns/net");
    *out_fd = fd;
    return 0;
}

int network_open(struct network *network, const char *dir, struct err *err)
{
    *network = (struct network){.here = -1, .there = -1};
    (void)snprintf(network->log, sizeof network->log, "%.200s/network.log", dir);
    if (access("/usr/sbin/nft", X_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, 0, "no nft: install nftables");
    if (access("/usr/sbin/ip", X_OK) != 0 && access("/bin/ip", X_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, 0, "no ip: install iproute2");
    int code = make_namespace(&network->there, err);
    code = code ? code : make_namespace(&network->here, err);
    code = code ? code : shell(network, "ip link set lo up", err);
    if (code == 0 && network_rule(network, NULL, NULL, err) != 0)
        code = err_set(err, ERR_NOT_FOUND, 0, "nft makes no rules here; see %s",
                       network->log);
    return code;
}

static int enter(int fd, struct err *err)
{
    return setns(fd, CLONE_NEWNET) == 0 ? 0 : err_set_errno(err, ERR_IO, errno, "setns");
}

int network_enter(const struct network *network, struct err *err)
{
    return enter(network->there, err);
}

int network_leave(const struct network *network, struct err *err)
{
    return enter(network->here, err);
}

int network_connect(const struct network *network, pid_t pid, struct err *err)
{
    char command[TEXT_MAX];
    (void)snprintf(command, sizeof command,
                   "ip link add holdfast0 type veth peer name holdfast1 && "
                   "ip link set holdfast1 netns %d && "
                   "ip addr add 10.77.0.1/30 dev holdfast0 && ip link set holdfast0 up",
                   (int)pid);
    int code = shell(network, command, err);
    code = code ? code : network_enter(network, err);
    code = code ? code
                : shell(network,
                        "ip addr add " NETWORK_SERVER "/30 dev holdfast1 && "
                        "ip link set holdfast1 up && ip link set lo up",
                        err);
    struct err later = {0};
    int back = network_leave(network, &later);
    return code ? code : back ? err_set(err, back, 0, "%s", later.message) : 0;
}

int network_rule(const struct network *network, const char *out, const char *in,
                 struct err *err)
{
    char rules[TEXT_MAX];
    (void)snprintf(rules, sizeof rules,
                   "add table inet holdfast\n"
                   "delete table inet holdfast\n"
                   "table inet holdfast {\n"
                   "  chain out { type filter hook output priority 0; %s%s\n }\n"
                   "  chain in { type filter hook input priority 0; %s%s\n }\n"
                   "}\n",
                   out ? "oifname holdfast0 " : "", out ? out : "",
                   in ? "iifname holdfast0 " : "", in ? in : "");
    const char *argv[] = {"nft", "--", rules, NULL};
    return run_command(network, argv, err);
}

int network_cable(const struct network *network, const char *state, struct err *err)
{
    const char *argv[] = {"ip", "link", "set", "holdfast0", state, NULL};
    return run_command(network, argv, err);
}

void network_close(struct network *network)
{
    if (network->here >= 0)
        (void)close(network->here);
    if (network->there >= 0)
        (void)close(network->there);
    network->here = -1;
    network->there = -1;
}
