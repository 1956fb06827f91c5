#!/bin/sh
# test.sh [--quick]: everything that must hold, on Debian 12 from nothing but a clone.
#
# Installs what is missing, lints, runs the journal's and the replayer's tests under
# ThreadSanitizer, the fault suite's --quick, then all tests under AddressSanitizer and
# UndefinedBehaviorSanitizer. --quick leaves out all but the last. The last lines are ctest's own; the exit
# code is 0 only if every step passed.
set -eu
cd "$(dirname "$0")"

quick=no
case ${1-} in
"") ;;
--quick) quick=yes ;;
*)
    echo "usage: $0 [--quick]" >&2
    exit 64
    ;;
esac

. packaging/dependencies.sh
# shellcheck disable=SC2086 # lists of names, split on purpose
dependencies_install $dependencies_build $dependencies_test $dependencies_faults
# Their programs lie in var/tools/usr/bin, where the tests look for them.
# shellcheck disable=SC2086
dependencies_unpack var/tools $dependencies_unpacked

failed=""
# Each database test has a server of its own: more at once is more memory.
jobs=$(nproc)
[ "$jobs" -le 4 ] || jobs=4

build() { # build <preset>
    echo "== build: $1"
    cmake --preset "$1" >/dev/null && cmake --build --preset "$1"
}

# ThreadSanitizer of gcc 12 gives up where the kernel randomises addresses by more bits
# than it knows of; without randomisation it runs everywhere. setarch is not always
# permitted in a container, which then mostly has no need of it.
fixed_addresses() {
    if setarch -R true 2>/dev/null; then
        setarch -R "$@"
    else
        "$@"
    fi
}

lint() {
    build dev && cmake --build --preset dev --target lint
}

threads() {
    build tsan && fixed_addresses ctest --preset tsan -R '^test_(journal|replay|lane)' \
        -j "$jobs" --no-tests=ignore
}

faults() {
    echo "== test: faults"
    tests/faults/run.sh --quick
}

step() { # step <function>: the later ones run even if this one fails
    "$1" || failed="$failed $1"
}

if [ "$quick" = no ]; then
    step lint
    step threads
    step faults
fi

build asan
if [ -n "$failed" ]; then
    echo "FAILED before the main run:$failed (see above)" >&2
fi
echo "== test: asan"
ctest --preset asan -j "$jobs" --no-tests=error && [ -z "$failed" ]
