#!/usr/bin/env bash
# test_examples.sh - the invented messages of examples/: rows that the program reads, labels that belong to them, forms
# whose values stand in their texts, and no message in two places.
set -u
. tests/lib/tap.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie-fake
examples=$PWD/examples
cd "$tap_dir" || exit 1
printf 'ctx=4096\n' >model
teams='account|billing|delivery|other|returns|technical'

"$lizzie" batch model "$examples/messages.jsonl" -o out --prompt '{{text}}' --choices "${teams//|/,}" 2>err
ok $? "every message is a row"
is "$(wc -l <out)" 200 "200 of them"
ids() { sed -n 's/^{"id": "\([^"]*\)".*/\1/p' "$1"; }
is "$(ids "$examples/messages.labels.jsonl")" "$(ids "$examples/messages.jsonl")" "their labels have the same ids"
is "$(ids "$examples/messages.jsonl" | sort -u | wc -l)" 200 "each id once"
is "$(grep -cE "\"team\": \"($teams)\", \"urgent\": (true|false)}$" "$examples/messages.labels.jsonl")" 200 "labels are teams"

# forms FILE: lines whose form copies the text; both are escaped alike.
forms() {
    awk -v teams="$teams" '
        function value(key,  at) {
            if (!match($0, "\"" key "\": (null|\"([^\"\\\\]|\\\\.)*\")")) return "?"
            at = RSTART + length(key) + 4
            return substr($0, at, RSTART + RLENGTH - at)
        }
        {
            text = value("text")
            n_keys = split("name order item date request", keys, " ")
            good = value("team") ~ "^\"(" teams ")\"$" && $0 ~ /"urgent": (true|false), "form": {"name": /
            for (i = 1; i <= n_keys; i++) {
                v = value(keys[i])
                if (v != "null" && (length(v) < 3 || !index(text, substr(v, 2, length(v) - 2)))) good = 0
            }
            n += good
        }
        END { print n + 0 }' "$1"
}
printf '{"text": "a lamp", "team": "billing", "urgent": true, "form": {"name": null, "order": null, "item": "tent", "date": null, "request": null}}\n' >wrong
is "$(forms wrong)" 0 "a value that is not in the text is found"
is "$(forms "$examples/tune/heldout.jsonl")" "$(wc -l <"$examples/tune/heldout.jsonl")" "forms of the held-out messages"
is "$(forms "$examples/tune/messages.jsonl")" "$(wc -l <"$examples/tune/messages.jsonl")" "forms of the messages to train on"
for file in heldout messages; do
    "$lizzie" batch model "$examples/tune/$file.jsonl" -o out --restart --prompt '{{text}} {{team}} {{urgent}} {{form}}' --choices a,b 2>err
    ok $? "tune/$file.jsonl: rows"
done

# Five words in a row, as keys, of each message.
fives() {
    sed -n 's/.*"text": "\(\([^"\\]\|\\.\)*\)".*/\1/p' "$@" | awk '{
        $0 = tolower($0); gsub(/[^a-z0-9'\'']+/, " ")
        n = split($0, w, " ")
        for (i = 1; i + 4 <= n; i++) print w[i], w[i + 1], w[i + 2], w[i + 3], w[i + 4]
    }' | sort -u
}
fives "$examples/messages.jsonl" >demo
fives "$examples/tune/heldout.jsonl" >heldout
fives "$examples/tune/messages.jsonl" >train
[ "$(wc -l <train)" -gt 3000 ] && [ "$(wc -l <demo)" -gt 1000 ]
ok $? "they have words"
is "$(comm -12 demo train; comm -12 demo heldout; comm -12 heldout train)" "" "no five words in a row in two files"
is "$(sed -n 's/.*"text": \("\([^"\\]\|\\.\)*"\).*/\1/p' "$examples/messages.jsonl" "$examples"/tune/*.jsonl | sort | uniq -d)" "" "no message twice"
tap_end
