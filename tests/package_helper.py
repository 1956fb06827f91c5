"""What tests/package_test.sh needs and a shell lacks.

package_helper.py listen SOCKET STATE...   answers at a NOTIFY_SOCKET until every STATE came
package_helper.py post URL BODY            prints the answer
package_helper.py sandbox UNIT TRACE       does an strace of the service fit into its unit?
"""
import os
import re
import socket
import subprocess
import sys
import urllib.request

TIMEOUT_S = 120


def listen(path, *wanted):
    if os.path.exists(path):
        os.unlink(path)
    missing = set(wanted)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        os.chmod(path, 0o777)
        print("listening", flush=True)
        receiver.settimeout(TIMEOUT_S)
        while missing:
            try:
                lines = receiver.recv(65536).decode().split("\n")
            except TimeoutError:
                sys.exit(f"not told in {TIMEOUT_S} s: {' '.join(sorted(missing))}")
            missing -= set(lines)


def post(url, body):
    request = urllib.request.Request(url, data=body.encode(), method="POST")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        print(answer.read().decode())


# ---- The sandbox ----------------------------------------------------------------------


def settings(unit, name):
    """The values of a setting, in order."""
    with open(unit, encoding="utf-8") as lines:
        return [line.strip().split("=", 1)[1] for line in lines if line.startswith(name + "=")]


def syscall_groups():
    """Every @group of systemd's, with the groups within it."""
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], check=True,
                          capture_output=True, text=True).stdout
    groups, group = {}, None
    for line in text.splitlines():
        word = line.strip()
        if line.startswith("@"):
            group = groups.setdefault(word, set())
        elif group is not None and word and not word.startswith("#"):
            group.add(word)
    return groups


def calls_of(names, groups):
    calls = set()
    for name in names.split():
        calls |= calls_of(" ".join(groups[name]), groups) if name.startswith("@") else {name}
    return calls


def allowed_calls(unit):
    groups = syscall_groups()
    calls = calls_of("@default", groups)
    for value in settings(unit, "SystemCallFilter"):
        if value.startswith("~"):
            calls -= calls_of(value[1:], groups)
        else:
            calls |= calls_of(value, groups)
    return calls


def breach(call, line, unit, calls):
    """Why the unit's sandbox would refuse this line of the trace; None: it wouldn't."""
    if call not in calls:
        return "not in SystemCallFilter"
    if call == "socket":
        family = re.search(r"socket\((AF_\w+)", line).group(1)
        if family not in settings(unit, "RestrictAddressFamilies")[0].split():
            return "not in RestrictAddressFamilies"
    if call == "mmap" and "PROT_WRITE" in line and "PROT_EXEC" in line:
        return "MemoryDenyWriteExecute"
    if call in ("mprotect", "pkey_mprotect") and "PROT_EXEC" in line:
        return "MemoryDenyWriteExecute"
    if call in ("open", "openat", "creat", "mkdir", "rename", "unlink", "bind"):
        writes = re.search(r"O_WRONLY|O_RDWR|O_CREAT", line) or not call.startswith("open")
        path = re.search(r'"(/[^"]*)"', line)
        mine = "/var/lib/" + settings(unit, "StateDirectory")[0] + "/"
        if writes and path and not path.group(1).startswith((mine, "/dev/null")):
            return "outside of StateDirectory"
    return None


def sandbox(unit, trace):
    calls = allowed_calls(unit)
    seen, breaches, begun = set(), [], False
    with open(trace, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = re.match(r"\d+ +(\w+)\(", line)
            if not found:
                continue
            # chroot, env and the like come first; systemd does their work outside
            begun = begun or 'execve("/usr/bin/holdfast"' in line
            if begun:
                seen.add(found.group(1))
                reason = breach(found.group(1), line, unit, calls)
                if reason and found.group(1) != "execve":
                    breaches.append(f"{reason}: {line.strip()[:160]}")
    if len(seen) < 30:
        sys.exit(f"the trace has only {len(seen)} kinds of system calls: did it run at all?")
    if breaches:
        sys.exit("the unit's sandbox would refuse what the engine does:\n" +
                 "\n".join(sorted(set(breaches))[:20]))
    print(f"{len(seen)} kinds of system calls, all within the unit's sandbox")


if __name__ == "__main__":
    {"listen": listen, "post": post, "sandbox": sandbox}[sys.argv[1]](*sys.argv[2:])
