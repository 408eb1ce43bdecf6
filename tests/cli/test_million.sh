#!/usr/bin/env bash
# test_million.sh - many short rows in flat memory: prints the curve of resident memory over rows, and demands that its
# peak hardly rises after the first fifth.
#
# By default on the fake engine; MILLION_PROGRAM, MILLION_MODEL, MILLION_ROWS, MILLION_MAX_TOKENS change that.
set -u
. tests/lib/tap.sh
tap_folder
program=${MILLION_PROGRAM:-$PWD/$BUILD/lizzie-fake}
case $program in /*) ;; *) program=$PWD/$program ;; esac
model=${MILLION_MODEL:-$tap_dir/model}
case $model in /*) ;; *) model=$PWD/$model ;; esac
rows=1000000
[ "${LIZZIE_TEST_SANITIZED:-0}" = 1 ] && rows=50000
rows=${MILLION_ROWS:-$rows}
cd "$tap_dir" || exit 1
printf 'ctx=128\n' >model
seq 0 $((rows - 1)) | sed 's/.*/{"id":&,"text":"row &"}/' >in.jsonl

begun=$(date +%s%N)
"$program" batch "$model" in.jsonl -o out.jsonl --prompt '{{text}}' --max-tokens "${MILLION_MAX_TOKENS:-1}" 2>err &
pid=$!
: >curve
while kill -0 $pid 2>/dev/null; do
    rss=$(awk '/VmRSS/ { r = $2 } /VmHWM/ { h = $2 } END { print r, h }' /proc/$pid/status 2>/dev/null)
    size=$(stat -c %s out.jsonl 2>/dev/null || echo 0)
    [ -n "$rss" ] && echo "$size $rss" >>curve
    sleep 0.05
done
wait $pid
status=$?
took_ms=$((($(date +%s%N) - begun) / 1000000))
is $status 0 "$rows rows: exit code 0"
is "$(wc -l <out.jsonl)" "$rows" "as many rows in OUT ($took_ms ms, $((rows * 1000 / (took_ms + 1))) rows/s)"
is "$(tail -n 1 out.jsonl | grep -o '"index":[0-9]*')" "\"index\":$((rows - 1))" "the last row is the last record"
total=$(stat -c %s out.jsonl)
awk -v total="$total" 'NF == 3 && $2 > 0 && $1 / total >= next_at {
    printf "# %3d %% of OUT: VmRSS %d kB, VmHWM %d kB\n", 100 * $1 / total, $2, $3
    next_at = $1 / total + 0.08
}' curve
early=$(awk -v t="$total" 'NF == 3 && $1 < t / 5 && $3 > m { m = $3 } END { print m + 0 }' curve)
late=$(awk 'NF == 3 && $3 > m { m = $3 } END { print m + 0 }' curve)
if [ "${LIZZIE_TEST_SANITIZED:-0}" = 1 ]; then
    skipped "memory is flat" "a sanitizer keeps what was freed"
else
    [ "$late" -gt 0 ] && [ "$early" -gt 0 ] && [ "$late" -le $((early + early / 10 + 2048)) ]
    ok $? "memory is flat: peak $early kB in the first fifth, $late kB in the end"
fi
tap_end
