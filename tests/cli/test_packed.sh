#!/usr/bin/env bash
# test_packed.sh - --keep-packed: the file beside the model is mapped by later opens, changes no byte of what comes out,
# and is left alone as soon as it is not of this model file.
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie
writer=$PWD/$BUILD/bench/write_model
cd "$tap_dir" || exit 1
tokens=$(seq -s, 3 7 360)

# logits MODEL NAME [OPTIONS]: how the weights came to memory is in err.
logits() {
    local model=$1 name=$2
    shift 2
    "$lizzie" score "$model" --tokens "$tokens" --logits "$name.npy" -v "$@" >/dev/null 2>err
}
# came HOW NAME
came() {
    is "$(grep -c 'weights are mapped from' err)" "$1" "$2"
}

for type in Q8_0 Q4_K BF16; do
    "$writer" tiny-gqa $type model.gguf >/dev/null
    logits model.gguf plain
    came 0 "$type: packed"
    is "$(ls | grep -c packed)" 0 "$type: no file is left unasked"
    logits model.gguf first --keep-packed
    came 0 "$type: packed again"
    is "$(ls | grep packed)" model.gguf.packed "$type: and kept"
    logits model.gguf mapped --threads 3
    came 1 "$type: mapped"
    LIZZIE_ISA=c logits model.gguf portable
    came 1 "$type: mapped on the portable tier"
    cmp -s plain.npy first.npy && cmp -s plain.npy mapped.npy && cmp -s plain.npy portable.npy
    ok $? "$type: the same logits"
    rm -f model.gguf*
done

# --- What is not of this model file is not used
"$writer" tiny-gqa Q8_0 model.gguf >/dev/null
logits model.gguf plain --keep-packed
"$writer" tiny-gqa Q8_0 other.gguf --seed 2 >/dev/null
logits other.gguf other
! cmp -s plain.npy other.npy
ok $? "two models differ"
cp model.gguf.packed other.gguf.packed
logits other.gguf again
came 0 "another model's file"
cmp -s other.npy again.npy
ok $? "its own logits"
logits other.gguf again --keep-packed
logits other.gguf again
came 1 "is replaced when asked"
cmp -s other.npy again.npy
ok $? "its own logits, mapped"
touch -d '2001-02-03' model.gguf
logits model.gguf again
came 0 "a model that was written again since"
logits model.gguf again --keep-packed
cp model.gguf.packed whole
head -c -1 whole >model.gguf.packed
logits model.gguf again
came 0 "a file that ends too early"
{ printf x && tail -c +2 whole; } >model.gguf.packed
logits model.gguf again
came 0 "a file that is something else"
rm model.gguf.packed
mkdir model.gguf.packed
logits model.gguf again
came 0 "a folder"
cmp -s plain.npy again.npy
ok $? "the same logits each time"
rmdir model.gguf.packed

# --- What cannot be kept is told, and no reason to fail
(ulimit -f 20 && "$lizzie" run model.gguf hello --raw --max-tokens 1 --keep-packed >out 2>err)
is "$?$(grep -c 'packed weights are not kept' err)" 01 "a file larger than allowed"
is "$(ls | grep packed | grep -v other)" "" "leaves nothing"
echo half >model.gguf.packed.unfinished
logits model.gguf again --keep-packed
logits model.gguf again
came 1 "what a killed process left is written over"
is "$(ls | grep -c unfinished)" 0 "and gone"
tap_end
