# kills.sh - kills of a training that makes kill.gguf. `source tests/lib/kills.sh`, then killed_between_steps.

lines() { wc -l 2>/dev/null <kill.jsonl || echo 0; }

# killed_between_steps KILLS COMMAND...: begins the command, in plain C, which takes its time, and kills it when it has made
# some steps more, again and again until so many kills left a checkpoint to go on from. Passes if they did.
killed_between_steps() {
    local kills=$1 in_middle=0 n_runs=0 wanted pid
    shift
    RANDOM=${KILL_SEED:-77}
    rm -f kill.jsonl
    while [ $in_middle -lt "$kills" ] && [ $n_runs -lt $((kills * 6 + 10)) ]; do
        n_runs=$((n_runs + 1))
        LIZZIE_ISA=c "$@" --checkpoint-minutes 1e-6 --log kill.jsonl >out 2>err &
        pid=$!
        wanted=$(($(lines) + 1 + RANDOM % 4))
        while kill -0 $pid 2>/dev/null && [ "$(lines)" -lt $wanted ]; do
            sleep 0.003
        done
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        [ $? -ne 137 ] && rm -f kill.gguf kill.gguf.lizzie kill.jsonl && continue
        [ -e kill.gguf.checkpoint ] && in_middle=$((in_middle + 1))
    done
    [ $in_middle -ge "$kills" ]
    ok $? "$in_middle kills landed in the middle, of $n_runs runs"
}
