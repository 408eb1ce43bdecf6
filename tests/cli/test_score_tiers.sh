#!/usr/bin/env bash
# test_score_tiers.sh - the file of `score --logits` is the same bytes on every instruction set and thread count, for
# every weight type: on the random-weight models of bench/, and on those of reference/quants where they are here.
set -u
. tests/lib/tap.sh
tap_folder
program=$PWD/$BUILD/lizzie
writer=$PWD/$BUILD/bench/write_model
reference=$PWD/../shared/reference/quants
tokens=$(seq -s, 3 7 360) # 52 tokens, which straddle a page

tiers="avx2 avx512 amx"
usable=$(tap_tiers)

# check MODEL NAME TOKENS
check() {
    LIZZIE_ISA=c "$program" score "$1" --tokens "$3" --logits "$tap_dir/c.npy" --threads 1 >/dev/null
    ok $? "$2: logits on tier c"
    for tier in $tiers; do
        if ! grep -qx "$tier" <<<"$usable"; then
            skipped "$2: $tier" "this machine lacks it"
            continue
        fi
        rm -f "$tap_dir/x.npy"
        LIZZIE_ISA=$tier "$program" score "$1" --tokens "$3" --logits "$tap_dir/x.npy" -v >/dev/null 2>"$tap_dir/err"
        cmp -s "$tap_dir/c.npy" "$tap_dir/x.npy" && grep -q "kernels $tier," "$tap_dir/err"
        ok $? "$2: the same bytes on $tier, which was used"
    done
}

for type in F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 TQ1_0 TQ2_0; do
    "$writer" tiny-gqa $type "$tap_dir/model.gguf" >/dev/null 2>&1
    check "$tap_dir/model.gguf" "tiny-gqa $type" "$tokens"
    rm -f "$tap_dir/model.gguf"
done
if [ -d "$reference" ]; then
    small=$(for i in $(seq 0 51); do printf '%s%d' "${comma:-}" $((i * 29 % 128)); comma=,; done)
    for type in BF16 F16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0; do
        check "$reference/llama-$type.gguf" "reference $type" "$small"
    done
else
    skipped "reference/quants" "it is not here"
fi
tap_end
