#!/usr/bin/env bash
# test_install.sh - what `make install` puts in place, used as a stranger would: the example program compiled against the
# installed copy through pkg-config, shared and static; symbols; man pages and completions against what the program says
# of itself; uninstall. Everything under a prefix that goes away.
set -u
. tests/lib/tap.sh
tap_folder
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES
prefix=$tap_dir/prefix
program=$prefix/bin/lizzie

install() { make --no-print-directory BUILD="$BUILD" prefix="$prefix" "$@" >"$tap_dir/out" 2>&1; }

install install
ok $? 'make install' || sed 's/^/# /' "$tap_dir/out"
files=$(cd "$prefix" && find . ! -type d | sort)

# ---- A program of a stranger --------------------------------------------------------------------------------------
model=../shared/reference/models/aidreams-260k.gguf
if [ ! -e "$model" ]; then
    echo "# SKIPPED: $(basename "$model") is absent: a tiny random model takes its place"
    model=$tap_dir/tiny.gguf
    "$BUILD/bench/write_model" tiny Q8_0 "$model"
fi
prompts=('Once upon a time' 'In the quiet night of a long and cold year')
for prompt in "${prompts[@]}"; do
    "$program" run "$model" "$prompt" --raw --temperature 0 --max-tokens 32
done >"$tap_dir/wanted" 2>"$tap_dir/err"
[ -s "$tap_dir/wanted" ]
ok $? 'the installed program runs'

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
pc() { pkg-config "$@" lizzie; }
# embed NAME LIBRARIES...: compiles examples/embed.c with them, runs it, compares with what the program said.
embed() {
    local name=$1
    shift
    # shellcheck disable=SC2046
    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror examples/embed.c $(pc --cflags) "$@" -o "$tap_dir/$name" 2>"$tap_dir/err"
    ok $? "$name: examples/embed.c compiles" || sed 's/^/# /' "$tap_dir/err"
    LD_LIBRARY_PATH=$prefix/lib "$tap_dir/$name" "$model" "${prompts[@]}" >"$tap_dir/got" 2>"$tap_dir/err" &&
        cmp -s "$tap_dir/got" "$tap_dir/wanted"
    ok $? "$name: it says what lizzie run says" || sed 's/^/# /' "$tap_dir/err"
}
embed shared $(pc --libs)
has "$(readelf -d "$tap_dir/shared")" "[liblizzie.so." 'shared: it needs the soname'
embed static -static $(pc --static --libs)
case $(readelf -d "$tap_dir/static") in *NEEDED*) ok 1 'static: it needs no library' ;; *) ok 0 'static: it needs no library' ;; esac
[ "$(wc -l <examples/embed.c)" -lt 60 ]
ok $? 'examples/embed.c has fewer than 60 lines'
LD_LIBRARY_PATH=$prefix/lib "$tap_dir/shared" "$tap_dir/none.gguf" 2>"$tap_dir/err"
is "$?" 1 'a model that is not there is an error'
has "$(cat "$tap_dir/err")" 'none.gguf' 'and it is named'

