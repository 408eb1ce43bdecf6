#!/usr/bin/env bash
# test_same_bytes.sh - OUT of the real engine is the same bytes for every instruction set, number of rows together,
# threads, prefill chunk, prefix cache and way of sampling, and for shards merged; and what is varied happened: the
# kernels in use, rows in one step, tokens saved, steps taken. On the tiny trained model, or SAME_MODEL; SAME_SHORT
# leaves one way of sampling.
set -u
. tests/lib/tap.sh
tap_folder
program=$PWD/$BUILD/lizzie
model=${SAME_MODEL:-$PWD/../shared/reference/models/aidreams-260k.gguf}
if [ ! -r "$model" ]; then
    echo "1..0 # SKIP the model $(basename "$model") is not here"
    exit 0
fi
cd "$tap_dir" || exit 1
for i in $(seq 0 39); do echo "{\"id\":$i,\"text\":\"a dream number $i of the night\"}"; done >in.jsonl

length='--max-tokens 16'

# same NAME SAID [ARGS...]: a run that must give the bytes of `whole`, and say SAID on standard error.
same() {
    local name=$1 said=$2
    shift 2
    rm -f out out.lizzie
    timeout 120 "$program" batch "$model" in.jsonl -o out -v --prompt 'In the quiet night of a long and cold year I dream of {{text}}' $length $sampling "$@" 2>err
    [ $? -eq 0 ] && cmp -s out whole
    ok $? "$name: same bytes"
    grep -q -E -- "$said" err
    ok $? "$name: it happened"
}

# chunked N: a prefill chunk of N tokens, with the steps that the tokens computed then need.
chunked() {
    local steps in saved
    same "--prefill-chunk $1" ' steps' --prefill-chunk "$1"
    steps=$(sed -n 's/.*: \([0-9]*\) steps.*/\1/p' err)
    read -r in saved < <(sed -n 's/^tokens: \([0-9]*\) in (\([0-9]*\) of them.*/\1 \2/p' err)
    [ "${in:-0}" -gt "${saved:-0}" ] && [ $((steps * $1)) -ge $((in - saved)) ]
    ok $? "--prefill-chunk $1: $steps steps for $((in - saved)) tokens"
}

tiers="c $(tap_tiers | xargs)"
samplings=('--temperature 0.9 --top-p 0.95 --seed 3' ''
    '--temperature 1.2 --typical 0.9 --xtc-probability 0.5 --dry-multiplier 0.8 --n 2 --logprobs 1 --prompt-logprobs 2 --ignore-eos')
[ -n "${SAME_SHORT:-}" ] && samplings=("${samplings[0]}")
for sampling in "${samplings[@]}"; do
    LIZZIE_ISA=c "$program" batch "$model" in.jsonl -o whole --restart --prompt 'In the quiet night of a long and cold year I dream of {{text}}' --max-tokens 16 \
        --parallel 1 --threads 1 --prefix-cache off $sampling 2>/dev/null
    ok $? "${sampling:-greedy}: one row at a time"
    for tier in $tiers; do
        LIZZIE_ISA=$tier same "LIZZIE_ISA=$tier" "kernels $tier," --parallel 8
    done
    same '--parallel 3' 'at most [23] rows in one' --parallel 3
    same '--parallel 32' 'at most ([2-9]|[123][0-9]) rows in one' --parallel 32
    same '--threads 1' ' 1 threads' --threads 1
    same '--threads 2' ' 2 threads' --threads 2
    same '--prefix-cache on' '\([1-9][0-9]* of them saved' --prefix-cache on
    same '--prefix-cache off' '\(0 of them saved' --prefix-cache off
    chunked 1
    chunked 7
    rm -f shard-*
    for shard in 0 1 2; do
        timeout 120 "$program" batch "$model" in.jsonl -o shard-$shard --shard $shard/3 --prompt 'In the quiet night of a long and cold year I dream of {{text}}' \
            --max-tokens 16 $sampling 2>/dev/null
    done
    sort -t: -k2,2n shard-0 shard-1 shard-2 | cmp -s - whole && [ "$(cat shard-[012] | wc -l)/$(wc -l <shard-1)" = 40/13 ]
    ok $? "three shards, merged: same bytes"
done
[[ $tiers = *amx ]] || LIZZIE_ISA=amx same 'LIZZIE_ISA=amx, which this machine lacks' 'LIZZIE_ISA=amx: is above this machine'
# Guessed tokens, in texts long enough to repeat themselves.
length='--max-tokens 120' sampling='--temperature 0.3 --seed 3 --limit 10'
LIZZIE_ISA=c "$program" batch "$model" in.jsonl -o whole --restart --prompt 'In the quiet night of a long and cold year I dream of {{text}}' \
    $length --parallel 1 --threads 1 --prefix-cache off --speculate off $sampling 2>/dev/null
ok $? "one token at a time"
for tier in $tiers; do
    LIZZIE_ISA=$tier same "LIZZIE_ISA=$tier --speculate ngram" ' [1-9][0-9]* of [0-9]* guessed tokens kept' --speculate ngram
done
same '--speculate auto' ' [1-9][0-9]* of [0-9]* guessed tokens kept' --parallel 3
same '--speculate off' ' 0 of 0 guessed tokens kept' --speculate off
# Choices: the trie's branches in few steps or many.
length='' sampling='--choices dark,dream,dreams,day,the,them,light,lights,silver,never'
LIZZIE_ISA=c "$program" batch "$model" in.jsonl -o whole --restart --prompt 'In the quiet night of a long and cold year I dream of {{text}}' \
    --parallel 1 --threads 1 --prefix-cache off $sampling 2>/dev/null && [ "$(grep -c '"probs":{"dark":' whole)" = 40 ]
ok $? "choices: one row at a time"
for tier in $tiers; do
    LIZZIE_ISA=$tier same "choices: LIZZIE_ISA=$tier" "kernels $tier," --parallel 8
done
same 'choices: --parallel 32' 'at most ([2-9]|[123][0-9]) rows in one' --parallel 32
same 'choices: --threads 2' ' 2 threads' --threads 2 --prefill-chunk 7
same 'choices: --prefix-cache on' '\([1-9][0-9]* of them saved' --prefix-cache on
length='--max-tokens 16'
# Other types of the cache give other numbers, each the same everywhere.
cp whole other
for sampling in '--cache-type int8' '--cache-type f32'; do
    LIZZIE_ISA=c "$program" batch "$model" in.jsonl -o whole --restart --prompt 'In the quiet night of a long and cold year I dream of {{text}}' --max-tokens 16 \
        --parallel 1 --threads 1 --prefix-cache off --logprobs 1 $sampling 2>/dev/null && ! cmp -s whole other
    ok $? "$sampling: its own bytes"
    cp whole other
    for tier in $tiers; do
        LIZZIE_ISA=$tier same "LIZZIE_ISA=$tier" "kernels $tier," --parallel 8 --logprobs 1
    done
    same '--prefix-cache on' '\([1-9][0-9]* of them saved' --prefix-cache on --prefill-chunk 7 --logprobs 1
done
sampling=''
head -n 4 in.jsonl >few.jsonl && mv few.jsonl in.jsonl
"$program" batch "$model" in.jsonl -o whole --restart --prompt 'In the quiet night of a long and cold year I dream of {{text}}' --max-tokens 16 2>/dev/null
same '--threads 64' ' 64 threads' --threads 64
tap_end
