#!/usr/bin/env bash
# test_cli.sh - the program on the fake engine: every command, exit code and refusal; standard input and output; signals;
# a full disk where a small one can be mounted.
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie-fake
cd "$tap_dir" || exit 1
printf 'ctx=512\n' >model
printf 'template=1\n' >templated
printf 'vocab=0\n' >vocabless
printf 'memory_fails=1\n' >huge
printf 'ctx=100000000\nstep_us=200\n' >slow
printf '{"id":"a","text":"one"}\n{"id":"b","text":"two"}\n{"id":"c"}\n' >in.jsonl
printf '{"id":"a","text":"one"}\n{"id":"b","text":"two"}\n' >good.jsonl

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

# --- the program
run 'bare: short help' 0
has "$out" "To copy:" "with examples"
is "$(printf '%s' "$out" | sed -n '/To copy/,/^$/p' | grep -c '  lizzie')" 3 "three of them"
run '--version' 0 --version
has "$out" "lizzie " "says its version"
run 'unknown command' 2 bach
is "$err" "lizzie: bach: is not a command: did you mean batch?" "suggests"
for command in serve convert pull list rm; do
    run "$command: not in this version" 2 $command model
    is "$err" "lizzie: $command: is not in this version: lizzie --help lists what is" "$command: said plainly"
done
for command in run batch score tokenize inspect merge train quantize tune; do
    run "$command --help" 0 $command --help
    has "$out" "Examples:" "$command: help has examples"
done

# --- options
run 'unknown option' 2 batch model in.jsonl -o out --promt x
is "$err" "lizzie: --promt: is not an option: did you mean --prompt?" "suggests"
run 'option of another command' 2 tokenize model x --prompt y
has "$err" "--prompt: is not an option of tokenize" "says of which not"
for option in schema checks; do
    run "--$option: not in this version" 2 batch model in.jsonl -o out --$option x
    is "$err" "lizzie: --$option: is not in this version: leave it out" "--$option: said plainly"
done
run '--speculate some' 2 batch model in.jsonl -o out --prompt x --speculate some
has "$err" "it wants off, ngram or auto" "says what there is"
for bad in '--cache-type int4' '--temperature -1' '--temperature x' '--top-p 1.5' '--top-k -3' '--max-tokens 0' '--seed 1x' '--seed -1' \
    '--seed 18446744073709551616' '--shard 2/2' '--shard x' '--limit 0' '--logprobs 21' '--logit-bias 5' '--parallel 0' \
    '--prefix-cache maybe' '--watts 0' '--keep a,,b' '--stop=' '--n 0' '--n 129' '--n -1' '--typical 2' '--typical nan' \
    '--xtc-probability 1.1' '--xtc-threshold 0.9' '--dry-multiplier -1' '--dry-multiplier inf' '--dry-base 0.5' \
    '--dry-allowed-length 0' '--dry-penalty-last-n 99999' '--dry-sequence-breaker=' '--stop-token=' \
    '--prompt-logprobs 21'; do
    # shellcheck disable=SC2086
    run "$bad" 2 batch model good.jsonl -o out --prompt '{{text}}' $bad
    has "$err" "is not valid: it wants" "$bad: says what it wants"
done
run 'a value is missing' 2 batch model in.jsonl -o
has "$err" "--output: wants a value" "says so"
run 'a flag takes no value' 2 batch model in.jsonl -o out --strict=1
run 'an argument too many' 2 batch model in.jsonl more -o out
run 'no output' 2 batch model in.jsonl --prompt x
has "$err" "add -o OUT" "says what to do"
run 'a missing prompt file' 1 batch model in.jsonl -o out --prompt-file none
printf '\377' >latin
run 'a prompt file that is no UTF-8' 2 batch model in.jsonl -o out --prompt-file latin
printf '\377\376a\0' >wide
run 'a prompt file in UTF-16' 2 batch model in.jsonl -o out --prompt-file wide
has "$err" "wide: is UTF-16: convert it to UTF-8" "says what to do"
run 'an option that is no UTF-8' 2 batch model good.jsonl -o out --prompt $'\377{{text}}'
is "$err" "lizzie: --prompt: is not UTF-8 text: convert it" "two such prompts would look the same in the side file"
for twice in '--prompt a --prompt-file model' '--system a --system b --prompt c' '-o other --prompt a'; do
    # shellcheck disable=SC2086
    run "$twice" 2 batch model good.jsonl -o out $twice
    has "$err" "is given already: give it once" "says so"
