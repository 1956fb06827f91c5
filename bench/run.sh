#!/bin/sh
# bench/run.sh [options]: the whole benchmark, on Debian 12 from nothing but a clone.
#
# Installs what is missing, builds the release, starts a MariaDB of its own with the
# settings of bench/server.cnf (and in a full run a second one, with a binary log), and
# measures every part against its limit in the same run. The table goes to standard error
# and, with the JSON file, the columns and the charts, to the results' directory.
# Everything that it starts ends with it. Exit code: 0; 1 if a result was not exact; 64
# wrong usage; 70 it could not be measured.
# A && B || C on purpose; functions that a trap calls.
# shellcheck disable=SC2015,SC2317
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)

usage() {
    cat <<'END'
usage: bench/run.sh [--quick] [--json] [--parts NAME,...] [--repetitions N] [--seed N]
                    [--out DIR] [--build DIR] [--config FILE] [--help]

  --quick          the main figures, in under 5 minutes; else all, in under 30
  --json           the last line of standard output is one JSON object
  --parts NAMES    only these: journal, apply, end-to-end, intake, recover, compare; or tune
  --repetitions N  interleaved pairs of each figure, 1 to 64 (5)
  --seed N         of the workload (1)
  --out DIR        results (bench/results)
  --build DIR      measure this build instead of making build/release
  --config FILE    for --parts tune: your own configuration

BENCH_DIR (/var/tmp) is where journals and databases are made: on the disk to be measured.
END
}

wrong() { # wrong <message>
    echo "bench/run.sh: $1 (--help says more)" >&2
    exit 64
}

failed() { # failed <message>
    echo "bench/run.sh: $1" >&2
    exit 70
}

# ---- What is asked ---------------------------------------------------------------------

quick="" json="" parts="" repetitions="" seed="" config="" build="" out=$here/bench/results

value() { # value <count of arguments left> <option>
    [ "$1" -ge 2 ] || wrong "$2 needs a value"
}

number() { # number <option> <text> <most>
    case $2 in
    "" | *[!0-9]* | ??????????*) wrong "$1 $2: needs a number from 1 to $3" ;;
    esac
    [ "$2" -ge 1 ] && [ "$2" -le "$3" ] || wrong "$1 $2: needs a number from 1 to $3"
}

absolute() { # absolute <path>: as seen from where the caller was
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s/%s\n' "$called_from" "$1" ;;
    esac
}

called_from=${OLDPWD:-$here}
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    --json) json=yes ;;
    --help)
        usage
        exit 0
        ;;
    --parts | --repetitions | --seed | --out | --build | --config)
        value $# "$1"
        case $1 in
        --parts) parts=$2 ;;
        --repetitions) number "$1" "$2" 64 && repetitions=$2 ;;
        --seed) number "$1" "$2" 999999999 && seed=$2 ;;
        --out) out=$(absolute "$2") ;;
        --build) build=$(absolute "$2") ;;
        --config) config=$(absolute "$2") ;;
        esac
        shift
        ;;
    *) wrong "$1: no such option" ;;
    esac
    shift
done

for part in $(printf '%s' "$parts" | tr ',' ' '); do
    case $part in
    journal | apply | end-to-end | intake | recover | compare | tune) ;;
    *) wrong "--parts $part: no such part" ;;
    esac
done
[ -z "$config" ] || [ -r "$config" ] || wrong "--config $config: can't be read"
[ -z "$build" ] || [ -x "$build/bench/holdfast-bench" ] ||
    wrong "--build $build: no bench/holdfast-bench in it; build it first"

base=$(absolute "${BENCH_DIR:-/var/tmp}")
[ -d "$base" ] && [ -w "$base" ] ||
    wrong "BENCH_DIR $base: not a directory that can be written to"
case $(stat -f -c %T "$base") in
tmpfs | ramfs | overlayfs)
    wrong "BENCH_DIR $base: not on a disk but $(stat -f -c %T "$base"); choose another"
    ;;
esac
free_kib=$(df -Pk "$base" | awk 'NR == 2 {print $4}')
[ "$free_kib" -ge 16777216 ] ||
    wrong "BENCH_DIR $base: less than 16 GiB are free; choose another"
mkdir -p "$out" || wrong "--out $out: can't be made"

# ---- Build -----------------------------------------------------------------------------

# shellcheck source=packaging/dependencies.sh
. packaging/dependencies.sh
# Criterion: one build for all, and it asks for it.
# shellcheck disable=SC2086,SC2154 # lists of names, split on purpose
dependencies_install $dependencies_build $dependencies_database libcriterion-dev >&2 ||
    failed "not all that is needed could be installed, see above"

