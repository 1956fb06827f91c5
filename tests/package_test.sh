#!/bin/sh
# tests/package_test.sh <build directory>: the Debian package's life in a clean Debian.
#
# Builds it, makes a minimal Debian of the host's release by debootstrap, installs the
# package there with apt, and runs the engine as its unit would (command line, user, notify
# socket; systemd itself doesn't run in there) against a MariaDB of its own: records reach
# both tables, and none is lost by a purge while some are pending. Then what removal and
# purge leave behind. Nothing is mounted; what is started is ended by its process id.
#
# Needs root, debootstrap and the host's Debian mirror; without them it is skipped (77) and
# says why.
set -eu
build=$1
here=$(cd "$(dirname "$0")" && pwd)
helper=$here/package_helper.py
data=/var/lib/holdfast

skip() {
    echo "package_test: SKIPPED: $*" >&2
    exit 77
}

wrong() {
    echo "package_test: $*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || skip "not root, so there can be no Debian of its own to install into"
for tool in debootstrap dpkg-shlibdeps systemd-analyze strace python3; do
    command -v $tool >/dev/null ||
        skip "$tool is missing; packaging/dependencies.sh names the packages of the tests"
done
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mirror=$(apt-get indextargets --format '$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(SITE)' \
    'Created-By: Packages' |
    awk -F '|' -v release="$release" \
        '($1 == release || $2 == release) && $3 == "main" { print $4; exit }')
[ -n "$mirror" ] || skip "this host's apt knows no Debian mirror for '$release'"

work=$(mktemp -d)
root=$work/root
runner="" # of the engine, a process group of its own
database=""
listener=""
clean() {
    [ -z "$runner" ] || kill -KILL -- "-$runner" 2>/dev/null || :
    for pid in $database $listener; do
        kill -KILL "$pid" 2>/dev/null || :
    done
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# quietly <log> <command>...: its output only where it fails
quietly() {
    log=$work/$1
    shift
    "$@" >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        wrong "failed: $*"
    }
}

inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"; }

# ---- The package ---------------------------------------------------------------------

quietly configure cmake -S "$here/.." -B "$build/package" -G Ninja \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DHF_PACKAGE=ON \
    -DBUILD_TESTING=OFF
quietly build cmake --build "$build/package"
rm -f "$build"/package/*.deb
(cd "$build/package" && quietly cpack cpack -G DEB)
deb=$(echo "$build"/package/holdfast_*.deb)

if command -v lintian >/dev/null; then
    quietly lintian lintian --allow-root --fail-on error,warning "$deb"
else
    echo "package_test: lintian is not installed, so it wasn't asked"
fi

# ---- A clean Debian ------------------------------------------------------------------

# debootstrap goes by the environment, not by apt's settings.
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy https_proxy
# It mounts /proc where there is none; nothing in there needs it.
mkdir -p "$root/proc"
: >"$root/proc/.nothing"
quietly debootstrap debootstrap --variant=minbase "$release" "$root" "$mirror"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
apt-config dump Acquire >"$root/etc/apt/apt.conf.d/10host"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fast"
cp "$deb" "$root/holdfast.deb"

apt() { inside DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"; }
install_package() { quietly install apt install --no-install-recommends /holdfast.deb "$@"; }

quietly update apt update
install_package mariadb-server-core mariadb-client-core
grep -q 'systemctl enable --now holdfast' "$work/install" ||
    wrong "the installation doesn't say what to do next"

modes() {
    inside stat -c '%a %U:%G %n' /etc/holdfast /etc/holdfast/holdfast.yaml $data
}
expected_modes="750 root:holdfast /etc/holdfast
640 root:holdfast /etc/holdfast/holdfast.yaml
700 holdfast:holdfast $data"
[ "$(modes)" = "$expected_modes" ] || wrong "modes and owners: $(modes)"
case $(inside getent passwd holdfast) in
holdfast:*:/nonexistent:/usr/sbin/nologin) ;;
*) wrong "the user: $(inside getent passwd holdfast)" ;;
esac
inside holdfast --version >/dev/null || wrong "the command doesn't run"
inside dpkg -L holdfast >"$work/files"
for file in /usr/bin/holdfast /usr/include/holdfast.h libholdfast.so.0 holdfast.pc \
    /usr/lib/systemd/system/holdfast.service man1/holdfast.1.gz man5/holdfast.yaml.5.gz \
    bash-completion/completions/holdfast prometheus/holdfast.rules.yml; do
    grep -q "$file\$" "$work/files" || wrong "the package lacks $file"
done

# ---- Its unit ------------------------------------------------------------------------

unit=$root/usr/lib/systemd/system/holdfast.service
setting() { sed -n "s/^$1=//p" "$unit"; }
quietly security systemd-analyze security --offline=true --threshold=20 "$unit"
grep 'Overall exposure' "$work/security"
# Settings that systemd doesn't know it only warns of; the command is not on this host.
sed "s|^ExecStart=[^ ]*|ExecStart=/bin/true|" "$unit" >"$work/holdfast.service"
quietly verify systemd-analyze verify --man=no "$work/holdfast.service"
[ ! -s "$work/verify" ] || wrong "the unit: $(cat "$work/verify")"
[ "$(setting Type)" = notify ] || wrong "the unit isn't of Type=notify"
user=$(setting User)
command=$(setting ExecStart)

listen() { # listen <state>...: in the background
    mkfifo "$work/ready"
    python3 "$helper" listen "$root/notify" "$@" >"$work/ready" &
    listener=$!
    read -r line <"$work/ready" && [ "$line" = listening ] || wrong "no notify socket"
    rm "$work/ready"
}

told() { # told <what>: the listener has heard all of it
    wait "$listener" || wrong "the service manager was not told: $1; $(tail "$work/engine")"
    listener=""
}

# engine_start [tracer...]: as systemd would, until READY=1; sets engine and port
engine_start() {
    listen READY=1 WATCHDOG=1
    # shellcheck disable=SC2086 # the command's words
    setsid sh -c 'umask 077; exec "$@"' sh "$@" \
        chroot --userspec="$user:$(setting Group)" "$root" env -i PATH=/usr/sbin:/usr/bin \
        NOTIFY_SOCKET=/notify WATCHDOG_USEC=400000 $command >"$work/engine" 2>&1 &
    runner=$!
    told "READY=1, WATCHDOG=1"
    engine=$(sed -n 's/.*event=listening.* pid=\([0-9]*\).*/\1/p' "$work/engine")
    port=$(sed -n 's/.*event=listening.* port=\([0-9]*\) .*/\1/p' "$work/engine")
    [ -n "$engine" ] && [ -n "$port" ] || wrong "no line says listening: $(cat "$work/engine")"
}