done
[ ! -e out ] && [ ! -e out.lizzie ]
ok $? "none of these left a file"

LIZZIE_ISA=sse run 'a kernel tier that is none' 2 tokenize model x
has "$err" "LIZZIE_ISA=sse: not a kernel tier" "says so, whatever the command"

# --- texts from files
printf '\357\273\277Be brief.\nBe kind.' >system
wanted=$'<|turn|>system\nBe brief.\nBe kind.<|end|>\n<|turn|>user\nx !echo!<|end|>\n<|turn|>assistant'
run 'template --system-file' 0 template templated 'x !echo!' --system-file system
is "$out" "$wanted" "the system text is the file's, without its mark"
run 'run --system-file' 0 run templated 'x !echo!' --system-file system
is "$out" "$wanted" "the same"
printf '{"text":"x !echo!"}\n' >echo.jsonl
run 'batch --system-file' 0 batch templated echo.jsonl -o - --prompt '{{text}}' --system-file system
has "$out" "\"text\":\"$(sed ':a;N;$!ba;s/\n/\\n/g' <<<"$wanted")" "the same"
run 'a system file that is not there' 1 run templated x --system-file none
has "$err" "none: cannot be opened" "is named"
run 'a system file that is no UTF-8' 2 run templated x --system-file latin
is "$err" "lizzie: latin: is not UTF-8 text: convert it" "is named"
printf 'a\0b' >nul
run 'a system file with a NUL byte' 2 run templated x --system-file nul
has "$err" "nul: has a NUL byte" "is named"
run '--system and --system-file' 2 run templated x --system a --system-file system
has "$err" "is given already: give it once" "says so"

# --- batch
run 'error rows' 3 batch model in.jsonl -o out --prompt 'Say {{text}}' --max-tokens 5
is "$(wc -l <out)" 3 "three rows"
has "$err" "rows: 3, 1 failed" "the summary counts"
is "$out" "" "standard output stays empty"
run 'again: nothing to do, still error rows' 3 batch model in.jsonl -o out --prompt 'Say {{text}}' --max-tokens 5
has "$err" "nothing was left to do" "says so"
run 'other settings' 1 batch model in.jsonl -o out --prompt 'Tell {{text}}' --max-tokens 5
has "$err" "prompt (was Say {{text}}, is Tell {{text}})" "names what differs"
has "$err" "--restart" "and what to do"
run '--restart' 3 batch model in.jsonl -o out --prompt 'Tell {{text}}' --max-tokens 5 --restart
run '--strict' 1 batch model in.jsonl -o strict --prompt '{{text}}' --strict
has "$err" "--strict: stopped before row of index 2: field_missing" "says which row"
run 'unknown field' 2 batch no-model in.jsonl -o x --prompt '{{txt}}'
has "$err" 'has no field "txt", which --prompt names: its fields are id, text' "names it and what there is"
run 'a model that is not there' 1 batch no-model in.jsonl -o x --prompt '{{text}}'
is "$err" "lizzie: no-model: cannot be opened: No such file or directory" "says so"
run 'a model that does not fit' 1 batch huge in.jsonl -o x --prompt '{{text}}'
run 'a model without vocabulary' 1 batch vocabless in.jsonl -o x --prompt '{{text}}'
printf 'a\n{%% include "b" %%}' >odd.jinja && printf 'template=./odd.jinja\n' >odd
run 'a chat template with what is not known' 1 batch odd in.jsonl -o x --prompt '{{text}}'
has "$err" "chat template, line 2: Encountered unknown tag 'include': --raw does without it" "says what, where and what to do"
run 'an input that is not there' 1 batch model none -o x --prompt '{{text}}'
run 'an output folder that is not there' 1 batch model in.jsonl -o no/x --prompt '{{text}}'
run 'OUT is a folder' 2 batch no-model in.jsonl -o . --prompt '{{text}}'
run 'OUT is IN' 2 batch model in.jsonl -o in.jsonl --prompt '{{text}}'
[ ! -e x ] && [ ! -e x.lizzie ]
ok $? "none of these left a file"

