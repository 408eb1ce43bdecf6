#!/usr/bin/env bash
# test_bench.sh - lizzie bench on tiny models: every figure stands beside the machine's limits and is the engine's own.
# Speeds themselves are not judged: the machine may be at work.
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie
few=(--prefill 40 --depth 8 --steps 300 --sequences 1,5 --rows 6 --repeat 2)
"$BUILD/bench/write_model" tiny Q4_0 "$tap_dir/tiny.gguf" && "$BUILD/bench/write_model" tiny-qwen3 BF16 "$tap_dir/bf16.gguf" &&
    "$BUILD/bench/write_model" tiny-qwen3 Q4_0 "$tap_dir/gated.gguf"
ok $? 'models of random weights'
cd "$tap_dir" || exit 1

# run NAME STATUS ARGS...: what it prints stands in `out` and `err`.
run() {
    local name=$1 wanted=$2
    shift 2
    TMPDIR=$tap_dir timeout 250 "$lizzie" bench "$@" >out.txt 2>err.txt
    is "$?" "$wanted" "$name"
    out=$(cat out.txt) err=$(cat err.txt)
}
# number KEY: the first number that stands behind it in `out`.
number() { grep -o "\"$1\":[0-9.e+-]*" out.txt | head -n 1 | cut -d: -f2; }
positive() { awk -v x="$(number "$1")" 'BEGIN { exit !(x + 0 > 0) }'; }
figure() { grep -o "\"$1\":{\"unit[^}]*}" out.txt; }

run 'a table' 0 tiny.gguf "${few[@]}"
for row in 'this machine: reads [0-9.]* GB/s, computes [0-9.e-]* TOPS in int8' '^open .* s .*% of' '^prefill .*tok/s' \
    '^decode 1 .*tok/s.* of .* of .*% of [0-9.]* \((reading|computing)\)' '^decode 5 ' '^line .*rows/s' '^memory: [1-9]'; do
    grep -qE "$row" out.txt
    ok $? "it says $row"
done
run 'JSON' 0 tiny.gguf "${few[@]}" --json --threads 1
is "$(wc -l <out.txt)" 1 'on a line'
for key in read_bytes_s int8_ops_s bf16_ops_s ops_s_max open_peak_bytes peak_bytes share; do
    positive $key
    ok $? "$key is known"
done
for name in open 'first token' prefill 'decode 1' 'decode 5' line; do
    is "$(figure "$name" | grep -oE '"values":\[[0-9.e+-]*,[0-9.e+-]*\]' | wc -l)" 1 "$name: two rounds"
    is "$(figure "$name" | grep -cE '"read_bytes_s":.*"ops_s":.*"limit":.*"share":')" 1 "$name: beside the limit"
done
has "$out" '"threads":1,' 'with the threads asked for'
# Rows of a line share their beginning; what they generate is not cut short by an end.
positive line_saved_tokens
ok $? 'the line: a beginning is computed once'
is "$(number line_completion_tokens)" 41 'the line: every row is as long as asked'
is "$(find . -name 'lizzie-bench-*')" '' 'it leaves no file'
LIZZIE_ISA=c run 'another instruction set' 0 bf16.gguf --prefill 8 --depth 4 --steps 60 --sequences 2 --rows 0 --repeat 1 --json
has "$out" '"variant":"c"' 'is the one used, for the machine too'
is "$(figure line)" '' '--rows 0: no line'
is "$(figure 'decode 1')" '' '--sequences: no other'
run 'a profile' 0 tiny.gguf "${few[@]}" --rows 0 --profile
for row in '^ms a step \(GB/s\) +prefill +decode 1 +decode 5' '^gate and up +[0-9.]+ .*\([0-9.]+\) ' '^attention +[0-9.]+ .*\(' \
    '^choosing tokens +[0-9.]+ '; do
    grep -qE "$row" out.txt
    ok $? "it says $row"
