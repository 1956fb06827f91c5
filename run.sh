#!/bin/sh
# run.sh [--once]: the main job, on Debian 12 from nothing but a clone.
#
# Installs what is missing, builds the release, and shows the promise: a private MariaDB
# under var/, the engine, a sample of 60,000 records from producers that keep their own
# log, kill -9 three times in the midst of a database transaction, and the comparison of
# what the producers were told with what the database holds. Then it serves until Ctrl-C;
# with --once it ends, the last line is one JSON object, and the exit code is 1 if anything
# is off. May be called from any directory, and again.
set -eu
cd "$(dirname "$0")"
here=$(pwd -P)

case ${1-} in
"" | --once) ;;
*)
    echo "usage: $0 [--once]" >&2
    exit 64
    ;;
esac

# shellcheck source=packaging/dependencies.sh
. packaging/dependencies.sh
# Criterion: the driver lies beside the tests, and their build asks for it.
# shellcheck disable=SC2086,SC2154 # lists of names, split on purpose
dependencies_install $dependencies_build $dependencies_database libcriterion-dev

build_log=build/run-build.log
mkdir -p build
# Two builds in one directory would trip over each other.
exec 9>build/run.lock
flock 9
echo "building   release, into build/release"
if ! { cmake --preset release && cmake --build build/release --target holdfast program_mainjob; } \
    >"$build_log" 2>&1; then
    cat "$build_log" >&2
    echo "run: the build failed, see above" >&2
    exit 1
fi
exec 9>&-

exec build/release/tests/program_mainjob "$here/build/release/engine/holdfast" "$here/var" "$@"
