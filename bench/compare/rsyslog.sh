#!/bin/sh
# bench/compare/rsyslog.sh DIRECTORY DATABASE_SOCKET DATABASE: becomes an rsyslogd in the
# foreground, with a configuration, a queue and a socket ("input") of its own in DIRECTORY.
set -eu
here=$(dirname "$0")
sed -e "s|@directory@|$1|g" -e "s|@socket@|$2|g" -e "s|@database@|$3|g" \
    -e "s|@sync@|on|g" -e "s|@checkpoint@|100|g" "$here/rsyslog.conf" >"$1/rsyslog.conf"
program=$(PATH=$PATH:/usr/sbin:/sbin command -v rsyslogd)
exec "$program" -n -f "$1/rsyslog.conf" -i "$1/pid"
