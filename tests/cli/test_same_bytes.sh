#!/usr/bin/env bash
# test_same_bytes.sh - OUT of the real engine is the same bytes for every instruction set, number of rows together,
# threads, prefill chunk, prefix cache and way of sampling; and what is varied happened: the kernels in use, rows in one
# step, tokens saved. On the tiny trained model, or SAME_MODEL; SAME_SHORT leaves one way of sampling.
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

tiers="c"
grep -qw avx2 /proc/cpuinfo && tiers="$tiers avx2"
grep -qw avx512_vnni /proc/cpuinfo && tiers="$tiers avx512"
grep -qw amx_int8 /proc/cpuinfo && tiers="$tiers amx"
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
    same '--prefill-chunk 1' 'steps' --prefill-chunk 1
    same '--prefill-chunk 7' 'steps' --prefill-chunk 7
done
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
