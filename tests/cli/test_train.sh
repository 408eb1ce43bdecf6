#!/usr/bin/env bash
# test_train.sh - lizzie train: the same file whatever the threads, the instruction set, recomputing and kills; what is
# refused, and how. TRAIN_KILLS says how many kills must land in the middle (LIZZIE_TEST_LONG=1: 30).
set -u
. tests/lib/tap.sh
. tests/lib/kills.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie
cd "$tap_dir" || exit 1
kills=${TRAIN_KILLS:-2}
[ "${LIZZIE_TEST_LONG:-0}" = 1 ] && kills=${TRAIN_KILLS:-30}

# A text with something to learn: sentences of few words.
awk 'BEGIN {
    srand(7); split("cat dog bird child king", who); split("saw found lost ate drew", did); split("red old big", how)
    for (i = 0; i < 600; i++) {
        printf "The %s %s a %s %s.\n", who[1 + int(rand() * 5)], did[1 + int(rand() * 5)], how[1 + int(rand() * 3)], \
            who[1 + int(rand() * 5)]
        if (i % 8 == 7) print "<|endoftext|>"
    }
}' >data.txt
tail -n 60 data.txt >valid.txt
shape=(--layers 2 --width 32 --heads 2 --kv-heads 1 --vocab 300 --context 48)
common=(--data data.txt --valid valid.txt "${shape[@]}" --batch 8 --part 192 --tokens 6000 --rate 0.01)

train() { "$lizzie" train "$@" >out 2>err; }

# ---- The same file ------------------------------------------------------------------------------------------------
train one.gguf "${common[@]}" --threads 1 --log one.jsonl --plot one.svg --sample 'The cat'
ok $? 'a model is trained' || cat err
first=$(head -n 1 one.jsonl | grep -o '"loss":[0-9.]*' | cut -d: -f2)
last=$(tail -n 1 one.jsonl | grep -o '"valid_loss":[0-9.]*' | cut -d: -f2)
awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < 0.7 * a) }'
ok $? "it learns: loss $first, after 16 steps $last in validation"
is "$(ls | xargs)" 'data.txt err one.gguf one.gguf.lizzie one.jsonl one.svg out valid.txt' 'checkpoint and start are gone'
has "$(cat err)" '  | The cat' 'the sample is shown'
train three.gguf "${common[@]}" --threads 3 --recompute
cmp -s one.gguf three.gguf
ok $? 'three threads, layers computed twice: the same bytes'
grep -v endoftext data.txt >long.txt
long=(--data long.txt "${shape[@]}" --context 200 --batch 2 --tokens 3000)
train long.gguf "${long[@]}"
for tier in avx2 c; do
    if [ "$(LIZZIE_ISA=$tier "$lizzie" inspect one.gguf | grep -c " $tier\b")" -eq 0 ]; then
        skipped "$tier: the same bytes" "this machine has no $tier"
        continue
    fi
    LIZZIE_ISA=$tier train $tier.gguf "${common[@]}"
    cmp -s one.gguf $tier.gguf
    ok $? "$tier: the same bytes"
    LIZZIE_ISA=$tier train long-$tier.gguf "${long[@]}"
    cmp -s long.gguf long-$tier.gguf
    ok $? "$tier: the same bytes where a document is longer than a block of queries"
done
train seed.gguf "${common[@]}" --seed 1
! cmp -s one.gguf seed.gguf
ok $? 'another seed: other bytes'
is "$("$lizzie" run one.gguf 'The cat' --raw --temperature 0 --max-tokens 8 2>/dev/null | wc -w)" \
    "$("$lizzie" run three.gguf 'The cat' --raw --temperature 0 --max-tokens 8 2>/dev/null | wc -w)" 'lizzie run takes it'
"$lizzie" score one.gguf valid.txt >scores
ok $? 'and lizzie score'
train more.gguf --init one.gguf --data valid.txt --epochs 2 --batch 4 --dtype f32
ok $? 'a model file is trained further'

# ---- Kills ----------------------------------------------------------------------------------------------------------
train peace.gguf "${common[@]}" --checkpoint-minutes 1e-6 --log peace.jsonl
killed_between_steps "$kills" "$lizzie" train kill.gguf "${common[@]}"
echo torn >kill.gguf.checkpoint.tmp # as if it had been writing one
train kill.gguf "${common[@]}" --checkpoint-minutes 1e-6 --log kill.jsonl
ok $? 'the run after them ends' || cat err
has "$(cat err)" 'going on after step' 'it went on from a checkpoint'
cmp -s peace.gguf kill.gguf && cmp -s one.gguf kill.gguf
ok $? 'with the bytes of a run left in peace'
is "$(grep -o '"step":[0-9]*,"tokens":[0-9]*,"loss":[0-9.e-]*' kill.jsonl)" \
    "$(grep -o '"step":[0-9]*,"tokens":[0-9]*,"loss":[0-9.e-]*' peace.jsonl)" 'and its log has each step once'

