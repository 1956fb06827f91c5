#!/bin/bash
# tests/coverage.sh [--build DIRECTORY]
#
# Builds everything instrumented (preset coverage; or takes a build directory, with what its
# tests have counted so far), runs all tests, and says which lines and branches of journal/
# and replay/ none of them has run. The aim is 95 % of the lines and 85 % of the branches; a
# folder that has reached more fails below that. What assert() alone would do doesn't count,
# since that is for our own bugs. tests/coverage.md says what is left, and why. Needs gcovr (dependencies_coverage in
# packaging/dependencies.sh).
set -u
cd "$(dirname "$0")/.." || exit 1

build=""
case "$#${1-}" in
0) ;;
2--build) build=$2 ;;
*)
    echo "usage: $0 [--build DIRECTORY]" >&2
    exit 64
    ;;
esac
if ! command -v gcovr >/dev/null; then
    echo "gcovr is not installed (Debian package gcovr)" >&2
    exit 69
fi
if [ -z "$build" ]; then
    build=build/coverage
    cmake --preset coverage >/dev/null && cmake --build --preset coverage || exit 1
    find "$build" -name '*.gcda' -delete
    ctest --preset coverage -j "$(nproc)" || exit 1
fi
code=0
judge() { # judge <folder> <percent of lines> <percent of branches>
    echo "== $1"
    gcovr --root . --filter "$1/" --exclude-lines-by-pattern '.*\bassert\(.*' \
        --txt "$build/coverage-$1.txt" --html-details "$build/coverage-$1.html" \
        --print-summary --fail-under-line "$2" --fail-under-branch "$3" "$build/$1" ||
        code=1
    echo "by file: $build/coverage-$1.txt, line by line: $build/coverage-$1.html"
}
judge journal 97 90
judge replay 97 87
exit $code