if [ -z "$build" ]; then
    build=$here/build/release
    mkdir -p build
    # Two builds in one directory would trip over each other.
    exec 9>build/run.lock
    flock 9
    echo "building   release, into build/release" >&2
    if ! { cmake --preset release &&
        cmake --build build/release --target holdfast holdfast-bench; } \
        >build/bench-build.log 2>&1; then
        cat build/bench-build.log >&2
        failed "the build failed, see above"
    fi
    exec 9>&-
fi

# ---- Servers ---------------------------------------------------------------------------

work=$(mktemp -d "$base/hfbench.XXXXXX")
bench_pid="" server_pid="" binlog_pid=""

end() { # end <pid>: of a child; waits until it is gone
    if [ -n "$1" ] && kill "$1" 2>/dev/null; then
        wait "$1" 2>/dev/null || :
    fi
}

clean() {
    trap - EXIT
    trap '' INT TERM HUP
    end "$bench_pid"
    # a server that a part has stopped can't hear
    [ -z "$server_pid" ] || kill -CONT "$server_pid" 2>/dev/null || :
    end "$server_pid"
    end "$binlog_pid"
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

as_root=""
[ "$(id -u)" -ne 0 ] || as_root=--user=root # the server wants to be told so

# server <name> <option>...: data made, started in the background; the pid is in $!
server() {
    data=$work/$1
    shift
    [ "${#data}" -le 96 ] || wrong "BENCH_DIR $base: too long a path for a Unix socket"
    mkdir "$data" "$data/tmp"
    # from within: its chown of a whole path would trip over blanks
    (cd "$data" && exec mariadb-install-db --no-defaults --skip-name-resolve \
        --auth-root-authentication-method=normal --skip-test-db --datadir=./data $as_root) \
        >"$data/log" 2>&1 || {
        tail -n 20 "$data/log" >&2
        failed "mariadb-install-db failed, see above"
    }
    PATH=$PATH:/usr/sbin mariadbd --defaults-file="$here/bench/server.cnf" \
        --datadir="$data/data" --socket="$data/sock" --pid-file="$data/pid" \
        --tmpdir="$data/tmp" $as_root "$@" >>"$data/log" 2>&1 &
}

answers() { # answers <name> <pid>: waits until it does
    tries=0
    until mariadb-admin --no-defaults --socket="$work/$1/sock" --user=root ping \
        >/dev/null 2>&1; do
        tries=$((tries + 1))
        if ! kill -0 "$2" 2>/dev/null || [ "$tries" -gt 600 ]; then
            tail -n 20 "$work/$1/log" >&2
            failed "the database server doesn't start, see above"
        fi
        sleep 0.1
    done
}

wanted() { # wanted <part>
    case ,$parts, in
    ,, | *,"$1",*) return 0 ;;
    esac
    return 1
}

echo "starting   MariaDB in $work" >&2
server db
server_pid=$!
answers db "$server_pid"
if [ -z "$quick" ] && wanted apply; then
    server binlog --log-bin="$work/binlog/data/binlog"
    binlog_pid=$!
    answers binlog "$binlog_pid"
fi

# ---- Measure ---------------------------------------------------------------------------

mkdir "$work/run"
set -- --directory "$work/run" --engine "$build/engine/holdfast" \
    --socket "$work/db/sock" --server "$server_pid" --json-file "$out/report.json"
[ -z "$binlog_pid" ] ||
    set -- "$@" --binlog-socket "$work/binlog/sock" --binlog-server "$binlog_pid"
[ -z "$quick" ] || set -- "$@" --quick
[ -z "$json" ] || set -- "$@" --json
[ -z "$parts" ] || set -- "$@" --parts "$parts"
[ -z "$repetitions" ] || set -- "$@" --repetitions "$repetitions"
[ -z "$seed" ] || set -- "$@" --seed "$seed"
[ -z "$config" ] || set -- "$@" --config "$config"

# In the background, so that a signal is heard at once; its lines are kept as the table.
mkfifo "$work/said"
tee "$out/table.txt" <"$work/said" >&2 &
tee_pid=$!
"$build/bench/holdfast-bench" "$@" 2>"$work/said" >"$work/summary" &
bench_pid=$!
code=0
wait "$bench_pid" || code=$?
bench_pid=""
wait "$tee_pid" || :

find "$work/run" -maxdepth 1 -name '*.dat' -exec cp {} "$out" ';'
if [ "$code" -le 1 ] && [ -x bench/charts.sh ]; then
    bench/charts.sh "$out" >&2 || echo "bench/run.sh: no charts, see above" >&2
fi
echo "results    in $out" >&2
cat "$work/summary"
exit "$code"
