#!/usr/bin/env bash
# bench/write_model: every shape for tests in every type, the same bytes for the same seed, and plain refusals. That a
# file can be opened, the writer checks itself before it gives it its name.
write_model=$BUILD/bench/write_model
n=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
result() { # STATUS NAME
    [ "$1" -eq 0 ] || printf 'not '
    echo "ok $((++n)) - $2"
}

# refuses TEXT NAME ARGUMENT...: exit status 2 or 1, TEXT on standard error, no file.
refuses() {
    local text=$1 name=$2 out
    shift 2
    out=$("$write_model" "$@" 2>&1)
    [ $? -ne 0 ] && [[ $out == *"$text"* ]] && [ ! -e "$dir/refused.gguf" ]
    result $? "$name"
}

echo 1..14
types=(F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4)
for shape in tiny tiny-gqa tiny-qwen3 tiny-qwen3moe tiny-gemma3; do
    status=0
    for type in "${types[@]}"; do
        "$write_model" "$shape" "$type" "$dir/$shape-$type.gguf" || status=1
    done
    # The more bits, the larger; and no two types give the same file.
    [ "$(cd "$dir" && cksum "$shape"-*.gguf | cut -d ' ' -f 1 | sort -u | wc -l)" -eq ${#types[@]} ] || status=1
    sizes=$(cd "$dir" && stat -c %s "$shape"-{Q4_K,Q4_0,Q5_0,Q6_K,Q8_0,F16,F32}.gguf)
    [ "$sizes" = "$(sort -n <<<"$sizes")" ] || status=1
    result $status "$shape in every type"
done
"$write_model" tiny Q4_K "$dir/again.gguf" --seed 0 && cmp -s "$dir/again.gguf" "$dir/tiny-Q4_K.gguf"
result $? 'the same bytes for the same seed'
taskset -c 0 "$write_model" tiny Q4_K "$dir/again.gguf" && cmp -s "$dir/again.gguf" "$dir/tiny-Q4_K.gguf"
result $? 'on one processor too'
"$write_model" tiny Q4_K "$dir/other.gguf" --seed 1 && ! cmp -s "$dir/other.gguf" "$dir/tiny-Q4_K.gguf"
result $? 'other bytes for another seed'
"$write_model" tiny q4_k "$dir/lower.gguf" && cmp -s "$dir/lower.gguf" "$dir/tiny-Q4_K.gguf"
result $? 'the type in lower case'
refuses 'shapes: llama-3.2-1b' 'an unknown shape' enormous Q4_0 "$dir/refused.gguf"
refuses 'types: F32' 'a type that cannot be written' tiny IQ1_S "$dir/refused.gguf"
refuses 'usage' 'a seed that is no number' tiny Q4_0 "$dir/refused.gguf" --seed x
refuses 'usage' 'no arguments'
refuses 'cannot be created' 'a folder that is not there' tiny Q4_0 "$dir/none/refused.gguf"
