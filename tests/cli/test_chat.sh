#!/usr/bin/env bash
# test_chat.sh - `lizzie template`, and a chat on a terminal, on the fake engine, which gives its prompt back.
set -u
. tests/lib/tap.sh
. tests/lib/terminal.sh
tap_folder
lizzie=$PWD/$BUILD/lizzie-fake
cd "$tap_dir" || exit 1
printf 'template=1\n' >model
printf '' >plain
printf '{{ bos_token }}{%% for m in messages %%}[{{ m.role }}]{{ m.content }}{%% endfor %%}\n' >own.jinja
printf '{%% for m in messages %%}{%% if m.role == "x" %%}{{ raise_exception("no x") }}{%% endif %%}{{ m.content|tojson }}{%% endfor %%}{{ strftime_now("%%d %%b %%Y") }}' >lines.jinja

# --- template
turns=$'<|turn|>system\nBe brief.<|end|>\n<|turn|>user\nHello<|end|>\n<|turn|>assistant'
is "$("$lizzie" template model Hello --system 'Be brief.')" "$turns" "PROMPT and --system"
is "$(echo ' [{"role":"user","content":"a"}] ' | "$lizzie" template own.jinja)" "[user]a" "messages from standard input"
printf 'template=./own.jinja\n' >owner
is "$("$lizzie" template owner Hi)" "<s>[user]Hi" "the model's tokens"
printf '{{ bos_token is defined }} {{ eos_token is defined }}' >asks.jinja
printf 'template=./asks.jinja\n' >asker
is "$(echo '{}' | "$lizzie" template asks.jinja --jsonl)" '{"text":"False False"}' "a template by itself has no tokens"
is "$(echo '{}' | "$lizzie" template asker --jsonl)" '{"text":"True True"}' "that of a model has its tokens"
echo '{"messages":[{"role":"user","content":"a"}],"bos_token":"B"}' >vars.json
is "$("$lizzie" template own.jinja --messages vars.json)" "B[user]a" "variables from a file"
is "$("$lizzie" template own.jinja Hi --json)" '{"text":"[user]Hi"}' "--json"
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
for word in /quit /bye; do
    chat "$word"$'\nnever !echo!'
    is "$(cat status)$(grep -c '<|turn|>' plain-screen)" 00 "$word"
done
chat '/help' '/exit'
for word in '/system TEXT' '/set NAME VALUE' /clear '/save FILE' '/load FILE' /exit Ctrl-D Ctrl-C; do
    has "$(cat plain-screen)" "$word" "/help tells of $word"
done
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
# --- /set
said() { grep -A 1 -F "> $1" plain-screen | sed -n 2p; } # what the chat said to a line
chat '/set n 3' '/set foo 1' '/set tempretur 1' '/set top-p 1e-9' '/set stop-token two words' '/set logit-bias 99999:1' \
    '/set ignore-eos maybe' '/set' '/exit'
is "$(said '/set n 3')" "lizzie: n: cannot be set in a chat: /set shows what can" "an option that a chat cannot change"
is "$(said '/set foo 1')" "lizzie: foo: is not an option: /set shows what can be set" "one that is none"
is "$(said '/set tempretur 1')" "lizzie: tempretur: is not an option: did you mean temperature?" "one that is misspelt"
has "$(said '/set top-p 1e-9')" "top_p is 1e-09: it must be" "a value that no answer can be made with"
has "$(said '/set stop-token two words')" 'token "two words": is 9 tokens' "a token that is none"
has "$(said '/set logit-bias 99999:1')" "token 99999: the vocabulary ends at" "a bias beyond the vocabulary"
has "$(said '/set ignore-eos maybe')" "it wants on or off" "a flag that is neither on nor off"
unset_options='max-tokens stop stop-token ignore-eos temperature top-k top-p min-p typical dry-sequence-breaker logit-bias'
for name in $unset_options; do
    has "$(cat plain-screen)" "
  $name (not set)" "none of it is kept: $name"
done
chat '/set stop e !e' '/set stop zz' '/set stop-token 258' '/set logit-bias 65:-2' '/set logit-bias 66:-inf' '/set ignore-eos on' \
    '/set dry-sequence-breaker none' '/set' 'one !echo!' '/save stop.json' '/exit'
is "$(sed -n 's/^  \(stop\|logit-bias\|ignore-eos\|stop-token\|dry-seq.*\) /\1 /p' plain-screen | tr '\n' ,)" \
    "stop e !e,stop zz,stop-token 258,ignore-eos on,dry-sequence-breaker none,logit-bias 65:-2,logit-bias 66:-inf," "/set shows what it was given"
has "$(cat stop.json)" '{"role":"assistant","content":""}' "a token ends the answer"
chat '/set stop-token 258' '/set stop zz' '/set stop e !e' '/set stop-token' '/set' 'one !echo!' '/save stop.json' '/set stop' \
    '/set' '/clear' 'two e !echo!' '/save more.json' '/exit'
has "$(cat stop.json)" '<|turn|>user\non"}' "a text ends the answer, and without a value a list is empty again"
has "$(cat more.json)" '<|turn|>user\ntwo e !echo!<|end|>' "also that of texts"
is "$(grep -c 'stop (not set)' plain-screen)" 1 "which /set shows"
chat_options='--choices yes,no'
chat '/set stop x' '/exit'
has "$(said '/set stop x')" "--choices: do not go together with --stop" "what does not go with an option of the program"
chat_options="--system 'Be kind.'"

printf 'template=1\nstep_us=2000\n' >model # so that there is a middle
chat 'go !long!' ^C '/save stopped.json' '/exit'
is "$(cat status)" 0 "Ctrl-C stops the answer, not the program"
has "$(cat stopped.json 2>/dev/null)" '{"role":"assistant","content":"' "and what came of it is kept"
tap_end
