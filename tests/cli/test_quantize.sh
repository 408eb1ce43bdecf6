#!/usr/bin/env bash
# test_quantize.sh - lizzie quantize as it is used: what it says and refuses, and that nothing is left of what could not
# be finished. LIZZIE_TEST_LONG: llama.cpp opens the files and continues them alike (needs Node.js and npm).
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie
root=$PWD
models=$PWD/../shared/reference/models
logits=$PWD/../shared/reference/logits
cd "$tap_dir" || exit 1

if [ ! -r "$models/aidreams-260k.gguf" ]; then
    skipped 'quantize' 'no ../shared/reference/models'
    tap_end
    exit
fi
model=$models/aidreams-260k.gguf
printf 'I dream of light, a gentle hum of probability unfolding. Shadows awaken in silence.\n%.0s' {1..20} >text

# run NAME STATUS [ARGS...]: runs lizzie; out and err hold what it said.
run() {
    local name=$1 status=$2
    shift 2
    out=$("$lizzie" "$@" 2>err </dev/null)
    local got=$?
    err=$(cat err)
    [ "$got" = "$status" ] || echo "# exit $got, not $status: $err" | head -n 5
    [ "$got" = "$status" ]
    ok $? "$name"
}

run 'no type' 2 quantize "$model" a.gguf
has "$err" 'the type is missing' 'said'
run 'no out' 2 quantize "$model"
has "$err" 'OUT and TYPE are missing' 'said'
run 'a type that is none' 2 quantize "$model" a.gguf Q4_Z
has "$err" 'Q4_Z: is not a type that can be written' 'named'
run 'no such file' 1 quantize nothing.gguf a.gguf Q4_0
has "$err" 'nothing.gguf' 'named'

run 'Q4_1' 0 quantize "$model" a.gguf Q4_1
has "$out" 'a.gguf: 29 tensors written anew' 'it says what it did'
has "$out" 'took another: -v lists them' 'and which did not fit'
run '-v' 0 quantize "$model" b.gguf q4_1 -v
has "$err" 'blk.0.ffn_down.weight: F32 to F16, since rows of 172 are no whole blocks of Q4_1' 'lists them'
cmp -s a.gguf b.gguf
ok $? 'the same bytes'
run 'it runs' 0 run a.gguf 'I dream' --raw --temperature 0 --max-tokens 8
run 'a file that is there' 1 quantize "$model" a.gguf Q8_0
has "$err" 'a.gguf: is there already' 'is left'
cmp -s a.gguf b.gguf
ok $? 'as it was'
run '--force' 0 quantize "$model" a.gguf Q8_0 --force --json
has "$out" '"tensors":29' 'replaces it'
run 'quantised already' 0 quantize a.gguf c.gguf Q4_0
has "$err" 'is quantised already (Q8_0)' 'is said'

run '--imatrix-from' 0 quantize "$model" d.gguf Q4_0 --imatrix-from text --threads 1
has "$out" 'by importance' 'is used'
run 'alone' 0 quantize "$model" --imatrix-from text --imatrix e.im
cmp -s d.gguf.imatrix e.im
ok $? 'the same importance for any threads'
run '--imatrix' 0 quantize "$model" f.gguf Q4_0 --imatrix e.im
cmp -s d.gguf f.gguf
ok $? 'the same file'
run 'another place that is there' 1 quantize "$model" g.gguf Q4_0 --imatrix-from text --imatrix e.im
has "$err" 'e.im: is there already' 'is left'
cp "$model" in.gguf
run 'IN as the place of the importance' 2 quantize in.gguf g.gguf Q4_0 --imatrix-from text --imatrix ./in.gguf --force
has "$err" 'in.gguf: is IN, which is never replaced' 'is refused'
cmp -s "$model" in.gguf
ok $? 'and stays as it is'
run 'a text too short' 2 quantize "$model" h.gguf Q4_0 --imatrix-from /dev/null

# A limit of file size stands for a full disk: the write fails in the middle.
(ulimit -f 100 && "$lizzie" quantize "$model" full.gguf Q8_0 2>err)
is $? 1 'a full disk'
has "$(cat err)" 'full.gguf.part: cannot be written' 'is said'
is "$(ls full.gguf* 2>/dev/null)" '' 'and nothing is left'

# Interrupted in the middle: a large file, and a signal as soon as it is being written.
"$root/$BUILD/bench/write_model" llama-3.2-1b Q4_0 large.gguf >/dev/null 2>&1
"$lizzie" quantize large.gguf cut.gguf Q4_K 2>/dev/null &
for _ in $(seq 200); do
    [ -s cut.gguf.part ] && break
    sleep 0.05
done
[ -s cut.gguf.part ]
ok $? 'it is being written'
kill -INT $!
wait $!
is $? 130 'interrupted'
is "$(ls cut.gguf* 2>/dev/null)" '' 'nothing is left'
rm -f large.gguf

# llama.cpp reads what was written, and goes on as Lizzie does.
if [ -z "${LIZZIE_TEST_LONG:-}" ]; then
    skipped 'llama.cpp reads every type' 'LIZZIE_TEST_LONG is not set'
elif ! command -v node >/dev/null || [ ! -d "$root/bench/peers/node_modules" ]; then
    skipped 'llama.cpp reads every type' 'no Node.js, or bench/peers/run has not fetched llama.cpp'
else
    for type in F16 BF16 Q8_0 Q6_K Q5_K Q5_1 Q5_0 Q4_K Q4_K_M Q4_1 Q4_0 IQ4_NL IQ4_XS MXFP4 Q3_K Q2_K TQ2_0 TQ1_0; do
        "$lizzie" quantize "$logits/llama-gqa.gguf" "llama-$type.gguf" $type >/dev/null
    done
    node "$root/bench/peers/agree.mjs" "$lizzie" llama-*.gguf >agree.out 2>&1
    ok $? 'llama.cpp reads every type'
    sed 's/^/# /' agree.out
fi
tap_end
