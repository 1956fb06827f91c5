#!/bin/sh
# tests/install_test.sh <build directory> [compiler flags]: the installed copy is enough.
# Installs it into a directory, builds tests/program_embed.c against that by pkg-config,
# and runs it while the database is down: the record is durable all the same, and a second
# run, as after a crash, finds it there.
set -eu
build=$1
flags=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
pc=$(find "$work/prefix" -name holdfast.pc)
[ -n "$pc" ] || { echo "install_test: no holdfast.pc was installed" >&2; exit 1; }
for file in lib/systemd/system/holdfast.service lib/sysusers.d/holdfast.conf \
    share/man/man1/holdfast.1 share/man/man5/holdfast.yaml.5 \
    share/bash-completion/completions/holdfast share/doc/holdfast/docs/examples/holdfast.yaml \
    share/doc/holdfast/docs/prometheus/holdfast.rules.yml; do
    [ -s "$work/prefix/$file" ] || { echo "install_test: no $file" >&2; exit 1; }
done
documents=$work/prefix/share/doc/holdfast
grep -o '](docs/[^)#]*' "$documents/README.md" | cut -c3- | while read -r link; do
    [ -s "$documents/$link" ] ||
        { echo "install_test: README's $link is not installed" >&2; exit 1; }
done
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046,SC2086 # lists of flags
cc -std=c11 -Wall -Wextra -Werror $flags -o "$work/embed" "$here/program_embed.c" \
    $(pkg-config --cflags --libs holdfast)

cat >"$work/holdfast.yaml" <<EOF
journal: {path: $work/journal, max_size: 64MiB, preallocate: 1MiB}
database: {socket: $work/nobody.sock, name: nothing, user: nobody}
log: {level: error}
streams: [{name: mozi, preset: botnet}]
EOF
LD_LIBRARY_PATH=$(pkg-config --variable=libdir holdfast)
export LD_LIBRARY_PATH

expect() {
    out=$("$work/embed" "$work/holdfast.yaml" mozi)
    case $out in
    *"$1"*) ;;
    *) echo "install_test: '$out' lacks '$1'" >&2; exit 1 ;;
    esac
}
expect "durable seq=1 accepted=1 replayed=0 applied=not yet"
expect "durable seq=1 accepted=1 replayed=1 applied=not yet"
"$work/prefix/bin/holdfast" status --config "$work/holdfast.yaml" --json |
    grep -q '"pending":1' || { echo "install_test: not pending" >&2; exit 1; }

# Only what holdfast.h promises may be called from outside.
symbols=$(nm -D --defined-only "$LD_LIBRARY_PATH"/libholdfast.so | awk '$2 == "T" { print $3 }')
for symbol in $symbols; do
    case $symbol in
    holdfast_*) ;;
    *) echo "install_test: libholdfast.so exports $symbol" >&2; exit 1 ;;
    esac
done
echo "install_test: fine"