# ---- Symbols and versions -----------------------------------------------------------------------------------------
api=$(cat include/*.h | tr '\n' ' ' | grep -o 'LIZ_API [^;]*;' | grep -o 'liz_[a-z0-9_]*(' | tr -d '(' | sort)
exported=$(nm -D --defined-only "$prefix/lib/liblizzie.so" | awk '$2 != "A" { print $3 }' | sort)
is "$(comm -3 <(sed 's/@.*//' <<<"$exported") <(echo "$api") | xargs)" '' \
    'the shared library exports the functions of the headers, and nothing else (include/lizzie.map)'
[ "$(wc -w <<<"$api")" -ge 20 ]
ok $? 'these are a few dozen'
is "$(grep -vc '@@LIZZIE_[0-9.]*$' <<<"$exported")" 0 'every symbol has a version'
strays=$(nm --defined-only -g "$prefix/lib/liblizzie.a" | awk 'NF == 3 { print $3 }' | grep -v '^liz_')
is "$strays" '' 'all names of the static library begin with liz_'
is "$(pc --modversion)" "$("$program" --version | cut -d' ' -f2)" 'pkg-config knows the version'

# ---- Documents and completions against the tables -----------------------------------------------------------------
# missing FILE WORDS...: those that the file does not hold; roff writes - as \-.
missing() {
    local text word
    text=$(sed 's/\\-/-/g' "$1")
    shift
    for word in "$@"; do grep -qE -- "(^|[^a-z0-9_-])$word([^a-z0-9_-]|\$)" <<<"$text" || echo "$word"; done
}
mapfile -t commands < <("$program" --complete '' | cut -f1 | grep -v '^-')
[ ${#commands[@]} -ge 5 ]
ok $? "the program tells its commands (${commands[*]})"
# told_by_help: what the commands say of their options, as `command: option text`. told_by_page FILE: the same as the manual
# says it, where an entry is an option and its text, then the commands for which it is true.
told_by_help() {
    local command
    for command in "${commands[@]}"; do
        "$program" "$command" --help | sed -n "s/^  \(-\)/$command: \1/p" | tr -s ' '
    done | sort
}
told_by_page() {
    sed -e 's/\\f[BIR]//g' -e 's/\\-/-/g' -e 's/\\e/\\/g' "$1" | awk '
        /^\.SH/ { options = $0 == ".SH OPTIONS" }
        options && /^\.TP/ {
            getline head; getline text
            n = split(text, part, / \\\(em /)
            n_of = split(part[n], of, ", ")
            text = substr(text, 1, length(text) - length(part[n]) - length(" \\(em "))
            for (i = 1; i <= n_of; i++) print of[i] ": " head " " text
        }' | tr -s ' ' | sort
}
page=$prefix/share/man/man1/lizzie.1
told_by_help >"$tap_dir/help"
[ "$(wc -l <"$tap_dir/help")" -ge 150 ]
ok $? 'the commands have options by the hundred'
is "$(told_by_page "$page" | diff - "$tap_dir/help")" '' 'lizzie(1) says of every option what each command says'
sed 's/score these token ids/train on so many tokens/' "$page" >"$tap_dir/page"
is "$(told_by_page "$tap_dir/page" | diff - "$tap_dir/help" | grep -c '^[<>] score: --tokens')" 2 'a text that differs is noticed'
for command in "${commands[@]}"; do
    mapfile -t shown < <("$program" "$command" --help | grep -oE '^  (-., )?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+')
    mapfile -t offered < <("$program" --complete "$command" -- | cut -f1)
    [ ${#shown[@]} -ge 2 ]
    is "$?${offered[*]}" "0${shown[*]}" "$command: completion offers the options of its help"
    is "$(missing "$page" "$command")" '' "$command: lizzie(1) names it"
done
# shellcheck disable=SC2086
is "$(missing "$prefix/share/man/man3/lizzie.3" $api)" '' 'lizzie(3) has every function'
[ -n "$(missing docs/lizzie.3 liz_engine liz_nothing)" ]
ok $? 'what a page lacks is noticed'
if command -v man >/dev/null; then
    is "$(MANROFFSEQ='' LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$prefix"/share/man/man*/lizzie.? 2>&1 >/dev/null)" '' \
        'the man pages are well formed'
else
    skipped 'the man pages are well formed' 'man is not here'
fi

# Each shell's script answers as the program does: commands, options, values, files.
touch "$tap_dir/a file.gguf"
cases=("lizzie insp:inspect" "lizzie batch --prefix-c:--prefix-cache" "lizzie batch --prefix-cache o:off on"
    "lizzie batch --prefix-cache=o:--prefix-cache=off --prefix-cache=on" "lizzie batch --prefix-cache=:--prefix-cache=off --prefix-cache=on"
    "lizzie batch --prefix-cache=of:--prefix-cache=off" "lizzie batch --strict=o:" "lizzie batch --strict --restart --prefix-cache=of:--prefix-cache=off")
# Bash cuts words at = before it asks, unless it is told not to (BREAKS='').
got_bash() {
    (
        cd "$tap_dir" || exit 1
        PATH=$prefix/bin:$PATH
        . "$prefix/share/bash-completion/completions/lizzie"
        COMP_WORDBREAKS=${BREAKS-=} COMP_WORDS=() COMP_LINE=$*
        for word in "$@"; do
            if [[ -n $COMP_WORDBREAKS && $word == --*=* ]]; then
                COMP_WORDS+=("${word%%=*}" =)
                word=${word#*=}
                [ -n "$word" ] || continue
            fi
            COMP_WORDS+=("$word")
        done
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_POINT=${#COMP_LINE}
        _lizzie
        printf '%s\n' "${COMPREPLY[@]}"
    )
}
got_fish() {
    (cd "$tap_dir" && PATH=$prefix/bin:$PATH HOME=$tap_dir XDG_DATA_DIRS=$prefix/share fish --no-config -c \
        'source $argv[1]; complete -C (string join " " -- (string escape -- $argv[2..-2]) (string escape -- $argv[-1]))' \
        "$prefix/share/fish/vendor_completions.d/lizzie.fish" "$@" | cut -f1)
}
# zsh completes within its line editor only: stand-ins for the functions that a script hands its candidates to.
got_zsh() {
    (cd "$tap_dir" && PATH=$prefix/bin:$PATH zsh -f -c '
        _describe() { print -rl -- "${(@)${(P)@[-1]}%%:*}" }
        compset() { print -r -- "$@" }
        _files() { print -rl -- *(N) }
        script=$1; shift
        words=("$@") CURRENT=$#
        source $script' zsh "$prefix/share/zsh/site-functions/_lizzie" "$@")
}
for shell in bash zsh fish; do
    if ! command -v $shell >/dev/null; then
        skipped "completion in $shell" "$shell is not here"
        continue
    fi
    for case in "${cases[@]}"; do
        read -ra words <<<"${case%%:*}"
        wanted=${case#*:}
        [ $shell = bash ] && wanted=${wanted//--prefix-cache=/} # what stands before the = is a word of its own there
        is "$("got_$shell" "${words[@]}" | sort | xargs)" "$wanted" "$shell: ${case%%:*}"
    done
    has "$("got_$shell" lizzie run 'a')" 'file.gguf' "$shell: a model is a file"
    has "$("got_$shell" lizzie batch '--lora=a')" 'file.gguf' "$shell: and so is an adapter behind ="
done

is "$(BREAKS='' got_bash lizzie batch --prefix-cache=o | sort | xargs)" '--prefix-cache=off --prefix-cache=on' \
    'bash: words that are not cut at = are completed whole'
is "$(BREAKS='' got_bash lizzie batch --lora=a)" '--lora=a file.gguf' 'bash: so are files'

# ---- Packagers, and taking it away --------------------------------------------------------------------------------
install install DESTDIR="$tap_dir/stage" prefix=/usr libdir=/usr/lib/here
ok $? 'make install DESTDIR=... libdir=...'
[ -e "$tap_dir/stage/usr/lib/here/liblizzie.so" ] && [ -e "$tap_dir/stage/usr/bin/lizzie" ]
ok $? 'it goes where it is told'
is "$(grep -c "$tap_dir" "$tap_dir/stage/usr/lib/here/pkgconfig/lizzie.pc")" 0 'lizzie.pc does not name DESTDIR'
is "$(PKG_CONFIG_PATH=$tap_dir/stage/usr/lib/here/pkgconfig pc --variable=libdir)" /usr/lib/here 'lizzie.pc names libdir'
[ "$(wc -l <<<"$files")" -ge 12 ]
ok $? 'a dozen files are installed'

# A folder with a space in its name, from a shell that keeps what it makes to itself.
spaced="$tap_dir/a  stage" source_before=$(ls -A)
(umask 077 && install install DESTDIR="$spaced" prefix=/usr)
ok $? 'make install DESTDIR="a  stage"' || sed 's/^/# /' "$tap_dir/out"
is "$(cd "$spaced/usr" 2>&1 && find . ! -type d | sort)" "$files" 'a space in DESTDIR changes nothing of what is installed'
is "$(ls -A)" "$source_before" 'and leaves nothing among the sources'
is "$(find "$spaced" \( -type d -o -path '*/bin/*' \) ! -perm 755; find "$spaced" -type f ! -path '*/bin/*' ! -perm 644)" '' \
    'all may read what is installed, whatever the umask'
(umask 022 && mkdir -p "$tap_dir/stage 2/usr/lib" && chmod 2775 "$tap_dir/stage 2/usr/lib")
install install DESTDIR="$tap_dir/stage 2" prefix=/usr
is "$(stat -c %a "$tap_dir/stage 2/usr/lib")" 2775 'a folder that was there keeps its permissions'
install uninstall DESTDIR="$spaced" prefix=/usr
is "$(find "$spaced" ! -type d)" '' 'make uninstall finds them there'
install uninstall
is "$(cd "$prefix" && find . ! -type d)" '' 'make uninstall leaves none of them'
tap_end
