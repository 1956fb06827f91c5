#!/bin/bash
# tests/mutations/run.sh [--budget SECONDS] [--seed N] [--build DIRECTORY] [NAME]...
#
# Plants each mistake of tests/mutations/*.patch in a copy of the sources, builds it, and
# runs first test_db_smoke, which must pass, and then what the patch names as its killer,
# which must fail as the patch says. The head of a patch:
#
#     # What the engine does wrong.
#     # breaks: I1
#     # killer: test test_lane_recover nothing_is_confirmed
#     # killer: hang test_lane_dead a_record
#     # killer: layer kill_replay I1
#
# A test is a Criterion program and the name of the test in it that must fail, or, with
# hang, must never end; a layer is one of tests/faults, which must say that this invariant
# is broken. Ends with "N killed of
# N"; a patch that doesn't apply to the sources as they are, and a mistake that nothing
# finds, fail the run. The copy is built in a directory of its own, kept with --build.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD

usage() {
    sed -n '2p' "$0" >&2
    exit 64
}

budget=60 seed=1 names=() build=""
while [ $# -gt 0 ]; do
    case $1 in
    --budget | --seed | --build)
        [ $# -gt 1 ] || usage
        case $1 in
        --budget) budget=$2 ;;
        --seed) seed=$2 ;;
        --build) build=$2 ;;
        esac
        shift
        ;;
    -*) usage ;;
    *) names+=("$1") ;;
    esac
    shift
done
if [ ${#names[@]} -eq 0 ]; then
    for patch in tests/mutations/*.patch; do
        name=${patch##*/}
        names+=("${name%.patch}")
    done
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
build=${build:-$scratch/build}
mkdir -p "$build" && build=$(cd "$build" && pwd) || exit 1
tree=$build/sources

# The sources as they are here, committed or not; what is the same keeps its time, so that
# a kept build directory is built from where it was.
copy_sources() {
    mkdir -p "$tree"
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -co --exclude-standard
    else
        find . -path ./build -prune -o -type f -print
    fi | while read -r file; do
        if [ -e "$file" ] && ! cmp -s "$file" "$tree/$file"; then
            mkdir -p "$tree/$(dirname "$file")"
            cp "$file" "$tree/$file"
        fi
    done
}

launcher=()
if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    export CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1
fi
export CRITERION_JOBS=1 HOLDFAST_SOURCE=$tree HOLDFAST_BUILD=$build
export HOLDFAST_BIN=$build/engine/holdfast

line_of() { # <patch> <key>
    sed -nE "s/^# $2: (.*)/\1/p" "$1" | head -1
}

# What is to be built to have a killer: its program, and for layers what they preload.
program_of() {
    # shellcheck disable=SC2046 # words
    set -- $(line_of "$1" killer)
    if [ "$1" = layer ]; then
        echo "faults_$2"
        (cd tests/faults && ls preload*.c 2>/dev/null) | sed -E 's/^(.*)\.c$/faults_\1/'
    else
        echo "$2"
    fi
}

make_programs() {
    ninja -C "$build" "$@" >"$scratch/log" 2>&1
}

survived() {
    echo "$1: NOT KILLED: $2"
    tail -n 12 "$scratch/log" | sed 's/^/    /'
}

# The killer must fail, and in the way that the patch names.
kill_by_test() { # <program> <test>
    (cd "$build/tests" && timeout 120 "./$1" --filter "*/$2") >"$scratch/log" 2>&1
    local code=$?
    [ $code -ne 0 ] && [ $code -ne 124 ] &&
        grep -qE "^\[(FAIL|CRASH)\] [a-z_]+::$2:" "$scratch/log"
}

# Where the mistake has a lane stand still, whoever waits for it does so for ever.
kill_by_hang() { # <program> <test>
    (cd "$build/tests" && timeout 40 "./$1" --filter "*/$2") >"$scratch/log" 2>&1
    [ $? -eq 124 ]
}

kill_by_layer() { # <layer> <invariant>
    timeout $((budget + 120)) "$build/tests/faults_$1" --quick --budget "$budget" \
        --seed "$seed" --cases "$root/tests/faults/cases" >"$scratch/log" 2>&1
    [ $? -eq 1 ] && grep -qE "^  $2 broken: " "$scratch/log"
}

# 0: killed. The patch is in place, and is taken out by the caller.
try() {
    local name=$1 patch=$2 kind program what
    read -r kind program what <<<"$(line_of "$patch" killer)"
    # shellcheck disable=SC2046 # words
    if ! make_programs engine/holdfast test_db_smoke program_journal $(program_of "$patch"); then
        survived "$name" "it does not build"
        return 1
    fi
    if ! (cd "$build/tests" && timeout 120 ./test_db_smoke) >"$scratch/log" 2>&1; then
        survived "$name" "it is too broken: the smoke test fails"
        return 1
    fi
    if ! "kill_by_$kind" "$program" "$what"; then
        survived "$name" "$kind $program does not say: $what"
        return 1
    fi
    printf '%-22s killed by %s %s: %s   %d s\n' "$name" "$kind" "$program" "$what" \
        $((SECONDS - begun))
}

copy_sources
cmake -S "$tree" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHF_WERROR=OFF \
    "${launcher[@]}" >"$scratch/log" 2>&1 || {
    cat "$scratch/log"
    exit 1
}
killed=0
for name in "${names[@]}"; do
    begun=$SECONDS
    patch=$root/tests/mutations/$name.patch
    if ! (cd "$tree" && GIT_DIR=/nonexistent git apply "$patch") 2>"$scratch/log"; then
        survived "$name" "the patch does not apply"
        continue
    fi
    try "$name" "$patch" && killed=$((killed + 1))
    (cd "$tree" && GIT_DIR=/nonexistent git apply -R "$patch") || exit 1
done
echo "$killed killed of ${#names[@]}   $SECONDS s"
[ "$killed" -eq ${#names[@]} ]
