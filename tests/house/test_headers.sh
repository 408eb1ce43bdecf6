#!/usr/bin/env bash
# Every header compiles alone: the public ones in every language that may include them, the inner ones in ours. Not so
# parts of others: *_body.h is code that a tier includes with its own parameters, lanes_*.h what lanes.h chooses from.
n=0
isa='-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mamx-tile -mamx-int8 -mamx-bf16'
strict='-Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only'

# alone HEADER COMPILER...: compiles a file that includes only HEADER.
alone() {
    local header=$1 out
    shift
    if out=$(printf '#include "%s"\nint header_is_alone;\n' "$header" | "$@" - 2>&1); then
        echo "ok $((++n)) - $header: $1 $2"
    else
        echo "not ok $((++n)) - $header: $1 $2"
        printf '%s\n' "$out" | head -n 20 | sed 's/^/# /'
    fi
}

mapfile -t public < <(cd include && ls -- *.h)
mapfile -t inner < <(cd src && find . -name '*.h' ! -name '*_body.h' ! -name 'lanes_*.h' -printf '%P\n' | sort)
echo "1..$((10 * ${#public[@]} + ${#inner[@]} + 1))"
# public_alone LANGUAGE COMPILER STANDARDS...: every public header, or a skip where the compiler is absent.
public_alone() {
    local language=$1 compiler=$2 header std
    shift 2
    for header in "${public[@]}"; do
        for std in "$@"; do
            if command -v "$compiler" >/dev/null; then
                alone "$header" "$compiler" "-std=$std" -x "$language" $strict -Iinclude
            else
                echo "ok $((++n)) - $header: $compiler -std=$std # SKIP $compiler is not here"
            fi
        done
    done
}
prototypes='-Wstrict-prototypes -Wmissing-prototypes'
strict="$strict $prototypes" public_alone c gcc c11 c17 c2x
strict="$strict $prototypes" public_alone c clang c11 c17 c2x
public_alone c++ g++ c++11 c++20
public_alone c++ clang++ c++11 c++20
for header in "${inner[@]}"; do
    flags='-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-psabi -Werror -fsyntax-only'
    if [[ $header == */x86/* || $header == *_avx* || $header == *_amx* ]]; then
        [ "$(uname -m)" = x86_64 ] || { echo "ok $((++n)) - $header # SKIP for x86-64 only" && continue; }
        flags+=" $isa"
    fi
    alone "$header" gcc -std=gnu17 -x c $flags -D_GNU_SOURCE -Iinclude -Isrc
done
broken=$(mktemp --suffix=.h)
trap 'rm -f "$broken"' EXIT
echo 'size_t without_its_header(void);' >"$broken"
if [[ $(alone "$broken" gcc -std=c17 -x c $strict) == not* ]]; then printf ''; else printf 'not '; fi
echo "ok $((++n)) - a header that lacks an include is noticed"