# --- what is read is never overwritten
cp model kept-model
for written in '-o o --stats kept-model' '-o kept-model'; do
    # shellcheck disable=SC2086
    run "batch $written" 2 batch kept-model good.jsonl --prompt '{{text}}' $written
    has "$err" "kept-model: is " "says which file"
done
for in in o.lizzie o.lizzie.tmp o.retry; do
    cp good.jsonl $in
    run "IN is $in" 2 batch model $in -o o --prompt '{{text}}' --restart
    has "$err" "$in: is IN and also a file that stands beside OUT" "says so"
    cmp -s $in good.jsonl
    ok $? "$in is as it was"
    rm $in
done
for stats in ./o ./o.lizzie; do
    run "--stats $stats" 2 batch model good.jsonl -o o --prompt '{{text}}' --restart --stats $stats
    has "$err" "is the file of --stats and also OUT or its side file" "says so"
done
rm o o.lizzie
run '--stats to standard output' 2 batch model good.jsonl -o o --prompt '{{text}}' --stats -
[ ! -e - ] && [ ! -e o ]
ok $? "leaves no file"
run 'score --logits over the model' 2 score kept-model --tokens 1,2 --logits kept-model
cp good.jsonl read.txt
run 'score --logits over IN' 2 score model read.txt --logits ./read.txt
cmp -s model kept-model && cmp -s read.txt good.jsonl
ok $? "all of them are as they were"
run '-o with an empty name' 2 batch model good.jsonl -o '' --prompt '{{text}}'
[ ! -e .lizzie ]
ok $? "leaves no side file"

run '--dry-run' 0 batch model in.jsonl --prompt '{{text}}' --dry-run
has "$out" "first prompt:" "shows the prompt"
run '--dry-run of a model that cannot be run' 1 batch huge in.jsonl --prompt '{{text}}' --dry-run
is "$err" "lizzie: huge: it cannot be run" "says why"
run '--watts' 0 batch model good.jsonl -o w --prompt '{{text}}' --watts 100 --price-kwh 0.5 --stats s
has "$err" "J (by --watts)" "knows joules"
has "$err" "a million rows:" "estimates"
has "$err" "at 0.50 a kWh" "at the price given"
has "$err" "(a person reads 250)" "words a minute stand beside a person's"
has "$(cat s)" '"joules":' "--stats has each row's joules"
is "$(wc -l <s)" 2 "--stats has a line for each row"
"$lizzie" batch model - -o - --prompt '{{text}}' --max-tokens 5 <good.jsonl >piped 2>err
is $? 0 "from standard input to standard output"
has "$(cat err)" "cannot be resumed" "which cannot be resumed, and says so"
"$lizzie" batch model good.jsonl -o plain --prompt '{{text}}' --max-tokens 5 2>/dev/null
cmp -s piped plain
ok $? "the same bytes as with files"
printf 'text\none\ntwo\n' | "$lizzie" batch model - -o - --prompt '{{text}}' --max-tokens 5 2>/dev/null | sed 's/"index":\([0-9]*\)/&,"id":"x"/' | wc -l | grep -q '^2$'
ok $? "CSV is known from standard input"
cat good.jsonl | "$lizzie" batch model - -o resumed --prompt '{{text}}' --max-tokens 5 --limit 1 2>/dev/null
cat good.jsonl | "$lizzie" batch model - -o resumed --prompt '{{text}}' --max-tokens 5 2>/dev/null
cmp -s resumed plain
ok $? "standard input can be resumed into a file"
printf '{"id":"a","text":"other"}\n{"id":"b","text":"two"}\n{"text":"three"}\n' | "$lizzie" batch model - -o resumed --prompt '{{text}}' --max-tokens 5 2>err
is $? 1 "other standard input is refused"
has "$(cat err)" "has changed" "and says so"
yes '{"text":"x"}' | head -n 100000 | "$lizzie" batch model - -o - --prompt '{{text}}' 2>err | head -n 1 >/dev/null
is "${PIPESTATUS[2]}" 1 "a reader that goes away ends the line"
has "$(cat err)" "Broken pipe" "and says why"
"$lizzie" batch model good.jsonl -o - --prompt '{{text}}' >/dev/full 2>err
is $? 1 "a full device ends the line"
has "$(cat err)" "No space left on device" "and says why"
"$lizzie" batch model good.jsonl -o closed --prompt '{{text}}' >&- 2>&- <&-
is $? 0 "closed standard descriptors do no harm"
cmp -s closed <("$lizzie" batch model good.jsonl -o - --prompt '{{text}}' 2>/dev/null)
ok $? "not even to the bytes"

