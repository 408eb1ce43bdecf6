#!/usr/bin/env bash
# What every file of the repository keeps to. A fixture for each rule proves that it can fail.
n=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The files of the tree in the current folder: what git knows, or all where there is no git.
files() {
    git ls-files --cached --others --exclude-standard 2>/dev/null | grep . || find . -type f -printf '%P\n'
}
code() { files | grep -E '^(src|include|bench|tests|fuzz)/.*\.[ch]$' | grep -v '_data\.[ch]$'; }
# What people wrote: not the data of test cases.
prose() { files | grep -vE '^(tests/cases|fuzz/corpus)/|_data\.[ch]$'; }

# Each rule prints the lines that break it.
rule_marks() { prose | xargs -r -d '\n' grep -nIE '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b'; }
rule_places() { prose | xargs -r -d '\n' grep -nIE '/wo''rk/|/tmp/hel''pers|registry\.n''pmjs|/ro''ot/|/ho''me/[a-z]'; }
rule_columns() { code | xargs -r -d '\n' awk 'length($0) > 120 { print FILENAME ":" FNR ": " length($0) " columns" }'; }
rule_space() { files | grep -vE '^(tests/cases|fuzz/corpus)/' | xargs -r -d '\n' grep -nIE '[[:blank:]]+$'; }
rule_tabs() { code | xargs -r -d '\n' grep -nP '\t'; }
rule_newline() {
    local file
    prose | while read -r file; do
        [ -s "$file" ] && grep -Iq . "$file" && [ -n "$(tail -c 1 "$file")" ] && echo "$file: does not end with a newline"
    done
}
rule_essay() { # a file opens by saying what it is
    local file
    code | while read -r file; do
        [[ $(head -n 1 "$file") == "/* $(basename "$file") - "* ]] || echo "$file: does not begin with /* NAME - what it is"
    done
}
rule_length() { code | xargs -r -d '\n' awk 'FNR == 1001 { print FILENAME ": more than 1000 lines: two subjects?" }'; }
rule_names() { # basenames are unique among the sources
    files | grep -E '^src/.*\.[ch]$' | sed 's|.*/||' | sort | uniq -d | sed 's/$/: the name of two files/'
}
rule_size() { # what docs/architecture.md says of src/ is true to a thousand lines
    local said is
    said=$(grep -oE 'missed: [0-9,]+' docs/architecture.md | tr -dc 0-9)
    is=$(files | grep -E '^src/.*\.[ch]$' | xargs -r -d '\n' cat | wc -l)
    ((${said:-0} > is - 1000 && ${said:-0} < is + 1000)) ||
        echo "docs/architecture.md: says that src/ has ${said:-no} lines: they are $is"
}

# breaks RULE FILE TEXT...: the rule must notice a file of that text.
breaks() {
    rm -rf "$dir/tree" && mkdir -p "$(dirname "$dir/tree/$2")"
    printf "$3" >"$dir/tree/$2"
    (cd "$dir/tree" && GIT_DIR=/nonexistent "$1") | grep -q . || printf 'not '
    echo "ok $((++n)) - $1 can fail"
}
keeps() {
    local found
    found=$("$1")
    [ -n "$found" ] && printf '%s\n' "$found" | sed 's/^/# /' && printf 'not '
    echo "ok $((++n)) - $1: $2"
}

echo 1..19
breaks rule_marks src/base/a.c '/* TO''DO */\n'
breaks rule_places docs/a.md 'see /wo''rk/here\n'
breaks rule_columns src/base/a.c "$(printf '%0121d' 0)\n"
breaks rule_space docs/a.md 'blank \n'
breaks rule_tabs src/base/a.c '\tint x;\n'
breaks rule_newline docs/a.md 'no end'
breaks rule_essay src/base/a.c '#include <stdio.h>\n'
breaks rule_length src/base/a.c "$(printf '\\n%.0s' {1..1001})"
breaks rule_size docs/architecture.md 'it is missed: 43,000, of which\n'
keeps rule_marks 'no marks of things left undone'
keeps rule_places 'no paths of one machine'
keeps rule_columns 'at most 120 columns'
keeps rule_space 'no blanks at the ends of lines'
keeps rule_tabs 'no tabs in C'
keeps rule_newline 'text ends with a newline'
keeps rule_essay 'every source says what it is'
keeps rule_length 'no file of more than 1000 lines'
keeps rule_names 'a file name stands for one file'
keeps rule_size 'the lines of src/ are counted'
