#!/usr/bin/env bash
# Every input of fuzz/corpus/NAME/ is given to the target fuzz/fuzz_NAME.c: none may break it. A target without a corpus
# fails. That the replay notices a target that breaks is shown with a file that is not there.
source tests/lib/tap.sh

for source in fuzz/fuzz_*.c; do
    name=${source#fuzz/fuzz_} name=${name%.c}
    n_files=$(find "fuzz/corpus/$name" -type f 2>/dev/null | wc -l)
    output=$("$BUILD/fuzz/$name" "fuzz/corpus/$name" 2>&1)
    status=$?
    [ $status -eq 0 ] && [ "$n_files" -gt 0 ] && [ "$(tail -n 1 <<<"$output")" = "$n_files inputs" ]
    ok $? "$name: $n_files inputs"
    [ $status -eq 0 ] || tail -n 40 <<<"$output" | sed 's/^/#   /'
done
"$BUILD/fuzz/json" fuzz/corpus/json/none >/dev/null 2>&1
[ $? -ne 0 ]
ok $? 'an input that is not there is an error'
tap_end