for args in 'run model hello' 'inspect model' 'tokenize model x' 'batch model good.jsonl -o - --prompt {{text}}'; do
    # shellcheck disable=SC2086
    "$lizzie" $args >&- 2>/dev/null
    is $? 1 "$args: closed standard output is no success"
done
for args in --help --version 'batch --help'; do
    # shellcheck disable=SC2086
    "$lizzie" $args >/dev/full 2>/dev/null
    is $? 1 "$args: nor is a full one"
done
for args in 'batch model - -o nothing --prompt {{text}}' 'run model' 'tokenize model' 'score model -' 'template templated'; do
    # shellcheck disable=SC2086
    "$lizzie" $args <&- >/dev/null 2>&1
    is $? 1 "$args: closed standard input is no empty input"
done

# --- signals
yes '{"text":"row"}' | head -n 3000 >many.jsonl
for signal in INT TERM; do
    "$lizzie" batch slow many.jsonl -o sig.$signal --prompt '{{text}}' --max-tokens 30 --parallel 2 2>err &
    pid=$!
    for _ in $(seq 200); do [ -s sig.$signal ] && break; sleep 0.01; done
    kill -$signal $pid
    wait $pid
    is $? $([ $signal = INT ] && echo 130 || echo 143) "SIG$signal: exit code"
    has "$(cat err)" "run the same command again to go on" "SIG$signal: says how to resume"
    rows=$(wc -l <sig.$signal)
    [ "$rows" -gt 0 ] && [ "$rows" -lt 3000 ] && [ "$(tail -c 1 sig.$signal | od -An -c | tr -d ' ')" = '\n' ]
    ok $? "SIG$signal: $rows whole rows"
done
printf '{"text":"!long!"}\n' >long.jsonl
"$lizzie" batch slow long.jsonl -o long --prompt '{{text}}' --max-tokens 90000000 2>err &
pid=$!
for _ in $(seq 200); do [ -s long.lizzie ] && break; sleep 0.01; done
"$lizzie" batch slow long.jsonl -o long --prompt '{{text}}' --max-tokens 90000000 2>err2
is $? 1 "a second process is refused"
has "$(cat err2)" "another lizzie is at work on it" "and says why"
kill -INT $pid
wait $pid
is $? 130 "a row that never ends can be interrupted"
printf 'ctx=512\nopen_ms=300\n' >late
ln -s name-1 name-2
for n in 1 2; do
    "$lizzie" batch late good.jsonl -o name-$n --prompt "$n {{text}}" 2>/dev/null &
    pids[n]=$!
done
wait "${pids[1]}"
codes=$?
wait "${pids[2]}"
codes=$codes$?
[ $codes = 01 ] && winner=1 || winner=2
[ $codes = 01 ] || [ $codes = 10 ]
ok $? "two that begin one OUT by two names: one is refused"
cmp -s name-1 <("$lizzie" batch late good.jsonl -o - --prompt "$winner {{text}}" 2>/dev/null)
ok $? "two that begin one OUT by two names: it holds the rows of one, whole"
is "$(ls name-?.lizzie)" name-$winner.lizzie "and the other leaves no side file"

# Waiting for input, nothing is to be brought to an end: the first signal is enough.
mkfifo pipe
exec 9<>pipe
for args in 'batch model - -o waits --prompt {{text}}' 'batch model pipe -o waits --prompt {{text}}' 'run model' \
    'tokenize model' 'tokenize model --jsonl' 'score model -'; do
    # shellcheck disable=SC2086
    timeout -k 0 -s INT --preserve-status 0.3 timeout -s KILL 5 "$lizzie" $args <pipe 2>/dev/null
    is $? 130 "$args: interrupted while it waits"
