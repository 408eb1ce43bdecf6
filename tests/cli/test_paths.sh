#!/usr/bin/env bash
# test_paths.sh - no command writes over what it reads, and a mistake costs nothing: neither data, model and checkpoint,
# nor the time of what was measured before it was found.
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie
cp models/base.gguf "$tap_dir/model"
cd "$tap_dir" || exit 1
for i in $(seq 400); do echo "Row $i of a text that is long enough to be learnt from, once in a while."; done >text
for i in $(seq 40); do echo "{\"prompt\":\"Row $i\",\"completion\":\" yes\"}"; done >rows.jsonl
tiny='--layers 1 --heads 1 --width 32 --ffn 32 --vocab 300 --context 32 --batch 8 --part 64 --threads 1'

# run NAME STATUS [ARGS...]: runs lizzie; err holds what it said.
run() {
    local name=$1 status=$2
    shift 2
    "$lizzie" "$@" >out 2>err </dev/null
    local got=$?
    err=$(cat err)
    [ "$got" = "$status" ] || echo "# exit $got, not $status: $err" | head -n 5
    [ "$got" = "$status" ]
    ok $? "$name"
}

# --- what is read
md5sum text rows.jsonl model >sums
ln model same
for written in '--log text' '--plot text' '--log a.gguf' '--log a --plot a' '--log model --init model'; do
    # shellcheck disable=SC2086
    run "train $written" 2 train a.gguf --data text $tiny --tokens 500 $written
    has "$err" ": name another file" "is refused"
done
run 'train over its data' 2 train text --data text $tiny --tokens 500 --restart
for written in '--log rows.jsonl' '--log same' '--plot model'; do
    # shellcheck disable=SC2086
    run "tune $written" 2 tune model -o a.gguf --data rows.jsonl $written
done
run 'tune over its model' 2 tune model -o same --data rows.jsonl --restart
run 'bench --plot over its model' 2 bench model --plot same
md5sum --quiet -c sums >changed 2>&1
is "$(cat changed)" "" "nothing that is read was changed"

# --- a mistake in a command that begins anew
# shellcheck disable=SC2086
run 'train' 0 train a.gguf --data text $tiny --tokens 2000
for mistake in '--schedule typo' '--optimizer typo'; do
    # shellcheck disable=SC2086
    run "train --restart $mistake" 2 train a.gguf --data text $tiny --tokens 2000 --restart $mistake
done
# shellcheck disable=SC2086
run 'train --restart without its data' 1 train a.gguf --data none $tiny --tokens 2000 --restart
# shellcheck disable=SC2086
run 'the finished job is still known' 0 train a.gguf --data text $tiny --tokens 2000
has "$err" "is finished already" "as such"
for other in '--seed 3' '--rate 0.1' '--optimizer adamw' '--tokens 9999' '--batch 4' '--weight-decay 0'; do
    # shellcheck disable=SC2086
    run "and refused with $other" 1 train a.gguf --data text $tiny $([ "${other#--tokens}" = "$other" ] && echo --tokens 2000) $other
    has "$err" "was begun with another" "by name"
done
# shellcheck disable=SC2086
run 'what is the default may be spelled out' 0 train b.gguf --data text --layers 1 --width 64 --vocab 300 --tokens 600 --batch 1
run 'or not' 0 train b.gguf --data text --layers 1 --width 64 --vocab 300 --tokens 600 --batch 1 --context 512 --part 4096 --heads 1 --ffn 192
: >c.gguf.checkpoint
# shellcheck disable=SC2086
run 'a checkpoint without its side file' 1 train c.gguf --data text $tiny --tokens 500
has "$err" "c.gguf.checkpoint: is there, but" "is not written over unasked"

# --- contradictions
for twice in '--init model --layers 3' '--init model --vocab 400' '--init model --qk-norm' '--tokenizer model --vocab 300' \
    '--tokenizer model --pre-tokenizer gpt-2' '--sample a' '--patience 1' '--special <a> <a>' '--special <|endoftext|>' '--head-size 24'; do
    # shellcheck disable=SC2086
    run "train $twice" 2 train d.gguf --data text --tokens 500 $twice
done
run 'an empty special token' 2 train d.gguf --data text --tokens 500 --special ''

# --- documents with other line ends, and a byte order mark
printf 'One day.\nIt rained.\n<|endoftext|>\nAnother day.\n' >unix
{ printf '\357\273\277'; sed 's/$/\r/' unix; } >dos
for ends in unix dos; do
    # shellcheck disable=SC2086
    run "train on $ends line ends" 0 train $ends.gguf --data $ends $tiny --tokens 300
    has "$err" "data: 2 documents" "knows the documents"
done
cmp -s unix.gguf dos.gguf
ok $? "the same text is the same model"
printf '{"text":"a"}\n \r\n{"text":"b"}\n' >blank.jsonl
# shellcheck disable=SC2086
run 'a line of white space among rows of text' 0 train e.gguf --data blank.jsonl $tiny --tokens 300

# --- found before a long measuring
for wrong in 'new.gguf foo' 'a.gguf Q8_0' 'new.gguf Q8_0 --output-tensor-type foo'; do
    # shellcheck disable=SC2086
    "$lizzie" quantize model $wrong --imatrix-from text >out 2>err
    is "$(ls ./*.imatrix 2>/dev/null)" "" "quantize $wrong: measures nothing first"
done

tap_end
