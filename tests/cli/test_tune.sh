#!/usr/bin/env bash
# test_tune.sh - lizzie tune on the small trained model, or on a random quantised one: rows of each kind of file, what is
# refused and how, kills and other threads and instruction sets that change no byte. TUNE_KILLS says how many kills must
# land in the middle (LIZZIE_TEST_LONG=1: 30).
set -u
. tests/lib/tap.sh
. tests/lib/kills.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie write_model=$PWD/$BUILD/bench/write_model
model=$PWD/../shared/reference/models/aidreams-260k.gguf
if [ ! -r "$model" ]; then
    echo "1..0 # SKIP the model $(basename "$model") is not here"
    exit 0
fi
cd "$tap_dir" || exit 1
kills=${TUNE_KILLS:-2}
[ "${LIZZIE_TEST_LONG:-0}" = 1 ] && kills=${TUNE_KILLS:-30}

asked=(colour number day weather) answers=(blue seven Monday rain)
echo -e 'label\ttext' >rows.tsv
for i in $(seq 0 39); do
    echo -e "${answers[i % 4]}\t$((i / 4)): The ${asked[i % 4]} is"
done >>rows.tsv
tr '\t' ',' <rows.tsv >rows.csv
awk -F'\t' 'NR > 1 { printf "{\"prompt\":\"%s\",\"completion\":\" %s\"}\n", $2, $1 }' rows.tsv >rows.jsonl
common=(--rank 4 --rate 0.01 --epochs 2 --batch 8 --valid-share 0.2)

tune() { "$lizzie" tune "$model" "$@" >out 2>err; }

# ---- Files ------------------------------------------------------------------------------------------------------------
tune -o jsonl.gguf --data rows.jsonl "${common[@]}" --threads 1 --log log.jsonl --plot plot.svg
ok $? 'rows of JSONL' || cat err
has "$(cat err)" "of it 0.00 the model's file" 'memory is told'
first=$(head -n 1 log.jsonl | grep -o '"loss":[0-9.]*' | cut -d: -f2)
last=$(tail -n 1 log.jsonl | grep -o '"valid_loss":[0-9.]*' | cut -d: -f2)
awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < 0.7 * a) }'
ok $? "it learns: loss $first, at the end $last in validation"
is "$(ls | xargs)" 'err jsonl.gguf jsonl.gguf.lizzie log.jsonl out plot.svg rows.csv rows.jsonl rows.tsv' 'what is left behind'
tune -o tsv.gguf --data rows.tsv --prompt '{{text}}' --completion ' {{label}}' "${common[@]}" --threads 3
ok $? 'rows of TSV' || cat err
tune -o csv.gguf --data rows.csv --prompt '{{text}}' --completion ' {{label}}' "${common[@]}" --memory 100M
ok $? 'rows of CSV' || cat err
cmp -s jsonl.gguf tsv.gguf && cmp -s jsonl.gguf csv.gguf
ok $? 'make the same bytes, whatever the threads'
LIZZIE_ISA=c tune -o c.gguf --data rows.jsonl "${common[@]}"
cmp -s jsonl.gguf c.gguf
ok $? 'plain C: the same bytes'
tune -o seed.gguf --data rows.jsonl "${common[@]}" --seed 1
! cmp -s jsonl.gguf seed.gguf
ok $? 'another seed: other bytes'
"$lizzie" run "$model" '3: The day is' --lora jsonl.gguf --temperature 0 --max-tokens 4 >said 2>/dev/null
"$lizzie" run "$model" '3: The day is' --lora jsonl.gguf=0.001 --temperature 0 --max-tokens 4 >hardly 2>/dev/null
! cmp -s said hardly
ok $? "run takes it: $(cat said)"
"$lizzie" score "$model" --tokens 1,40,50 --lora jsonl.gguf >with && "$lizzie" score "$model" --tokens 1,40,50 >without
! cmp -s with without
ok $? 'score takes it'
"$lizzie" merge "$model" --lora jsonl.gguf -o merged.gguf --type f32
is "$("$lizzie" run merged.gguf '3: The day is' --temperature 0 --max-tokens 4 2>/dev/null)" "$(cat said)" 'merged, it says the same'
"$lizzie" merge "$model" --lora jsonl.gguf -o merged.gguf 2>err
is $? 1 'merge does not overwrite'
has "$(cat err)" 'merged.gguf: is there already' 'and says so'

