# terminal.sh - for shell tests: someone who types at the chat, by script(1). After tap.sh and tap_folder; `lizzie` is the
# program. The file "screen" is what the terminal got, "plain-screen" the same without carriage returns, "status" the
# exit code. `chat_env` is set for the program, `chat_options` are given to it.
chat_env=(TERM=dumb)
chat_options="--system 'Be kind.'"

# Waits until COMMAND works, ten seconds at most.
until_it() {
    for _ in $(seq 200); do
        "$@" && return
        sleep 0.05
    done
}
prompted() { tail -c 2 screen | grep -q '[>.] $'; }
answering() { [ "$(($(stat -c %s screen) - typed))" -gt 200 ]; }

# Types lines at a terminal, each when the prompt is there again; ^C stands for an interrupt in the middle of an answer.
# A shell that stays would get the interrupt too, and some then exit with 130 whatever the program did.
chat() {
    : >screen
    {
        for line in "$@"; do
            if [ "$line" = ^C ]; then
                until_it answering
                printf '\003'
                continue
            fi
            until_it prompted
            typed=$(stat -c %s screen)
            printf '%s\n' "$line"
            sleep 0.15
        done
    } | env "${chat_env[@]}" timeout 60 script -qefc "exec $lizzie run model $chat_options" screen >/dev/null 2>&1
    echo $? >status
    tr -d '\r' <screen >plain-screen
}
