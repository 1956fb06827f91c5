#!/bin/bash
# tests/faults/run.sh --quick | --full | --soak HOURS [--seed N] [--layer NAME]...
#     [--build DIRECTORY]
#
# Runs the layers of the fault suite one after the other, each a program
# faults_<layer> of a release build (build/release, made when it is missing), and ends
# with "N passed, N failed". A layer that can't run on this machine says why and is
# counted apart; nothing is left out quietly.
set -u
cd "$(dirname "$0")/../.." || exit 1

usage() {
    sed -n '2,3p' "$0" >&2
    exit 64
}

mode="" seed=$(date +%s) layers=() build=build/release
while [ $# -gt 0 ]; do
    case $1 in
    --quick | --full) mode=$1 ;;
    --soak)
        [ $# -gt 1 ] || usage
        mode=--soak hours=$2
        shift
        ;;
    --seed)
        [ $# -gt 1 ] || usage
        seed=$2
        shift
        ;;
    --layer)
        [ $# -gt 1 ] || usage
        layers+=("$2")
        shift
        ;;
    --build)
        [ $# -gt 1 ] || usage
        build=$2
        shift
        ;;
    *) usage ;;
    esac
    shift
done
[ -n "$mode" ] || usage

if [ "$build" = build/release ]; then
    cmake --preset release >/dev/null && cmake --build --preset release --target faults ||
        exit 1
fi
HOLDFAST_BUILD=$(cd "$build" && pwd) || exit 1
export HOLDFAST_BUILD
if [ ${#layers[@]} -eq 0 ]; then
    for source in tests/faults/layer_*.c; do
        name=${source##*/layer_}
        layers+=("${name%.c}")
    done
fi

# The layer "fuzz" has a build of its own, which takes clang.
if [[ " ${layers[*]} " = *" fuzz "* ]] && command -v clang-14 >/dev/null; then
    cmake --preset fuzz >/dev/null && cmake --build --preset fuzz || exit 1
    HOLDFAST_FUZZ_BUILD=$PWD/build/fuzz
    export HOLDFAST_FUZZ_BUILD
fi

arguments=("$mode")
if [ "$mode" = --soak ]; then
    arguments+=($((hours * 3600 / ${#layers[@]})))
fi
output=$(mktemp)
trap 'rm -f "$output"' EXIT
lines=() passed=0 failed=0 absent=0
for layer in "${layers[@]}"; do
    "$HOLDFAST_BUILD/tests/faults_$layer" "${arguments[@]}" --seed "$seed" | tee "$output"
    code=${PIPESTATUS[0]}
    lines+=("$(tail -n 1 "$output")")
    case $code in
    0) passed=$((passed + 1)) ;;
    77) absent=$((absent + 1)) ;;
    *)
        failed=$((failed + 1))
        lines[-1]="${lines[-1]}   FAILED (exit $code)"
        ;;
    esac
done

echo
printf '%s\n' "${lines[@]}"
[ "$absent" -eq 0 ] || echo "$absent not run on this machine: see above"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
