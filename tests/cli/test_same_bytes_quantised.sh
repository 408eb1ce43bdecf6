#!/usr/bin/env bash
# test_same_bytes_quantised.sh - test_same_bytes.sh on random-weight models of bench/ with quantised weights: among them
# one of experts and one whose windows are shorter than its prompts.
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
status=0
models="tiny-gqa:Q4_K tiny-qwen3:Q4_0 tiny-qwen3moe:Q4_K:short tiny-gemma3:Q8_0:short"
[ "${LIZZIE_TEST_SANITIZED:-0}" = 1 ] && models="tiny-qwen3moe:Q4_K:short"
for model in $models; do
    name=$dir/model.gguf
    IFS=: read -r shape type short <<<"$model"
    "$BUILD/bench/write_model" "$shape" "$type" "$name" >"$dir/err" 2>&1 || { cat "$dir/err"; exit 1; }
    SAME_SHORT=$short SAME_MODEL=$name bash tests/cli/test_same_bytes.sh >"$dir/out" || status=1
    # One plan for both: results are numbered on.
    while IFS= read -r line; do
        case $line in
        ok\ * | not\ ok\ *) echo "${line%% [0-9]*} $((++n)) - $model ${line#*- }" ;;
        1..*) ;;
        *) echo "$line" ;;
        esac
    done <"$dir/out"
done
echo "1..$n"
exit $status