done
timeout -k 0 -s TERM --preserve-status 0.3 "$lizzie" batch model pipe -o waits --prompt '{{text}}' 2>err
is $? 143 "batch: interrupted before its first row"
has "$(cat err)" "interrupted before it began its work: run the same command again" "says so"
exec 9>&-

# --- another name of what is open: it has no side file
for time in first second; do
    "$lizzie" batch model good.jsonl -o /dev/stdout --prompt "$time {{text}}" >named 2>/dev/null
    is "$?$(wc -l <named)" 02 "-o /dev/stdout > file, the $time time"
done
is "$(ls /dev/stdout.lizzie named.lizzie 2>/dev/null)" "" "leaves nothing beside it"
for name in - /dev/stdout /dev/fd/1 /proc/self/fd/1; do
    echo first >added
    "$lizzie" batch model good.jsonl -o $name --prompt '{{text}}' >>added 2>/dev/null
    is "$?$(head -n 1 added)$(wc -l <added)" 0first3 "-o $name >> file adds to it"
done
if [ -w /dev/shm ]; then
    shm=$(mktemp -d /dev/shm/lizzie.XXXXXX)
    run 'a file in /dev/shm' 0 batch model good.jsonl -o "$shm/out" --prompt '{{text}}'
    is "$(ls "$shm" | tr '\n' ' ')" "out out.lizzie " "is a file like another"
    rm -r "$shm"
else
    skipped "a file in /dev/shm" "it cannot be written" 2
fi

# --- a terminal
if command -v script >/dev/null; then
    printf 'step_us=3000\n' >slowish
    yes '{"text":"row"}' | head -n 6000 >some.jsonl
    TERM=xterm script -qec "$lizzie batch slowish some.jsonl -o tty --prompt '{{text}}{{text}}' --max-tokens 30" /dev/null </dev/null >screen 2>&1
    has "$(cat screen)" " rows/s" "a terminal shows progress"
    has "$(cat screen)" " left" "and the time left"
    is "$(grep -c 'rows/s' tty)" 0 "none of it in OUT"
    out=$(TERM=xterm script -qec "$lizzie run model" /dev/null </dev/null 2>&1)
    has "$out" "cannot chat as it has no chat template" "a chat without a template is refused"
else
    skipped "progress on a terminal" "there is no script(1)"
fi

# --- run
run 'run' 0 run model 'hello'
[ -n "$out" ]
ok $? "prints text"
first=$out
run 'run again' 0 run model 'hello'
is "$out" "$first" "is the same"
run 'run --json' 0 run model 'hello' --json --seed 7
has "$out" '"seed":"7"' "gives the seed itself"
is "$("$lizzie" run model <<<'hello' 2>/dev/null)" "$first" "the prompt from standard input"
run 'a row repeated by its seed' 0 batch model good.jsonl -o seeded --prompt '{{text}}' --temperature 0.8 --seed 5 --max-tokens 9
seed=$(sed -n '2s/.*"seed":"\([0-9]*\)".*/\1/p' seeded)
text=$(sed -n '2s/.*"text":\(".*"\),"finish_reason.*/\1/p' seeded)
has "$("$lizzie" run model two --temperature 0.8 --seed "$seed" --max-tokens 9 --json)" "$text" "run --seed gives the same text"
run 'run --n 3' 0 run model two --n 3 --temperature 1 --seed 5 --max-tokens 9 --ignore-eos
is "$(grep -cx -- --- <<<"$out")" 2 "three texts, a line between them"
together=$out
run 'run --n 3 --json' 0 run model two --n 3 --temperature 1 --seed 5 --max-tokens 9 --ignore-eos --json
seeds=$(grep -o '"seed":"[0-9]*"' <<<"$out" | grep -o '[0-9]*')
is "$(wc -l <<<"$seeds")/$(head -n 1 <<<"$seeds")" 3/5 "three seeds, the first the one given"
is "$(for seed in $seeds; do "$lizzie" run model two --temperature 1 --seed "$seed" --max-tokens 9 --ignore-eos; echo ---; done)" \
    "$together