engine_stop() {
    listen STOPPING=1
    kill -TERM "$engine"
    told STOPPING=1
    code=0
    wait "$runner" || code=$?
    runner=""
    [ "$code" -eq 0 ] || wrong "stopped with $code: $(cat "$work/engine")"
}

# Not configured: the exit code is one that systemd doesn't restart on.
inside sh -c 'echo "nonsense: 1" >/etc/holdfast/other.yaml; chmod 644 /etc/holdfast/other.yaml'
code=0
chroot --userspec="$user" "$root" holdfast serve --config /etc/holdfast/other.yaml \
    2>"$work/refused" || code=$?
case " $(setting RestartPreventExitStatus) " in
*" $code "*) ;;
*) wrong "exit $code on a wrong configuration is restarted for ever: $(cat "$work/refused")" ;;
esac

# ---- A database ----------------------------------------------------------------------

sql() { inside mariadb --no-defaults --socket=/db/sock --user=root --batch -N "$@"; }

database_start() {
    chroot "$root" /usr/sbin/mariadbd --no-defaults --datadir=/db/data --socket=/db/sock \
        --pid-file=/db/pid --tmpdir=/db --skip-networking --user=root \
        >"$work/database" 2>&1 &
    database=$!
    tries=0
    until sql -e 'SELECT 1' >/dev/null 2>&1; do
        tries=$((tries + 1))
        if ! kill -0 "$database" 2>/dev/null || [ "$tries" -gt 600 ]; then
            wrong "the database doesn't start: $(tail -n 20 "$work/database")"
        fi
        sleep 0.1
    done
}

database_stop() {
    kill -TERM "$database"
    wait "$database" || :
    database=""
}

mkdir -m 755 "$root/db"
quietly install_db inside mariadb-install-db --no-defaults --skip-test-db \
    --auth-root-authentication-method=normal --skip-name-resolve --datadir=/db/data --user=root

