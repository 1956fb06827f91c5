#!/bin/bash
# tests/mutations/run.sh [--apply] [--budget SECONDS] [--seed N] [--build DIRECTORY]
#     [NAME]...
#
# Plants each mistake of tests/mutations/*.patch in a copy of the sources, builds it, and
# runs first test_db_smoke, which must pass, and then what the patch names as its killer,
# which must fail as the patch says. The head of a patch:
#
#     # What the engine does wrong.
#     # killer: kill_replay I1
#     # killer: database_faults I3 two_writers
#
# The killer is a layer of tests/faults, which must say that this invariant is broken, by
# the points that it has time for or by the one of this name. Ends with "N killed of N"; a
# patch that doesn't apply to the sources as they are, and a mistake that nothing finds,
# fail the run. The copy is built in a directory of its own, kept with --build. With
# --apply only the patches are tried.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD

usage() {
    sed -n '2,3p' "$0" >&2
    exit 64
}

budget=60 seed=1 names=() build="" only_apply=""
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
    --apply) only_apply=1 ;;
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

killer_of() { # <patch>
    sed -nE 's/^# killer: (.*)/\1/p' "$1" | head -1
}

# What is to be built to have a killer: the layer, and what it preloads.
programs_of() { # <patch>
    # shellcheck disable=SC2046 # words
    set -- $(killer_of "$1")
    echo "faults_$1"
    (cd tests/faults && ls preload*.c) | sed -E 's/^(.*)\.c$/faults_\1/'
}

make_programs() {
    ninja -C "$build" "$@" >"$scratch/log" 2>&1
}

survived() {
    echo "$1: NOT KILLED: $2"
    tail -n 12 "$scratch/log" | sed 's/^/    /'
}

# A layer ends its own processes; one that hangs is killed with all that it started.
kill_by() { # <layer> <invariant> <point or nothing>
    local points=(--quick --budget "$budget")
    [ -z "$3" ] || points=(--point "$3")
    timeout -k 5 $((budget + 120)) "$build/tests/faults_$1" "${points[@]}" --seed "$seed" \
        --cases "$root/tests/faults/cases" >"$scratch/log" 2>&1
    [ $? -eq 1 ] && grep -qE "^  $2 broken: " "$scratch/log"
}

# 0: killed. The patch is in place, and is taken out by the caller.
try() {
    local name=$1 patch=$2 layer invariant point
    read -r layer invariant point <<<"$(killer_of "$patch")"
    # shellcheck disable=SC2046 # words
    if ! make_programs engine/holdfast test_db_smoke $(programs_of "$patch"); then
        survived "$name" "it does not build"
        return 1
    fi
    if ! (cd "$build/tests" && timeout -k 5 120 ./test_db_smoke) >"$scratch/log" 2>&1; then
        survived "$name" "it is too broken: the smoke test fails"
        return 1
    fi
    if ! kill_by "$layer" "$invariant" "$point"; then
        survived "$name" "$layer ${point:+($point) }does not say that $invariant is broken"
        return 1
    fi
    printf '%-22s killed by %s: %s%s   %d s\n' "$name" "$layer" "$invariant" \
        "${point:+, $point}" $((SECONDS - begun))
}

copy_sources
if [ -n "$only_apply" ]; then
    for name in "${names[@]}"; do
        (cd "$tree" && GIT_DIR=/nonexistent git apply --check "$root/tests/mutations/$name.patch") || exit 1
    done
    echo "${#names[@]} apply"
    exit 0
fi
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