---" "each is the same alone"
run 'more completions than the queue holds' 0 run model two --n 100 --temperature 1 --parallel 2 --json --max-tokens 9
is "$(grep -o '"seed"' <<<"$out" | wc -l)" 100 "a hundred of them"
run 'run --prompt-logprobs' 0 run model hi --json --max-tokens 1 --prompt-logprobs 1
has "$out" '"prompt_logprobs":[{"token":"<|begin|>","id":256,"logprob":null,"top":[]},{"token":"h","id":104,"logprob":-' "from the first token on"
run 'run --stop-token of several' 2 run model hello --stop-token 'two words'
is "$err" 'lizzie: token "two words": is 9 tokens of this model: name one, or its id' "says what it is"
run 'batch --n 2' 0 batch model good.jsonl -o n2 --prompt '{{text}}' --n 2 --temperature 1 --stop-token '<|turn|>' --typical 0.9
is "$(grep -c '"completions":\[{"text":.*},{"text":.*}\],"prompt_tokens":' n2)" 2 "both rows have two"
run 'batch --n 2 goes on' 0 batch model good.jsonl -o n2 --prompt '{{text}}' --n 2 --temperature 1 --stop-token '<|turn|>' --typical 0.9
has "$err" "nothing was left to do" "with the same settings"
run 'batch --n 3 after --n 2' 1 batch model good.jsonl -o n2 --prompt '{{text}}' --n 3 --temperature 1 --stop-token '<|turn|>' --typical 0.9
has "$err" "n (was 2, is 3)" "is refused"
run 'run: a prompt that is no UTF-8' 2 run model $'\377'
run 'template: a prompt that is no UTF-8' 2 template templated $'\377'
"$lizzie" run model <<<$'\377' 2>/dev/null
is $? 2 "run: nor may standard input be"
run 'run: a model that is not there' 1 run no-model 'x'
run 'run: through the chat template' 0 run templated '!echo!' --system 'Be kind.'
has "$out" $'<|turn|>system\nBe kind.<|end|>\n<|turn|>user\n!echo!<|end|>\n<|turn|>assistant' "as turns"
run 'run: with --raw' 0 run templated 'x' --raw
"$lizzie" run slow '!long!' >streamed 2>/dev/null &
pid=$!
for _ in $(seq 200); do [ -s streamed ] && break; sleep 0.01; done
kill -INT $pid
wait $pid
is $? 130 "run: interrupted"
[ -s streamed ]
ok $? "what it had said stands there"

# --- tokenize
run 'tokenize' 0 tokenize model 'ab'
is "$out" "$(printf '256\t"<|begin|>"\n97\t"a"\n98\t"b"')" "ids and pieces, with BOS"
run 'tokenize --special --json' 0 tokenize model '<|end|>' --special --json
is "$out" '{"ids":[256,257],"pieces":["<|begin|>","<|end|>"]}' "control tokens"
run 'tokenize --ids' 0 tokenize model --ids 104,105
is "$out" "hi" "text"
run 'tokenize --ids outside' 2 tokenize model --ids 99999
run 'tokenize --ids nonsense' 2 tokenize model --ids 1,x
out=$(printf '{"text":"ab"}\n{"text":"<|end|>","special":true}\nnonsense\n{"text":1}\n{"text":""}\n' | "$lizzie" tokenize model --jsonl)
is $? 3 "tokenize --jsonl: bad lines are error lines"
is "$(printf '%s' "$out" | sed -n '1p;2p;5p' | tr '\n' ' ')" '{"ids":[97,98]} {"ids":[257]} {"ids":[]}' "the others have ids, without BOS"
has "$(printf '%s' "$out" | sed -n 3p)" '{"error":{"code":"invalid_json","message":' "an error has a code"
is "$(printf '{"text":"a"}\n\n \n{"text":"b"}\n' | "$lizzie" tokenize model --jsonl | cut -c1-8 | tr '\n' ' ')" \
    '{"ids":[ {"error" {"error" {"ids":[ ' "a line out for each line in, blank ones too"
run 'tokenize: no vocabulary' 1 tokenize vocabless x

