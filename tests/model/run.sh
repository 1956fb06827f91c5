#!/bin/bash
# tests/model/run.sh [--full]
#
# Has Spin walk through all states of tests/model/holdfast.pml and lanes.pml, for several
# choices of how often what may go wrong, and then with each planted mistake, which it must
# find: the models themselves are on trial. Fails where a property is violated, a search was cut short, a line of
# the model was reached by no search, or a mistake was not found. --full allows more faults
# at a time, for some minutes more.
#
# Exit codes: 0 fine, 1 not, 64 usage, 77 no spin here.
set -u
models=$(cd "$(dirname "$0")" && pwd)

full=""
case "$#${1-}" in
0) ;;
1--full) full=yes ;;
*)
    echo "usage: $0 [--full]" >&2
    exit 64
    ;;
esac
if ! command -v spin >/dev/null; then
    echo "NOT RUN here: spin is not installed (Debian package spin)"
    exit 77
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0 searches=0 states=0 found=0

# choose <model>: what the functions below are about
choose() {
    model=$models/$1.pml
    unreached=$scratch/unreached.$1
}

# build <optimisation> <defines>...: ./pan in a directory of its own. Spin's C indexes by what it reads,
# about which gcc warns.
build() {
    rm -rf "$scratch/pan.d"
    mkdir "$scratch/pan.d"
    cd "$scratch/pan.d" || exit 1
    local optimise=$1 kind=(-DSAFETY -DNOCLAIM)
    shift
    [ "$1" = -DLIVENESS ] && kind=(-DNFAIR=3)
    spin "$@" -a "$model" >spin.log 2>&1 &&
        gcc -w "$optimise" "${kind[@]}" -DCOLLAPSE -DVECTORSZ=1024 -o pan pan.c 2>>spin.log && return
    cat spin.log
    echo "the model can't be built"
    exit 1
}

# defines_of <records> <kills> <cuts> <crashes> <restores> <copies>, each pair as "2/1"
defines_of() {
    echo "-DRECORDS=${1%/*} -DOTHER_RECORDS=${1#*/} -DKILLS=${2%/*} -DOTHER_KILLS=${2#*/}" \
        "-DCUTS=${3%/*} -DOTHER_CUTS=${3#*/} -DCRASHES=$4 -DRESTORES=$5 -DCOPIES=$6"
}

count_states() {
    sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' pan.log
}

complain() {
    echo "  FAILED: $1"
    grep -E 'assertion violated|acceptance cycle|error|too small|not completed' pan.log
    failed=$((failed + 1))
}

# A search that must come to its end and find nothing.
sound() {
    local name=$1 arguments=$2
    shift 2
    build -O2 "$@"
    local begun=$SECONDS
    # shellcheck disable=SC2086 # several words
    ./pan -m400000 -w24 $arguments >pan.log 2>&1
    local code=$?
    printf '%-58s %10s states  %4d s\n' "$name" "$(count_states)" $((SECONDS - begun))
    if [ $code -ne 0 ] || ! grep -q 'errors: 0$' pan.log; then
        complain "a property does not hold"
    elif grep -qE 'too small|not completed|out of memory|aborted' pan.log; then
        complain "the search was cut short"
    fi
    searches=$((searches + 1))
    states=$((states + $(printf '%.0f' "$(count_states)")))
}

# Of the lines that no search of this model has reached those that the last one has not
# reached either. A line of an inline stands in several places.
keep_unreached() {
    awk -v file="$(basename "$model")" '/^unreached in/ { where = $NF }
        index($0, file ":") && /, state / && !/"-end-"/ {
            sub("^.*" file ":", ""); print where, $0 }' pan.log | sort -u >"$scratch/here"
    if [ -e "$unreached" ]; then
        comm -12 "$unreached" "$scratch/here" >"$scratch/both"
        mv "$scratch/both" "$unreached"
    else
        cp "$scratch/here" "$unreached"
    fi
}

# safe <name> <the six numbers>
safe() {
    local name=$1
    shift
    # shellcheck disable=SC2046 # several words
    sound "$name" "" $(defines_of "$@")
    keep_unreached
}

# live <name> <expiry 0 or 1> <the six numbers>
live() {
    local name=$1 expiry=$2
    shift 2
    # shellcheck disable=SC2046 # several words
    sound "in the end: $name" "-a -f" -DLIVENESS -DEXPIRY="$expiry" $(defines_of "$@")
}

