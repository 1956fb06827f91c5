#!/bin/sh
# bench/charts.sh DIRECTORY: draws what was measured as SVG, from the columns that
# holdfast-bench left in DIRECTORY (figures.dat, backlog.dat), beside them:
#
#   apply.svg     records a second by transaction size and lanes, and the limit
#   intake.svg    acknowledged records a second over HTTP, and how long one takes
#   journal.svg   durable appends a second against the raw log, and how long one takes
#   backlog.svg   what waits while the database stands still
#
# A chart whose figures were not measured is left out, and said so. Needs gnuplot (Debian:
# gnuplot-nox).
set -eu
if [ $# -ne 1 ] || [ ! -d "$1" ]; then
    echo "usage: $0 DIRECTORY" >&2
    exit 64
fi
command -v gnuplot >/dev/null || {
    echo "charts: gnuplot is not installed (Debian: apt-get install gnuplot-nox)" >&2
    exit 69
}
directory=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# columns <prefix> <figure> [divisor]: of the series <prefix>.<number>.<figure>, one line
# each in order of the number: number median min max, divided.
columns() {
    [ -f "$directory/figures.dat" ] || return 0
    awk -v prefix="$1." -v figure=".$2" -v by="${3:-1}" '
        index($1, prefix) == 1 {
            number = substr($1, length(prefix) + 1)
            end = index(number, ".")
            if (end && substr(number, end) == figure) {
                number = substr(number, 1, end - 1)
                if (number ~ /^[0-9]+$/)
                    print number, $2 / by, $3 / by, $4 / by
            }
        }' "$directory/figures.dat" | sort -n
}

style='
set encoding utf8
set terminal svg size 900,520 dynamic enhanced font "DejaVu Sans,15" background "#ffffff"
set border 3 linecolor "#666666"
set tics nomirror textcolor "#333333"
set grid ytics linecolor "#dddddd" linewidth 1 linetype 1
set key top left reverse Left samplen 2.5 spacing 1.2 textcolor "#333333"
set title font ",18" textcolor "#111111"
set lmargin 11
set style line 1 linecolor "#0072b2" linewidth 2.5 pointtype 7 pointsize 0.8
set style line 2 linecolor "#d55e00" linewidth 2.5 pointtype 5 pointsize 0.8
set style line 3 linecolor "#009e73" linewidth 2.5 pointtype 9 pointsize 1.0
set style line 4 linecolor "#cc79a7" linewidth 2.5 pointtype 11 pointsize 1.0
set style line 9 linecolor "#555555" linewidth 2 dashtype (8,6)
set style fill transparent solid 0.25 noborder
'

# draw <name>: commands on standard input
draw() {
    { printf '%s\nset output "%s"\n' "$style" "$directory/$1.svg" && cat; } |
        gnuplot
    echo "charts: $directory/$1.svg" >&2
}

left_out() { # left_out <name> <part>
    echo "charts: no $1.svg, the part '$2' was not measured" >&2
}

# The x values of a data file as tics: exactly where something was measured.
tics() {
    awk '{printf "%s\"%s\" %s", (NR > 1 ? ", " : ""), $1, $1}' "$1" |
        sed -e 's/000" /k" /g'
}

# range <column> <room>: of all values of a column on standard input, as a gnuplot range of
# a logarithmic axis with room at both ends.
range() {
    awk -v column="$1" -v room="$2" '
        NR == 1 || $column < low {low = $column}
        NR == 1 || $column > high {high = $column}
        END {printf "[%g:%g]", low / room, high * room}'
}

draw_apply() {
    plots=""
    style_number=0
    for lanes in 1 2 4; do
        style_number=$((style_number + 1))
        columns "apply.lanes$lanes" records_per_s 1000 >"$work/lanes$lanes"
        [ -s "$work/lanes$lanes" ] || continue
        lanes_text="$lanes lanes"
        [ "$lanes" -gt 1 ] || lanes_text="1 lane"
        plots="$plots, '$work/lanes$lanes' using 1:2:3:4 with yerrorbars linestyle \
$style_number notitle, '' using 1:2 with linespoints linestyle $style_number \
title '$lanes_text'"
    done
    columns apply.lanes1 limit_rows_per_s 1000 >"$work/limit"
    if [ -z "$plots" ] || [ ! -s "$work/limit" ]; then
        left_out apply apply
        return
    fi
    draw apply <<END
set title "Records applied to both tables, by transaction size and lanes"
set xlabel "records in a transaction"
set ylabel "thousand records a second"
set logscale x
set xrange $(range 1 1.3 <"$work/limit")
set yrange [0:*]
set xtics ($(tics "$work/limit"))
set key bottom right
plot '$work/limit' using 1:2 with lines linestyle 9 \
    title 'limit: LOAD DATA, communications alone, one connection'$plots
END
}

# draw_acks <name> <prefix> <figure> <divisor> <what> <title> [<figure of the limit>]
draw_acks() {
    columns "$2" "$3" "$4" >"$work/acks"
    columns "$2" p50_us 1000 >"$work/p50"
    columns "$2" p99_us 1000 >"$work/p99"
    if [ ! -s "$work/acks" ]; then
        left_out "$1" "$1"
        return
    fi
    limit=""
    if [ -n "${7-}" ]; then
        columns "$2" "$7" "$4" >"$work/raw"
        limit="'$work/raw' using 1:2 with linespoints linestyle 9 pointtype 6 \
title 'limit: a raw log, one sync a group',"
    fi
    draw "$1" <<END
set terminal svg size 900,720 dynamic enhanced font "DejaVu Sans,15" background "#ffffff"
set multiplot layout 2,1 title "$6" font ",18"
unset title
set tmargin 1.5
set logscale x 2
set xrange $(range 1 1.3 <"$work/acks")
set xtics ($(tics "$work/acks"))
set yrange [0:*]
set ylabel "$5"
plot $limit '$work/acks' using 1:2:3:4 with yerrorbars linestyle 1 notitle, \
    '' using 1:2 with linespoints linestyle 1 title 'Holdfast'
set xlabel "producers, each waiting for its acknowledgement"
set ylabel "acknowledged after, ms"
set logscale y
set yrange $(cat "$work/p50" "$work/p99" | range 2 1.6)
set format y "%g"
plot '$work/p99' using 1:2 with linespoints linestyle 2 title '99 of 100 (p99)', \
    '$work/p50' using 1:2 with linespoints linestyle 1 title 'every second one (p50)'
unset multiplot
END
}

draw_backlog() {
    [ -s "$directory/backlog.dat" ] || {
        left_out backlog intake
        return
    }
    # "# ...; the database stands still from 2.0 to 6.0 s"
    stall=$(sed -n 's/^#.* from \([0-9.]*\) to \([0-9.]*\) s.*/\1 \2/p' \
        "$directory/backlog.dat")
    from=${stall% *}
    to=${stall#* }
    marks=""
    [ -z "$stall" ] || marks="
set object 1 rectangle from $from, graph 0 to $to, graph 1 behind \
    fillcolor '#f0e0c8' fillstyle solid 1 noborder
set label 1 'the database stands still' at ($from + $to) / 2., graph 0.95 center \
    textcolor '#8a5a00'"
    draw backlog <<END
set title "Intake goes on while the database stands still, and the backlog drains after"
set xlabel "seconds"
set ylabel "thousand records"
set yrange [0:*]
set xrange [0:*]
set key outside bottom center horizontal
$marks
plot '$directory/backlog.dat' using 1:(\$2 / 1000) with filledcurves y1=0 \
    linecolor "#0072b2" notitle, \
    '' using 1:(\$2 / 1000) with lines linestyle 1 title 'waiting in the journal', \
    '' using 1:(\$3 / 1000) with lines linestyle 2 title 'acknowledged', \
    '' using 1:(\$4 / 1000) with lines linestyle 3 title 'applied'
END
}

draw_apply
draw_acks intake intake.500 records_per_s 1000 "thousand records a second" \
    "Durable acknowledgements over HTTP, batches of 500 records"
draw_acks journal journal.200b acks_per_s 1000 "thousand appends a second" \
    "Durable appends of 200 bytes, in groups" raw_acks_per_s
draw_backlog