# --- choices
run 'run --choices' 0 run model Hello --choices 'yes, no,"maybe, or ""not"""'
is "$(printf '%s\n' yes no 'maybe, or "not"' | grep -cxF -- "$out")" 1 "one of them"
run 'run --choices --json' 0 run model Hello --choices 'yes, no,"maybe, or ""not"""' --json
has "$out" '"probs":{"yes":0.' "probabilities"
has "$out" '"maybe, or \"not\"":' "spaces and quotes"
printf '\357\273\277yes\r\n\n no\nlast' >choices.txt # with a byte order mark
run 'batch --choices-file' 0 batch model good.jsonl -o chosen --prompt 'Say {{text}}' --choices-file choices.txt
is "$(sed 's/.*"probs"://; s/0\.[0-9e-]*/P/g' chosen | sort -u)" '{"yes":P," no":P,"last":P}}' "a choice a line, as it stands"
has "$err" "choices:        " "the summary counts them"
is "$(printf '%s\n' "$err" | sed -n '/^choices:/,$p' | awk '{ sub(/^choices:/, ""); n += $1 } END { print n }')" 2 "all rows"
for bad in 'a,,b' 'a,b,a' 'a,"b' '"a"b' ''; do
    run "--choices '$bad'" 2 run model Hello --choices "$bad"
    has "$err" "--choices" "is named"
done
run '--choices and --choices-file' 2 run model Hello --choices a --choices-file choices.txt
run '--choices and --max-tokens' 2 run model Hello --choices a --max-tokens 3
run '--choices and --n' 2 run model Hello --choices a,b --n 2
run '--choices and --temperature' 2 batch model good.jsonl -o none --prompt 'Say {{text}}' --choices a,b --temperature 1
is "$(ls none* 2>/dev/null)" "" "nothing was made"
: >empty.txt
run '--choices-file: empty' 2 run model Hello --choices-file empty.txt
run '--choices --dry-run' 0 batch model good.jsonl --dry-run --prompt 'Say {{text}}' --choices a,b
has "$out" "choices: 2 for each row" "says so"

# --- score
# field_of NAME: a number of a JSON object.
field_of() { sed 's/.*"'"$1"'":\([^,}]*\)[,}].*/\1/'; }
printf 'some text\nmore' >text.txt
run 'score' 0 score model text.txt
has "$(printf '%s\n' "$out" | head -n 1)" "$(printf 'index\ttokens\tscored\tlogprob\tperplexity\tbytes\twords\tline_ends')" \
    "a table with a header"
run 'score --json' 0 score model text.txt --json
has "$out" '"bytes":14,"words":3,"line_ends":1,' "what the text holds"
is "$(printf '%s' "$out" | field_of perplexity_word_line | awk '{ printf "%.9g", $1 }')" \
    "$(printf '%s' "$out" | field_of logprob | awk '{ printf "%.9g", exp(-$1 / 4) }')" "per word and line end"
# logprob_of IDS: the sum for these tokens.
logprob_of() { "$lizzie" score model --json --tokens "$@" | field_of logprob; }
whole=$(logprob_of 1,2,3,4,5,6,7 --ctx-size 4 --stride 2)
parts=$(printf '%s\n' "$(logprob_of 1,2,3,4)" "$(logprob_of 3,4,5,6)" "-$(logprob_of 3,4)" "$(logprob_of 4,5,6,7)" "-$(logprob_of 4,5,6)")
is "$(awk -v w="$whole" '{ sub(/^--/, ""); sum += $1 } END { print sum - w < 1e-9 && w - sum < 1e-9 }' <<<"$parts")" 1 \
    "windows of 4 that score their last 2, and the rest"