# The installed configuration, with what an administrator has to say.
configure() {
    config=$root/etc/holdfast/holdfast.yaml
    sed -i -e 's|^  hosts: .*|  socket: /db/sock|' -e 's|^  name: .*|  name: plant|' \
        -e 's|^  listen: [^ ]*|  listen: 127.0.0.1:0|' \
        -e 's|^ *#* *password_file: \(/etc/holdfast/db-password\).*|  password_file: \1|' \
        "$config"
    echo 'a secret' >"$root/etc/holdfast/db-password"
    inside chown root:holdfast /etc/holdfast/db-password
    chmod 640 "$root/etc/holdfast/db-password"
}
configure
grep -q '^  password_file: ' "$config" || wrong "the configuration knows no password_file"
database_start
sql -e "CREATE DATABASE plant; CREATE USER holdfast@localhost IDENTIFIED BY 'a secret'"
# As the README says: what it prints goes into the client as it is.
inside holdfast schema | sed "s/'holdfast'@'%'/'holdfast'@'localhost'/" | sql plant ||
    wrong "what \`holdfast schema\` prints is refused"
quietly validate inside holdfast validate --database

# ---- Running, as the unit would ------------------------------------------------------

post() { # post <ip> [query]
    python3 "$helper" post "http://127.0.0.1:$port/v1/streams/mozi/records$2" \
        "{\"ip\": \"$1\", \"timestamp\": \"2026-01-08 01:04:26\", \"event_type\": \"beacon\"}"
}
expect_applied() { # expect_applied <ip>
    case $(post "$1" '?wait=applied&timeout=60') in
    *'"applied":true'*) ;;
    *) wrong "not applied: $(cat "$work/engine")" ;;
    esac
}
expect_rows() {
    found=$(sql plant -e "SELECT (SELECT COUNT(*) FROM botnet_nodes_mozi),
        (SELECT COUNT(*) FROM botnet_communications_mozi)")
    [ "$found" = "$1	$1" ] || wrong "nodes and communications: $found, not $1 of each"
}

engine_start strace -f -qq -o "$work/trace"
expect_applied 203.0.113.9
expect_rows 1
[ "$(inside stat -c %U $data/journal/data.mdb)" = holdfast ] || wrong "whose journal is it?"
engine_stop
python3 "$helper" sandbox "$unit" "$work/trace"

# ---- Installed over itself, as an upgrade is --------------------------------------------

before=$(cksum <"$config")
quietly upgrade apt install --reinstall /holdfast.deb
[ "$(cksum <"$config")" = "$before" ] || wrong "an upgrade replaces the configuration"
[ "$(modes)" = "$expected_modes" ] || wrong "modes and owners after an upgrade: $(modes)"

# ---- Purged while a record is pending: it outlives the package -------------------------

database_stop
engine_start
post 203.0.113.10 '' >/dev/null
engine_stop
quietly purge apt purge holdfast
grep -q "$data stays" "$work/purge" || wrong "the purge doesn't say that $data stays"
[ ! -e "$root/etc/holdfast" ] || wrong "the purge leaves /etc/holdfast"
[ -s "$root$data/journal/data.mdb" ] || wrong "a pending record was purged"

install_package
configure
database_start
engine_start
expect_applied 203.0.113.11
expect_rows 3

# ---- Purged under an engine that nobody stopped: it may take more, and does ------------

quietly purge apt purge holdfast
grep -q "$data stays" "$work/purge" || wrong "the purge doesn't say that $data stays"
expect_applied 203.0.113.12
expect_rows 4
engine_stop
database_stop
install_package

# ---- Removed, and purged with nothing pending ------------------------------------------

quietly remove apt remove holdfast
while IFS= read -r file; do
    case $file in
    /etc*) [ -e "$root$file" ] || wrong "removal takes the configuration $file" ;;
    *) [ -d "$root$file" ] || [ ! -e "$root$file" ] || wrong "removal leaves $file" ;;
    esac
done <"$work/files"
[ ! -e "$root/usr/share/doc/holdfast" ] || wrong "removal leaves the documentation"
[ -s "$root$data/journal/data.mdb" ] || wrong "removal takes the journal"
quietly purge apt purge holdfast
for path in /etc/holdfast $data; do
    [ ! -e "$root$path" ] || wrong "the purge leaves $path: $(ls -lR "$root$path")"
done
inside dpkg --audit
echo "package_test: fine"