# interrupted SIGNAL CODE: the run stops with a checkpoint and says how to go on.
interrupted() {
    rm -f stop.gguf*
    "$lizzie" train stop.gguf "${common[@]}" --tokens 900000 >out 2>err &
    pid=$!
    for _ in $(seq 400); do
        grep -q '^step' err && break
        sleep 0.05
    done
    "$lizzie" train stop.gguf "${common[@]}" --tokens 900000 >out2 2>err2
    is "$?$(grep -c 'another process' err2)" 11 "SIG$1: a second process at the same time is refused"
    kill "-$1" $pid
    wait $pid
    is "$?" "$2" "SIG$1 ends with $2"
    has "$(cat err)" 'run the same command again' 'and says how to go on'
    [ -e stop.gguf.checkpoint ]
    ok $? 'with a checkpoint'
}
interrupted INT 130
interrupted TERM 143

# ---- By the clock ---------------------------------------------------------------------------------------------------
timed=("${common[@]/--tokens/--hours}" --warmup 2)
"$lizzie" train timed.gguf "${timed[@]}" --log timed.jsonl >out 2>err &
pid=$!
for _ in $(seq 400); do
    [ -e timed.jsonl ] && [ "$(wc -l <timed.jsonl)" -ge 7 ] && break
    sleep 0.05
done
kill -INT $pid
wait $pid
for file in timed.gguf.*; do
    cp "$file" "short${file#timed}"
done
train short.gguf "${timed[@]/6000/1e-6}" --log short.jsonl
ok $? '--hours: a copy of the files goes on, with fewer of them' || cat err
steps=$(tail -n 1 short.jsonl | grep -o '"step":[0-9]*' | cut -d: -f2)
[ "$steps" -gt "$(wc -l <timed.jsonl)" ]
ok $? "its rate fell until step $steps"
train again.gguf "${common[@]/6000/$((steps * 8 * 48))}" --warmup 2
cmp -s short.gguf again.gguf
ok $? 'and it has the bytes of a run of so many tokens'

# ---- Refused --------------------------------------------------------------------------------------------------------
# refused STATUS TEXT ARGUMENTS...
refused() {
    local status=$1 text=$2
    shift 2
    train "$@"
    is "$?" "$status" "refused: $text"
    has "$(cat err)" "$text" 'and said so'
}
refused 1 'another length' stop.gguf "${common[@]}"
refused 1 'another rate' stop.gguf "${common[@]}" --tokens 900000 --rate 0.02
echo more >more.txt
refused 1 'another data' stop.gguf "${common[@]/data.txt/more.txt}" --tokens 900000
cp stop.gguf.checkpoint whole
head -c 3000 whole >stop.gguf.checkpoint
refused 1 'ends too early' stop.gguf "${common[@]}" --tokens 900000
{ head -c 3000 whole && printf x && tail -c +3002 whole; } >stop.gguf.checkpoint
refused 1 '--restart' stop.gguf "${common[@]}" --tokens 900000
train stop.gguf "${common[@]}" --restart
ok $? '--restart begins anew'
cmp -s stop.gguf one.gguf
ok $? 'and ends in the same bytes'
train one.gguf "${common[@]}"
is "$?$(grep -c 'finished already' err)" 01 'a finished model stays as it is'
train special.gguf "${common[@]}" --special '<a>' '<b>' && train special.gguf "${common[@]}" --special '<a>' '<b>'
has "$(cat err)" 'special.gguf: is finished already' 'two special tokens are the same two'
refused 1 'another special' special.gguf "${common[@]}" --special '<a>' '<c>'
cp one.gguf other.gguf
refused 1 'is there already' other.gguf "${common[@]}"
cmp -s one.gguf other.gguf
ok $? 'and is as it was'
is "$(ls other.gguf*)" other.gguf 'nothing was left beside it'
: >empty.txt
printf 'fine\n\xff\xfe\n' >bad.txt
refused 1 'empty.txt: holds no text' x.gguf --data empty.txt "${shape[@]}"
refused 1 'bad.txt: line 2: is not UTF-8' x.gguf --data bad.txt "${shape[@]}"
refused 1 'none.txt: cannot be opened' x.gguf --data none.txt "${shape[@]}"
refused 2 '--data FILE' x.gguf "${shape[@]}"
refused 2 'is not one of' x.gguf --data data.txt --shape 7q
refused 2 'cannot share' x.gguf --data data.txt --heads 3 --kv-heads 2
refused 2 'give one of them' x.gguf --data data.txt --tokens 5 --epochs 1
refused 2 'is neither muon' x.gguf --data data.txt "${shape[@]}" --optimizer sgd
refused 1 'GiB to train' x.gguf --data data.txt --layers 1000 --width 8192 --vocab 300
refused 2 'given twice' x.gguf --data data.txt --data valid.txt
is "$(ls x.gguf* 2>/dev/null)" '' 'none of them left anything'
tap_end
