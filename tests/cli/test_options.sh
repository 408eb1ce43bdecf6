#!/usr/bin/env bash
# test_options.sh - each option of generating reaches its own field of what the engine is asked for, and no other: the
# fake engine writes its requests down.
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie-fake
cd "$tap_dir" || exit 1
printf 'ctx=512\nrecord=requests\n' >model
printf '{"text":"one"}\n' >in.jsonl

# asked ARGS...: the first request that a command makes, a field a line.
asked() {
    rm -f requests out out.lizzie
    "$lizzie" "$@" >/dev/null 2>err
    head -n 1 requests 2>/dev/null | tr ' ' '\n'
}
by_run() { asked run model one --json "$@"; }
# shellcheck disable=SC2120
by_batch() { asked batch model in.jsonl -o out --prompt '{{text}}' --seed 0 "$@"; }

# What differs in a request of $command from that with the first option and its value alone.
differs() {
    local plain
    plain=$("by_$command" "${@:1:2}")
    diff <(echo "$plain") <("by_$command" "$@") | sed -n 's/^> //p'
}

# Option, its value, and the line that must differ from a request without it. The values are none of the defaults, all
# different, and what a float holds exactly.
while read -r option value wanted; do
    for command in run batch; do
        is "$(differs --temperature 0.25 --"$option=$value")" "$wanted" "$command --$option"
    done
done <<'END'
temperature 0.375 temperature=0.375
top-k 17 top_k=17
top-p 0.5625 top_p=0.5625
min-p 0.03125 min_p=0.03125
typical 0.8125 typical_p=0.8125
xtc-probability 0.3125 xtc_probability=0.3125
xtc-threshold 0.1875 xtc_threshold=0.1875
repeat-penalty 1.125 repeat_penalty=1.125
frequency-penalty 0.21875 frequency_penalty=0.21875
presence-penalty -0.40625 presence_penalty=-0.40625
dry-multiplier 0.84375 dry_multiplier=0.84375
dry-base 2.25 dry_base=2.25
dry-allowed-length 3 dry_allowed_length=3
dry-penalty-last-n 777 dry_range=777
dry-sequence-breaker # breakers=[#]
dry-sequence-breaker none breakers=
logit-bias 65:-1.5 bias=[65:-1.5]
logit-bias 66:-inf bias=[66:-inf]
stop zz stop=[zz]
stop-token 258 stop_tokens=[258]
stop-token <|turn|> stop_tokens=[258]
max-tokens 11 n_predict_max=11
logprobs 4 logprobs=4
prompt-logprobs 6 prompt_logprobs=6
END
# A temperature and a min-p of their own are what `run` has where none is given.
is "$(by_run | grep -E '^(temperature|min_p)=' | tr '\n' ' ')" "temperature=0.7 min_p=0.05 " "run: 0.7 with min-p 0.05"
is "$(by_run --temperature 1 | grep -E '^(temperature|min_p)=' | tr '\n' ' ')" "temperature=1 min_p=0 " "and no min-p where a temperature is given"
is "$(by_batch | grep -E '^(temperature|min_p)=' | tr '\n' ' ')" "temperature=0 min_p=0 " "batch: greedy"
for command in run batch; do
    is "$(differs --temperature 0.25 --ignore-eos)" "ignore_end=1" "$command --ignore-eos"
    is "$(by_$command --logit-bias 1:2 --logit-bias 3:-4 --stop a --stop b --stop-token 1 --stop-token 2 \
        --dry-sequence-breaker x --dry-sequence-breaker y | grep '\[' | tr '\n' ' ')" \
        "breakers=[x][y] bias=[1:2][3:-4] stop=[a][b] stop_tokens=[1][2] " "$command: those that may be repeated"
done
is "$(by_run --dry-sequence-breaker x --dry-sequence-breaker none | grep breakers)" "breakers=" "none takes breakers back"
is "$(by_run --seed 18446744073709551615 | grep seed)" "seed=18446744073709551615" "run --seed is the seed"

# --- what has no place
for option in logprobs prompt-logprobs; do
    for n in 0 2; do
        "$lizzie" run model one --$option $n >out 2>err
        is "$? $(cat err out)" "2 lizzie: --$option: needs --json" "run --$option $n without --json"
    done
done
tap_end