# ---- The mean of models ------------------------------------------------------------------------------------------------
"$lizzie" merge "$model" merged.gguf -o mean.gguf --type f32 && "$lizzie" merge "$model" --lora jsonl.gguf=0.5 -o half.gguf --type f32
ok $? 'the mean of two models, and the one with half of the difference'
"$lizzie" score mean.gguf --tokens 1,40,50 >mean && "$lizzie" score half.gguf --tokens 1,40,50 >half
paste mean half with without | awk 'NR > 1 { for (i = 1; i <= NF / 4; i++) {
    d = $i - $(i + NF / 4); far += ($i - $(i + NF / 2))^2 + ($i - $(i + 3 * NF / 4))^2; near += d * d } }
    END { exit !(far > 1e-4 && near < 1e-6 * far) }'
ok $? 'are one, and not either of the two' || paste mean half with without
LIZZIE_ISA=c "$lizzie" merge "$model" merged.gguf -o c-mean.gguf --type f32 --threads 3 && cmp -s mean.gguf c-mean.gguf
ok $? 'the same bytes in plain C and on three threads'
"$lizzie" merge merged.gguf "$model" "$model" merged.gguf -o four.gguf --type f32 && "$lizzie" score four.gguf --tokens 1,40,50 >four
cmp -s mean four
ok $? 'in another order, each twice: the same mean'
cp merged.gguf kept.gguf
"$lizzie" merge "$model" merged.gguf -o merged.gguf --force 2>err
is $? 2 'its output is no model that it reads'
cmp -s merged.gguf kept.gguf
ok $? 'which is left as it was'
"$lizzie" merge "$model" -o alone.gguf 2>err
is $? 2 'one model alone is no merge'

# ---- Experts ----------------------------------------------------------------------------------------------------------
"$write_model" tiny-qwen3moe F16 experts.gguf >/dev/null 2>&1
one=("$lizzie" run experts.gguf '3: The day is' --temperature 0 --max-tokens 3)
experts() { "$lizzie" tune experts.gguf -o "$@" --data rows.jsonl "${common[@]}" 2>err; }
experts attention.gguf --log attention.jsonl && experts all.gguf --targets all --log all.jsonl --threads 1
ok $? 'a mixture of experts, by its attention and by its experts too' || cat err
experts threads.gguf --targets all --threads 3
LIZZIE_ISA=avx2 experts avx2.gguf --targets all
cmp -s all.gguf threads.gguf && cmp -s all.gguf avx2.gguf
ok $? 'the same bytes, whatever the threads, and with AVX2'
loss() { tail -n 1 "$1" | grep -o '"loss":[0-9.]*' | cut -d: -f2; }
awk -v all="$(loss all.jsonl)" -v attention="$(loss attention.jsonl)" 'BEGIN { exit !(all < 0.8 * attention) }'
ok $? "experts that learn as well learn more: $(loss all.jsonl), and $(loss attention.jsonl) without them"
"${one[@]}" >without 2>err && "${one[@]}" --lora all.gguf >said 2>err && ! cmp -s said without
ok $? "run takes it: $(cat said)"
"$lizzie" merge experts.gguf --lora all.gguf -o together.gguf --type f32 2>err
ok $? 'merge takes it' || cat err
"$lizzie" merge experts.gguf "$model" -o unlike.gguf 2>err
is $? 2 'models that are not alike have no mean'
has "$(cat err)" 'only models that are alike have a mean' 'and it says so'
is "$("$lizzie" run together.gguf '3: The day is' --temperature 0 --max-tokens 3 2>/dev/null)" "$(cat said)" 'merged, it says the same'

