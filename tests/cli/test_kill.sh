#!/usr/bin/env bash
# test_kill.sh - kill -9 at random moments, then the same command again: OUT must be the bytes of a run left in peace.
# Counts the kills that landed in the middle (some rows in OUT, not all), and demands them.
#
# By default on the fake engine. KILL_PROGRAM, KILL_MODEL, KILL_INPUT and KILL_ARGS run it on another program and model;
# KILLS says how many must land in the middle (LIZZIE_TEST_LONG=1: 100).
set -u
. tests/lib/tap.sh
tap_folder
program=${KILL_PROGRAM:-$PWD/$BUILD/lizzie-fake}
case $program in /*) ;; *) program=$PWD/$program ;; esac
model=${KILL_MODEL:-$tap_dir/model}
case $model in /*) ;; *) model=$PWD/$model ;; esac
kills=${KILLS:-12}
[ "${LIZZIE_TEST_LONG:-0}" = 1 ] && kills=${KILLS:-100}
cd "$tap_dir" || exit 1

printf 'ctx=512\nstep_us=1200\nopen_ms=5\n' >model
if [ -n "${KILL_INPUT:-}" ]; then
    input=$KILL_INPUT
else
    input=in.jsonl
    for i in $(seq 0 399); do
        case $((i % 37)) in
        5) echo "{\"id\":$i}" ;;
        6) echo "{\"id\":$i,\"text\":" ;;
        *) echo "{\"id\":$i,\"text\":\"message number $((i * 7919 % 1000))\"}" ;;
        esac
    done >in.jsonl
fi
default_args='--prompt Say:{{text}} --max-tokens 24 --parallel 4 --temperature 0.8 --seed 11'
read -r -a args <<<"${KILL_ARGS:-$default_args}"

run() { "$program" batch "$model" "$input" -o "$1" "${args[@]}" >/dev/null 2>"$1.err"; }

begun=$(date +%s%N)
run whole.jsonl
peace_status=$?
took_ms=$((($(date +%s%N) - begun) / 1000000))
n_rows=$(wc -l <whole.jsonl)
[ $peace_status -eq 0 ] || [ $peace_status -eq 3 ]
ok $? "the line runs undisturbed ($n_rows rows in $took_ms ms)"

in_middle=0 all_same=0 n_runs=0 n_kills=0
RANDOM=${KILL_SEED:-4242}
while [ $in_middle -lt "$kills" ] && [ $n_runs -lt $((kills * 3 + 20)) ]; do
    rm -f out.jsonl out.jsonl.lizzie
    n_runs=$((n_runs + 1)) fresh=1
    while :; do
        begun=$(date +%s%N)
        "$program" batch "$model" "$input" -o out.jsonl "${args[@]}" >/dev/null 2>out.jsonl.err &
        pid=$!
        sleep "$(awk -v r=$RANDOM -v t=$took_ms 'BEGIN { printf "%.3f", t * (0.02 + 0.6 * r / 32768) / 1000 }')"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        status=$?
        if [ $status -ne 137 ]; then
            # A whole run that ended before its kill: the machine has less to do now than at first.
            ended_ms=$((($(date +%s%N) - begun) / 1000000))
            [ $fresh -eq 0 ] || [ $ended_ms -ge $took_ms ] || took_ms=$ended_ms
            break
        fi
        fresh=0
        n_kills=$((n_kills + 1))
        rows=$([ -f out.jsonl ] && wc -l <out.jsonl || echo 0)
        [ "$rows" -gt 0 ] && [ "$rows" -lt "$n_rows" ] && in_middle=$((in_middle + 1))
    done
    cmp -s out.jsonl whole.jsonl || all_same=1
    [ $status -eq $peace_status ] || all_same=1
    if [ $all_same -ne 0 ]; then
        echo "# run $n_runs: status $status: $(head -c 300 out.jsonl.err)"
        break
    fi
done
ok $all_same "the same bytes and exit code after $n_kills kills in $n_runs runs"
[ $in_middle -ge "$kills" ]
ok $? "$in_middle kills landed in the middle, at least $kills were wanted"
tap_end