is "$("$lizzie" score model --json --tokens 1,2,3,4,5,6,7 --ctx-size 4 | field_of scored)" 6 "every token but the first is scored once"
run 'score --stride: not below the context' 2 score model text.txt --ctx-size 4 --stride 4
run 'score --tokens --logits' 0 score vocabless --tokens 1,2,3 --logits l.npy --json
has "$out" '{"index":0,"tokens":3,"scored":2,"logprob":' "JSON"
is "$(head -c 6 l.npy | od -An -tx1 | tr -d ' ')" 934e554d5059 "NumPy's magic"
has "$(head -c 128 l.npy | tr -d '\0')" "'shape': (3, 283)" "the shape"
is "$(stat -c %s l.npy)" $((128 + 3 * 283 * 4)) "the size"
run 'score: IN and --tokens' 2 score model text.txt --tokens 1
run 'score: neither' 2 score model
run 'score: no vocabulary' 1 score vocabless text.txt
run 'score: a token outside the vocabulary' 2 score model --tokens 1,9999
printf 'good\tbad\na\tb\nc\td\n' >pairs.tsv
run 'score --pairs' 0 score model pairs.tsv --pairs
is "$(printf '%s\n' "$out" | wc -l)" 3 "a line for each pair"
{ printf 'good\tbad\na\t\377\nc\td\n' && head -c 68000000 /dev/zero | tr '\0' '\t'; } >broken.tsv
run 'score --pairs: broken lines' 3 score model broken.tsv --pairs
is "$(printf '%s\n' "$out" | tail -n +2 | cut -f 1)" 1 "only the whole one is scored"
has "$err" "broken.tsv: line 2: byte 3 is not UTF-8: left out" "one is named"
has "$err" "broken.tsv: line 4: it is larger than 64 MiB: left out" "and the other"
printf 'kind\tgood\tbad\nx\ta\tb\ny\tc\td\nx\tb\ta\n' >groups.tsv
run 'score --pairs --group' 0 score model groups.tsv --pairs --group kind
is "$(printf '%s\n' "$out" | sed -n 2p)" "$(printf 'x\t2\t1\t50.00')" "a pair and its reverse: the good one is likelier once"
is "$(printf '%s\n' "$out" | tail -n 1 | cut -f 1,2)" "$(printf 'all\t3')" "all of them last"
run 'score --pairs --group: no such column' 2 score model groups.tsv --pairs --group color
has "$err" '"color" is not among them' "and named"
run 'score --group without --pairs' 2 score model groups.tsv --group kind
printf 'good\tbad\na\tb\nalone\n' >short.tsv
run 'score --pairs: a line is too short' 3 score model short.tsv --pairs
has "$err" "short.tsv: line 3:" "and named"
printf '{"text":"a"}\n{"txt":"b"}\n' >texts.jsonl
run 'score of lines: one is bad' 3 score model texts.jsonl
has "$err" "texts.jsonl: line 2:" "and named"

# --- inspect
run 'inspect' 0 inspect model
has "$out" "architecture: fake" "for people"
run 'inspect --json' 0 inspect model --json
has "$out" '{"architecture":"fake"' "for machines"
run 'inspect: no file' 1 inspect none

# --- a limit of file size
"$lizzie" batch model many.jsonl -o limited --prompt '{{text}}' --max-tokens 5 --limit 10 2>/dev/null
(
    ulimit -f 20
    "$lizzie" batch model many.jsonl -o limited --prompt '{{text}}' --max-tokens 5 >/dev/null 2>err
)
is $? 1 "a limit of file size: exit code"
has "$(cat err)" "File too large" "a limit of file size: said"
[ "$(wc -l <limited)" -ge 10 ] && [ "$(tail -c 1 limited | od -An -c | tr -d ' ')" = '\n' ]
ok $? "a limit of file size: $(wc -l <limited) whole rows stand there"

# --- a disk that is really full
if [ "$(id -u)" = 0 ] && mkdir disk && mount -t tmpfs -o size=64k tmpfs disk 2>/dev/null; then
    "$lizzie" batch model many.jsonl -o disk/out --prompt '{{text}}' --max-tokens 5 >/dev/null 2>err
    is $? 1 "a full disk: exit code"
    has "$(cat err)" "No space left on device" "a full disk: said"
    [ -s disk/out ] && [ "$(tail -c 1 disk/out | od -An -c | tr -d ' ')" = '\n' ]
    ok $? "a full disk: $(wc -l <disk/out) whole rows stand there"
    mount -o remount,size=8m disk
    "$lizzie" batch model many.jsonl -o disk/out --prompt '{{text}}' --max-tokens 5 >/dev/null 2>&1
    is $? 0 "with more room it goes on"
    "$lizzie" batch model many.jsonl -o whole --prompt '{{text}}' --max-tokens 5 >/dev/null 2>&1
    cmp -s disk/out whole
    ok $? "to the same bytes"
    umount disk
else
    skipped "a full disk" "no small disk can be mounted here"
fi
tap_end