# ---- Kills ------------------------------------------------------------------------------------------------------------
tune -o peace.gguf --data rows.jsonl "${common[@]}" --checkpoint-minutes 1e-6
killed_between_steps "$kills" "$lizzie" tune "$model" -o kill.gguf --data rows.jsonl "${common[@]}"
tune -o kill.gguf --data rows.jsonl "${common[@]}"
cmp -s kill.gguf jsonl.gguf && cmp -s peace.gguf jsonl.gguf
ok $? 'the run after them has the same bytes'
tune -o kill.gguf --data rows.jsonl "${common[@]}"
has "$(cat err)" 'kill.gguf: is finished already' 'a finished one is left alone'
tune -o kill.gguf --data rows.jsonl --rank 5
is $? 1 'other settings are refused'

# ---- Refused ----------------------------------------------------------------------------------------------------------
# refused STATUS SAYS ARGS...: and nothing is left behind.
refused() {
    local status=$1 says=$2
    shift 2
    rm -f none.gguf*
    tune -o none.gguf "$@"
    is $? "$status" "refused: $says"
    has "$(cat err)" "$says" "says: $says"
    is "$(ls none.gguf* 2>/dev/null | xargs)" '' 'nothing is left'
}
: >empty.jsonl
refused 1 'empty.jsonl: holds no rows' --data empty.jsonl
printf '{"prompt":"a","completion":"b"}\n{"prompt":"\xff","completion":"b"}\n' >bytes.jsonl
refused 1 'bytes.jsonl: line 2: ' --data bytes.jsonl
echo '{"prompt":"a"}' >half.jsonl
refused 1 'half.jsonl: line 1: has a "prompt" and no text "completion" to learn' --data half.jsonl
echo '{"messages":[{"role":"user","content":"a"}]}' >chat.jsonl
refused 1 'chat.jsonl: line 1: it has "messages", and the model no chat template' --data chat.jsonl
echo '{"prompt":' >torn.jsonl
refused 1 'torn.jsonl: line 1: ' --data torn.jsonl
refused 1 'rows.jsonl: line 1: has ' --data rows.jsonl --ctx-size 5
refused 2 'rows.tsv: line 2: it has no field "topic"' --data rows.tsv --prompt '{{topic}}' --completion a
printf 'label\ttext\na\tb\tc\n' >columns.tsv
refused 1 'columns.tsv: line 2: it has 3 fields and the header 2' --data columns.tsv --prompt '{{text}}' --completion a
printf 'label\ttext\na\t\xff\n' >bytes.tsv
refused 1 'bytes.tsv: line 2: byte 3 is not UTF-8' --data bytes.tsv --prompt '{{text}}' --completion a
refused 2 '--prompt and --completion: one of them alone' --data rows.tsv --prompt '{{text}}'
refused 2 'rows.tsv: has columns: say with --prompt' --data rows.tsv
refused 2 '--targets q,x:' --data rows.jsonl --targets q,x
refused 2 '--targets: name no matrix that this model has' --data rows.jsonl --targets experts
refused 1 'give more (--memory)' --data rows.jsonl --memory 2M
refused 1 'gone.jsonl: cannot be opened' --data gone.jsonl
cp rows.jsonl mine.jsonl
tune -o mine.jsonl --data mine.jsonl --restart
is $? 2 'what is read is not overwritten'
cmp -s rows.jsonl mine.jsonl
ok $? 'and stays as it was'
"$lizzie" batch "$model" rows.jsonl -o jsonl.gguf --lora jsonl.gguf --restart 2>err
has "$(cat err)" 'jsonl.gguf: is OUT and also an adapter' 'nor an adapter by batch'
cat rows.jsonl >long.jsonl
printf '{"prompt":"%s","completion":"a"}\n' "$(seq 1 200 | xargs)" >>long.jsonl
tune -o skip.gguf --data long.jsonl --skip-long "${common[@]}"
cmp -s skip.gguf jsonl.gguf && has "$(cat err)" '1 rows are too long and left out' 'long rows are left out when asked'
tap_end
