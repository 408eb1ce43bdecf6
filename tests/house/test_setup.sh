#!/usr/bin/env bash
# scripts/setup against a package manager that only pretends: what it calls, and when it calls nothing.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
mkdir "$dir/bin"
fake() { { echo '#!/bin/bash' && cat; } >"$dir/bin/$1" && chmod +x "$dir/bin/$1"; }
fake dpkg-query <<<'[[ " $MISSING " == *" ${@: -1} "* ]] && exit 1; echo "install ok installed"'
fake apt-get <<<'echo "apt-get $*" >>"$LOG"; [[ $1 == install && -n $STALE && ! -e $LOG.updated ]] && exit 100
[[ $1 == update ]] && touch "$LOG.updated"; exit 0'
fake id <<<'echo "${FAKE_UID:-0}"'
fake sudo <<<'echo "sudo" >>"$LOG"; exec "$@"'

# setup NAME EXPECTED_STATUS EXPECTED_CALLS [VARIABLE=VALUE...]: what was called, on one line.
setup() {
    local name=$1 status=$2 calls=$3 got
    shift 3
    rm -f "$dir/log" "$dir/log.updated"
    env PATH="$dir/bin:$PATH" LOG="$dir/log" MISSING= STALE= "$@" bash scripts/setup >"$dir/out" 2>&1
    got=$?
    [ "$got" -eq "$status" ] && [ "$(tr '\n' ';' 2>/dev/null <"$dir/log")" = "$calls" ] || printf 'not '
    echo "ok $((++n)) - $name"
}

install='apt-get install -y -q --no-install-recommends'
echo 1..6
setup 'nothing is missing: nothing is called' 0 '' 2>/dev/null
[ ! -s "$dir/out" ] || printf 'not '
echo "ok $((++n)) - and nothing is said"
setup 'what is missing is installed, nothing else' 0 "$install make libpcre2-dev;" 'MISSING=libpcre2-dev make'
setup 'stale package lists are fetched anew' 0 "$install make;apt-get update -q;$install make;" MISSING=make STALE=1
setup 'without root, through sudo' 0 "sudo;$install make;" MISSING=make FAKE_UID=1000
rm "$dir/bin/sudo"
mkdir "$dir/tools" && for tool in bash env grep; do ln -s "$(command -v $tool)" "$dir/tools/"; done
rm -f "$dir/log"
PATH="$dir/bin:$dir/tools" LOG=$dir/log MISSING=make STALE= FAKE_UID=1000 bash scripts/setup >"$dir/out" 2>&1
[ $? -eq 1 ] && grep -q 'apt-get install make' "$dir/out" && [ ! -e "$dir/log" ] || printf 'not '
echo "ok $((++n)) - without root and sudo it says what to run"
