#!/usr/bin/env bash
# test_openai.sh - OpenAI batch files on the bundled model: what only a true vocabulary and true probabilities show.
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie model=$PWD/models/base.gguf
cd "$tap_dir" || exit 1

# rows BODY...: a batch file of completions of one prompt, and what becomes of it in `out`.
rows() {
    local i=0
    for body; do
        printf '{"custom_id":"%d","method":"POST","url":"/v1/completions","body":{"model":"m","prompt":"Once upon a","temperature":2,%s}}\n' \
            $((i++)) "$body"
    done >in.jsonl
    "$lizzie" batch "$model" in.jsonl -o out --restart 2>err || sed 's/^/# /' err
}

# A nucleus of nothing holds one token, the likeliest; for the sampler itself 0 is no nucleus at all.
rows '"max_tokens":6,"seed":1,"top_p":0' '"max_tokens":6,"seed":2,"top_p":0' '"max_tokens":6,"seed":1,"top_p":1' \
    '"max_tokens":6,"seed":2,"top_p":1'
is "$(jq -c .response.status_code out | sort -u)" 200 'all are answered'
is "$(sed -n 1,2p out | jq -c .response.body.choices[0].text | uniq | wc -l)" 1 '"top_p":0: one text, whatever the seed'
is "$(sed -n 3,4p out | jq -c .response.body.choices[0].text | uniq | wc -l)" 2 '"top_p":1: another with each seed'

for seed in 1 2; do "$lizzie" run "$model" 'Once upon a' --temperature 2 --top-p 0 --seed $seed --max-tokens 6 --json | jq -c .text; done >texts
is "$(uniq texts | wc -l)" 1 '--top-p 0: the same'
is "$(sort -u texts <(sed -n 1p out | jq -c '.response.body.choices[0].text') | wc -l)" 1 'on the command line and in a row'

# So hot that the likeliest token is hardly ever chosen, and the likeliest always.
rows '"max_tokens":30,"seed":1,"logprobs":1' '"max_tokens":30,"seed":1,"logprobs":1,"top_p":0'
is "$(jq '.response.body.choices[0].logprobs | [range(.tokens | length) as $i | .top_logprobs[$i][.tokens[$i]] == .token_logprobs[$i]] | all' out | sort -u)" \
    true 'the chosen token is among its alternatives'
is "$(jq '.response.body.choices[0].logprobs.top_logprobs | map(length) | max' out | paste -sd' ')" '2 1' \
    'also where another was likelier'

tap_end
