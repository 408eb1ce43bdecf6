#!/usr/bin/env bash
# test_chat_keys.sh - the chat at a terminal that has cursor keys: characters of any script whatever the locale, editing,
# and earlier lines.
set -u
. tests/lib/tap.sh
. tests/lib/terminal.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie-fake
cd "$tap_dir" || exit 1
printf 'template=1\n' >model
if ! command -v script >/dev/null; then
    skipped "keys of a chat" "there is no script(1)"
    tap_end
    exit
fi
chat_options=''
up=$'\e[A' down=$'\e[B' right=$'\e[C' left=$'\e[D' backspace=$'\177'

# The users' turns of the conversation that was saved, a line each.
typed_turns() { grep -o '"role":"user","content":"[^"]*"' "$1" | sed 's/.*:"\(.*\)"$/\1/'; }

# --- characters
unset="-u LANG -u LC_ALL -u LC_CTYPE"
for locale in "$unset" LC_ALL=C LC_ALL=POSIX LC_ALL=no_SUCH LC_ALL=C.UTF-8; do
    for term in dumb xterm; do
        # shellcheck disable=SC2206
        chat_env=($locale TERM=$term)
        rm -f talk.json
        chat 'Grüße, мир 你好 🦎!' '/save talk.json' '/exit'
        is "$(typed_turns talk.json)" 'Grüße, мир 你好 🦎!' "TERM=$term, ${locale/$unset/no locale}: what is typed arrives"
    done
done

# --- editing and earlier lines
for locale in LC_ALL=C LC_ALL=C.UTF-8; do
    chat_env=("$locale" TERM=xterm)
    rm -f talk.json
    chat "abX$backspace" "ac${left}b" "cab$left$left${left}>$right$right$right<" "äö$backspace$left${left}ü" \
        one "$up!" "$up$up?" "$up$up$up$down." '/save talk.json' '/exit'
    typed_turns talk.json >turns
    is "$(sed -n 1p turns)" ab "$locale: backspace"
    is "$(sed -n 2p turns)" abc "the cursor to the left"
    is "$(sed -n 3p turns)" '>cab<' "and to the right"
    is "$(sed -n 4p turns)" 'üä' "they go over characters, not bytes"
    is "$(sed -n 5,6p turns | tr '\n' ,)" 'one,one!,' "arrow up: the last line"
    is "$(sed -n 7p turns)" 'one?' "twice: that before"
    is "$(sed -n 8p turns)" 'one!.' "arrow down: back again"
    is "$(cat status)" 0 "and the end"
done
tap_end
