#!/bin/bash
# tests/completion_test.sh <directory of holdfast>: packaging/holdfast.bash-completion, by
# calling its function as bash does.
set -eu
PATH=$1:$PATH
# shellcheck source=packaging/holdfast.bash-completion
. "$(dirname "$0")/../packaging/holdfast.bash-completion"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect "<words of the line, the last being completed>" "<answers>"
expect() {
    local found
    read -r -a COMP_WORDS <<<"$1"
    case $1 in
    *" ") COMP_WORDS+=("") ;;
    esac
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _holdfast
    found=$(printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort | tr '\n' ' ')
    found=${found% }
    if [ "${found# }" != "$2" ]; then
        echo "completion_test: '$1' gives '$found', not '$2'" >&2
        exit 1
    fi
}

cat >"$work/c.yaml" <<'Y'
journal: {path: /nowhere}
database: {name: b, user: u}
streams: [{name: mozi, preset: botnet}, {name: mirai, preset: botnet}, {name: test, preset: botnet}]
Y
mkdir "$work/some" && : >"$work/some.ndjson"

expect "holdfast stat" "status"
expect "holdfast re" "repair replay resume"
expect "holdfast jou" "journal"
expect "holdfast journal re" "repair"
expect "holdfast journal " "adopt backup export ls repair show verify"
expect "holdfast deadletter " "accept ls purge retry show"
expect "holdfast --config $work/c.yaml val" "validate"
expect "holdfast -" "--config --help --version"
expect "holdfast schema --" "--config --database-name --help --stream --user"
expect "holdfast journal show --j" "--json"
expect "holdfast ingest --config $work/c.yaml --stream " "mirai mozi test"
expect "holdfast check --config $work/c.yaml --stream m" "mirai mozi"
HOLDFAST_CONFIG=$work/c.yaml expect "holdfast check --stream t" "test"
expect "holdfast check --config $work/none.yaml --stream " ""
expect "holdfast status --config $work/so" "$work/some $work/some.ndjson"
expect "holdfast ingest --stream mozi $work/some." "$work/some.ndjson"
expect "holdfast journal backup $work/so" "$work/some"
expect "holdfast journal ls --limit " ""
expect "holdfast nonsense " ""

# Every command is reached, word by word.
while IFS= read -r name; do
    word=${name##* }
    before=${name%"$word"}
    COMP_WORDS=(holdfast)
    for part in $before "$word"; do
        COMP_WORDS+=("$part")
    done
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _holdfast
    case " ${COMPREPLY[*]} " in
    *" $word "*) ;;
    *) echo "completion_test: '$name' isn't offered" >&2 && exit 1 ;;
    esac
done < <(holdfast --help | sed -n '/^commands:$/,/^$/p' | sed -n 's/^  \([a-z]\{1,\}\( [a-z]\{1,\}\)*\).*/\1/p')
echo "completion_test: fine"
