#!/usr/bin/env bash
# test_chat.sh - `lizzie template`, and a chat on a terminal, on the fake engine, which gives its prompt back.
set -u
. tests/lib/tap.sh
. tests/lib/terminal.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie-fake
cd "$tap_dir" || exit 1
printf 'template=1\nstep_us=2000\n' >model
printf '' >plain
printf '{{ bos_token }}{%% for m in messages %%}[{{ m.role }}]{{ m.content }}{%% endfor %%}\n' >own.jinja
printf '{%% for m in messages %%}{%% if m.role == "x" %%}{{ raise_exception("no x") }}{%% endif %%}{{ m.content|tojson }}{%% endfor %%}{{ strftime_now("%%d %%b %%Y") }}' >lines.jinja

# --- template
turns=$'<|turn|>system\nBe brief.<|end|>\n<|turn|>user\nHello<|end|>\n<|turn|>assistant'
is "$("$lizzie" template model Hello --system 'Be brief.')" "$turns" "PROMPT and --system"
is "$(echo ' [{"role":"user","content":"a"}] ' | "$lizzie" template own.jinja)" "<s>[user]a" "messages from standard input"
echo '{"messages":[{"role":"user","content":"a"}],"bos_token":"B"}' >vars.json
is "$("$lizzie" template own.jinja --messages vars.json)" "B[user]a" "variables from a file"
is "$("$lizzie" template own.jinja Hi --json)" '{"text":"<s>[user]Hi"}' "--json"
"$lizzie" template plain Hi >out 2>err
is "$? $(cat err)" "1 lizzie: plain: has no chat template: name a template's own file" "a model without one"
"$lizzie" template own.jinja Hi --now soon >out 2>err
is "$? $(cat err)" "2 lizzie: soon: is no time: write 2026-01-31 or 2026-01-31T12:00:00" "--now that is no time"
printf 'a{%% x %%}' >bad.jinja
"$lizzie" template bad.jinja Hi >out 2>err
is "$? $(cat err)" "1 lizzie: chat template, line 1: Encountered unknown tag 'x'" "a construct that is not known"
cat >lines <<'END'
{"messages":[{"role":"user","content":"a\"é"}]}
{"messages":[{"role":"x"}]}
{"messages":[{"role":"user","content":12345678901234567890}]}
broken
[1]
END
"$lizzie" template lines.jinja --jsonl --now 2026-01-15T00:00:00 <lines >out 2>err
is "$?" 3 "--jsonl: the exit code tells of errors"
is "$(sed -n 1p out)" '{"text":"\"a\\\"é\"15 Jan 2026"}' "a line's text"
is "$(sed -n 2p out)" '{"error":"no x"}' "what raise_exception says, as it stands"
is "$(sed -n 3p out)" '{"text":"1234567890123456789015 Jan 2026"}' "the rest goes on"
is "$(sed -n '4,$p' out | grep -c '"error"')" 2 "lines that are no objects"

# --- chat
if ! command -v script >/dev/null; then
    skipped "chat" "there is no script(1)"
    tap_end
    exit
fi

chat 'one !echo!' 'two' '/exit'
has "$(cat plain-screen)" $'<|turn|>system\nBe kind.<|end|>\n<|turn|>user\none !echo!<|end|>\n<|turn|>assistant' "the first turn"
has "$(cat plain-screen)" $'<|turn|>assistant\n<|end|>\n<|turn|>user\ntwo<|end|>\n<|turn|>assistant' "the second holds the first and its answer"
is "$(cat status)" 0 "/exit"
chat '/system Be mean.' 'x !echo!' '/save talk.json' '/clear' '/system' 'alone !echo!' '/load talk.json' 'more' '/nonsense' '/set top-k 5' '/set' '/exit'
has "$(cat plain-screen)" $'system\nBe mean.<|end|>\n<|turn|>user\nx' "/system"
has "$(cat talk.json)" '[{"role":"system","content":"Be mean."},{"role":"user","content":"x !echo!"},{"role":"assistant","content":"' "/save"
has "$(cat plain-screen)" $'\n<|turn|>user\nalone !echo!' "/clear, and no system text"
has "$(tail -n 40 plain-screen)" $'<|turn|>user\nmore<|end|>' "/load goes on"
has "$(cat plain-screen)" "/nonsense: is not a command" "a command that there is not"
has "$(cat plain-screen)" "top-k 5" "/set"
chat 'a\' 'b !echo!' '/set top-p 7' '/exit'
has "$(cat plain-screen)" $'<|turn|>user\na\nb !echo!<|end|>' "a backslash goes on in the next line"
has "$(cat plain-screen)" "is not valid: it wants a number from 0 to 1" "/set checks the range"
chat 'go !long!' ^C '/save stopped.json' '/exit'
is "$(cat status)" 0 "Ctrl-C stops the answer, not the program"
has "$(cat stopped.json 2>/dev/null)" '{"role":"assistant","content":"' "and what came of it is kept"
tap_end
