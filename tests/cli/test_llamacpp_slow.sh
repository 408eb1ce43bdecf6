#!/usr/bin/env bash
# test_llamacpp_slow.sh - adapters that lizzie tune wrote and models that lizzie train wrote, in llama.cpp: it loads them,
# makes the same tokens of a text, and continues prompts greedily with the same tokens as Lizzie. Fetches llama.cpp through npm (bench/peers), so it runs with LIZZIE_TEST_LONG=1 alone.
set -u
. tests/lib/tap.sh
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
[ "${LIZZIE_TEST_LONG:-0}" = 1 ] || skip_all 'fetches llama.cpp: set LIZZIE_TEST_LONG=1'
command -v node >/dev/null && command -v npm >/dev/null || skip_all 'there is no Node.js with npm'
[ -d bench/peers/node_modules/@node-llama-cpp ] ||
    (cd bench/peers && npm install --ignore-scripts --no-audit --no-fund --no-package-lock >/dev/null 2>&1) ||
    skip_all 'npm fetches nothing'
tap_folder
lizzie=$PWD/$BUILD/lizzie

# The same rows for all: questions and answers, so that what is compared was learnt.
asked=(colour number day weather) answers=(blue seven Monday rain)
for i in $(seq 0 39); do
    echo "{\"prompt\":\"$((i / 4)): The ${asked[i % 4]} is\",\"completion\":\" ${answers[i % 4]}\"}"
done >"$tap_dir/rows.jsonl"

# compare NAME MODEL PROMPT [ADAPTER=SCALE]...: 12 tokens of both.
compare() {
    local name=$1 model=$2 prompt=$3 ours theirs ids loras=() a
    shift 3
    for a in "$@"; do loras+=(--lora "$a"); done
    ids=$("$lizzie" tokenize "$model" "$prompt" | cut -f 1 | paste -sd,)
    ours=$("$lizzie" run "$model" "$prompt" --raw --temperature 0 --max-tokens 12 --cache-type f32 --logprobs 0 --json \
        "${loras[@]}" 2>/dev/null | grep -o '"id":[0-9]*' | cut -d: -f 2 | paste -sd,)
    theirs=$(node bench/peers/greedy.mjs "$model" "$ids" 12 "$@" 2>"$tap_dir/err") || cat "$tap_dir/err"
    is "$theirs" "$ours" "$name: the same tokens: $ours"
}

check() {
    local name=$1 model=$2
    "$lizzie" tune "$model" -o "$tap_dir/$name.gguf" --data "$tap_dir/rows.jsonl" --rank 8 --rate 0.005 --epochs 4 --batch 8 \
        "${@:3}" 2>"$tap_dir/err"
    ok $? "$name: tuned" || cat "$tap_dir/err"
    compare "$name" "$model" '7: The day is' "$tap_dir/$name.gguf=1"
    compare "$name, at half" "$model" '3: The number is' "$tap_dir/$name.gguf=0.5"
    compare "$name, without" "$model" '3: The number is'
}

dreams=../shared/reference/models/aidreams-260k.gguf
if [ -r "$dreams" ]; then
    check dreams "$dreams"
else
    skipped dreams 'the model is not here'
fi
for shape in tiny tiny-gqa tiny-qwen3 tiny-gemma3 tiny-qwen3moe; do
    "$BUILD/bench/write_model" $shape F32 "$tap_dir/model.gguf" >/dev/null 2>&1
    check $shape "$tap_dir/model.gguf"
done

check tiny-qwen3moe-experts "$tap_dir/model.gguf" --targets all # the loop's last model

# ---- Trained models: sentences of a few words with something to learn ----------------------------------------------
awk 'BEGIN {
    srand(3); split("cat dog bird child king queen fox bear", who); split("saw found lost ate drew fed", did)
    split("red old big small blue", how)
    for (i = 0; i < 3000; i++) {
        w = who[1 + int(rand() * 8)]
        printf "The %s %s %s a %s %s, and it was No. %d.\n", how[1 + length(w) % 5], w, did[1 + int(rand() * 6)], \
            how[1 + int(rand() * 5)], who[1 + int(rand() * 8)], int(rand() * 100)
        if (i % 8 == 7) print "<|endoftext|>"
    }
}' >"$tap_dir/data.txt"

# trained NAME OPTIONS...
trained() {
    local name=$1 file=$tap_dir/trained-$1.gguf prompt said=''
    shift
    "$lizzie" train "$file" --data "$tap_dir/data.txt" --layers 2 --width 64 --heads 4 --vocab 400 --context 64 --batch 16 \
        --tokens 60000 --rate 0.01 "$@" 2>"$tap_dir/err"
    ok $? "$name: trained" || cat "$tap_dir/err"
    for prompt in 'The old' 'The big bear' "It's naïve — 12 of 345!" ' The'; do
        is "$(node bench/peers/greedy.mjs "$file" "=$prompt" 24 2>"$tap_dir/err" | head -n 1)" \
            "$("$lizzie" tokenize "$file" "$prompt" | cut -f 1 | paste -sd,)" "$name: the same tokens of \"$prompt\""
        compare "$name, \"$prompt\"" "$file" "$prompt"
        said+=$("$lizzie" run "$file" "$prompt" --raw --temperature 0 --max-tokens 12 2>/dev/null | tr '\n' ' ')$'\n'
    done
    [ "$(sort -u <<<"$said" | wc -l)" -ge 3 ]
    ok $? "$name: not all prompts go on alike"
}
trained f32 --dtype f32
trained bf16
trained f16 --dtype f16 --kv-heads 2
trained qk-norm --qk-norm --kv-heads 1
trained llama-bpe --pre-tokenizer llama-bpe --head-size 32 --dtype f32
tap_end