# planted <mistake> <what must be violated> <defines>...
planted() {
    local mistake=$1 property=$2 arguments=""
    shift 2
    [ "$1" = -DLIVENESS ] && arguments="-a -f"
    # shellcheck disable=SC2046,SC2086 # several words
    build -O0 "$@" $(printf -- '-DBUG_%s ' $mistake)
    # shellcheck disable=SC2086 # several words
    ./pan -m400000 -w22 $arguments >pan.log 2>&1
    if grep -E 'assertion violated|acceptance cycle' pan.log | grep -qF "$property"; then
        printf 'planted %-50s found\n' "$mistake"
        found=$((found + 1))
    else
        printf 'planted %-50s\n' "$mistake"
        complain "not found, or by another property than: $property"
    fi
}

# finds <mistake> <what must be violated> <the six numbers>
finds() {
    local mistake=$1 property=$2 kind=()
    shift 2
    [ "$property" = "acceptance cycle" ] && kind=(-DLIVENESS -DEXPIRY=0)
    # shellcheck disable=SC2046 # several words
    planted "$mistake" "$property" "${kind[@]}" $(defines_of "$@")
}

choose holdfast
#                                      records kills cuts crashes restores copies
safe "one engine is killed, COMMITs get no answer"  2/1 1/0 1/0 0 0 0
safe "both engines are killed, one COMMIT each"     2/1 1/1 0/1 0 0 0
safe "the database crashes and loses commits"       2/1 1/0 1/0 1 0 0
safe "an older state is restored, an answer lost"   2/1 0/0 1/0 0 1 0
safe "an older copy of the journal is put back"     3/0 1/0 1/0 0 0 1
safe "a crash and a restore"                        2/1 0/0 0/0 1 1 0
live "a kill"                             1         2/1 1/0 0/0 0 0 0
live "a lost answer"                      1         2/1 0/0 1/0 0 0 0
live "the database loses commits"         1         2/0 0/0 1/0 1 0 0
live "it does, and all is retained"       0         2/0 1/0 0/0 1 0 0
if [ -n "$full" ]; then
    safe "all at once"                              2/1 1/0 1/0 1 1 0
    safe "both engines killed, both without answers" 2/1 1/1 1/1 0 0 0
    safe "twice killed, and the database crashes"   2/1 2/0 0/0 1 0 0
    safe "two records each, lost answers, a crash"  2/2 0/0 1/1 1 0 0
    safe "three records, two lost answers"          3/1 0/0 2/0 0 1 0
    live "a kill, a lost answer, a restore" 1       2/1 1/0 1/0 0 1 0
    live "and a crash, and all is retained" 0       2/0 1/0 1/0 1 1 0
fi

all="2/1 1/0 1/0 1 1 0"
# shellcheck disable=SC2086 # several words
{
    finds ACKNOWLEDGE_EARLY "acknowledged" $all
    finds MARK_EARLY "now.at[e]>=to[e]" $all
    finds NO_COMPARE "now.applied" $all
    finds UNKNOWN_IS_FAILED "violated asked[e]" $all
    finds "UNKNOWN_IS_FAILED NO_COMPARE" "now.applied" 2/1 0/0 1/0 0 0 0
    finds EXPIRE_IN_REWIND "next_first[e]<=now.at[e]" $all
    finds ASK_CONFIRMED "next_first[e]<=now.at[e]" $all
    finds LOOK_UP_FIRST "now.count==now.event" $all
    finds NO_SUM "acknowledged" 3/0 1/0 1/0 0 0 1
    finds STOP_FOR_GOOD "acceptance cycle" 2/0 0/0 1/0 0 1 0
}

choose lanes
for restores in 1 2; do
    sound "two lanes, an older state is restored, at most $restores times" "" -DRESTORES=$restores
    keep_unreached
    sound "in the end: the same" "-a -f" -DLIVENESS -DRESTORES=$restores
done
planted NO_DOUBTS "first[1]<=now[1]" -DRESTORES=1
planted DOUBT_ITSELF "now[0]==2" -DRESTORES=1

for lines in "$scratch"/unreached.*; do
    if [ -s "$lines" ]; then
        echo "  FAILED: no search reached these lines of the model:"
        cat "$lines"
        failed=$((failed + 1))
    fi
done
echo "$searches searches of $states states, $found mistakes found, $failed failed"
[ $failed -eq 0 ]