done
run 'and in JSON' 0 tiny.gguf "${few[@]}" --rows 0 --profile --json
profile() { grep -oE "\"profile\":.*" out.txt | grep -oE "\"decode 5\":.*" | grep -oE "\"$1\":\{\"us\":[0-9]+,\"bytes\":[0-9]+" | grep -oE '[0-9]+$'; }
steps() { grep -oE '"profile":.*' out.txt | grep -oE '"decode 5":\{"steps":[0-9]+' | grep -oE '[0-9]+$'; }
is "$(($(profile down) % $(steps))) $(($(profile down) / $(steps) > 0))" '0 1' 'each step reads the same weights'
# Many tokens through gate and up are activated by the member that multiplies them, where it has tiles and blocks enough.
part() { grep -oE "\"$1\":\{\"steps\":[0-9]+.*" out.txt | grep -oE '"activation, rounding":\{"us":[0-9]+' | head -n 1 | grep -oE '[0-9]+$'; }
if tap_tiers | grep -q amx && [[ $BUILD != *-tiny ]]; then
    for threads in 1 2; do
        LIZZIE_ISA=amx run "gate and up, $threads threads" 0 gated.gguf --threads $threads --prefill 300 --depth 8 --steps 60 \
            --sequences 1 --rows 0 --repeat 1 --profile --json
        is "$(($(part prefill) > 0)) $(($(part 'decode 1') > 0))" "$((threads > 1)) 1" 'many tokens are activated as they are multiplied by one'
    done
else
    skipped 'gate and up by one member' 'no AMX, or steps of three rows'
fi
run 'sequences that share their beginning' 0 tiny.gguf "${few[@]}" --rows 0 --depth 1200 --shared 1152 --profile --json
shared=$(($(profile attention) / $(steps)))
run 'and as many that share nothing' 0 tiny.gguf "${few[@]}" --rows 0 --depth 1200 --profile --json
apart=$(($(profile attention) / $(steps)))
[ "$((2 * shared))" -lt "$apart" ]
ok $? "what is shared is read once: $shared bytes a step, not $apart"
run 'as much shared as there is' 2 tiny.gguf "${few[@]}" --depth 40 --shared 40
run 'a curve' 0 tiny.gguf "${few[@]}" --rows 0 --json --plot ours.svg
cp out.txt ours.json
run 'and another beside it' 0 tiny.gguf "${few[@]}" --rows 0 --plot both.svg --beside ours.json
is "$(grep -c '<polyline.*points="[0-9., ]*[0-9]' ours.svg) $(grep -c '<polyline.*points="[0-9., ]*[0-9]' both.svg)" '1 2' 'a line each'
echo '{"figures":{"decode":{"values":[1]},"decode -3":{"values":[1]},"decode 99999999999":{"values":[1]},"decode 4":{"values":[1e999]}}}' >none.json
run 'a file without figures' 1 tiny.gguf "${few[@]}" --plot x.svg --beside none.json
has "$err" 'none.json: has no figures' 'is named'
run '--beside alone' 2 tiny.gguf "${few[@]}" --beside ours.json
many=64
[[ $BUILD == *-tiny ]] && many=6 # whose steps have three rows
run 'more sequences than threads' 0 tiny.gguf --prefill 8 --depth 8 --steps 100 --sequences $many --rows 0 --repeat 1 --json
has "$out" "\"decode $many\"" 'run together'
for bad in '--sequences 0' '--sequences 1,,2' '--sequences 1,x' '--repeat 65' '--steps 1' '--prefill -3' '--watts 3'; do
    # shellcheck disable=SC2086
    run "$bad" 2 tiny.gguf $bad
done
run 'no model' 1 none.gguf
run 'a context that the model does not have' 2 tiny.gguf --prefill 5000
has "$err" 'the model was made for 2 to 2048: ask for one of these (--ctx-size, in bench --prefill' 'and it says what to do'
# What is not given is cut to the context of the model, and the table says to what; what is given is not.
# with_context N: tiny.gguf, made for N tokens.
with_context() {
    local key=llama.context_length at
    at=$(grep -abo $key tiny.gguf | cut -d: -f1)
    cp tiny.gguf "ctx-$1.gguf"
    printf "\\x$(printf %02x "$1")\\x00\\x00\\x00" | dd of="ctx-$1.gguf" bs=1 seek=$((at + ${#key} + 4)) conv=notrunc 2>err.txt
}
for context in 128 64 24; do
    with_context $context
    run "no option, a context of $context" 0 ctx-$context.gguf --rows 0 --repeat 1 --json
    is "$(number prefill)" $((context - 1)) 'the prompt is as long as it can be'
    [ "$(number depth)" -ge 1 ] && [ "$(number steps)" -ge 2 ]
    ok $? "steps are timed: $(number steps) from $(number depth) tokens on"
done
run 'the table' 0 ctx-64.gguf --rows 0 --repeat 1
has "$out" 'prompt of 63 tokens; 24 steps from ' 'says what was measured'
run 'a context of 128' 0 ctx-128.gguf --rows 0 --repeat 1 --json
is "$(number depth) $(number steps)" '64 24' 'holds the usual steps'
run 'a depth that is given' 2 ctx-64.gguf --depth 60
run 'a prompt that is given' 2 ctx-128.gguf --prefill 128
tap_end
