#!/usr/bin/env bash
# The test runner must not be fooled: programs that fail in every way there is, under scripts/run-tests.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
ok() { echo "ok $((++n)) - $1"; }
not_ok() { echo "not ok $((++n)) - $1" && sed 's/^/# /' "$dir/out"; }

# program NAME: a built test from standard input.
program() {
    mkdir -p "$dir/build/tests/room" "$dir/tests/room"
    touch "$dir/tests/room/$1.c"
    { echo '#!/bin/sh' && cat; } >"$dir/build/tests/room/$1"
    chmod +x "$dir/build/tests/room/$1"
}

# expect TEXT NAME: runs what was written, looks for TEXT and for the last line; then forgets the programs.
expect() {
    scripts/run-tests --build "$dir/build" --tests "$dir/tests" --limit 2 "${@:4}" >"$dir/out" 2>&1
    local rc=$?
    if grep -qF -- "$1" "$dir/out" && [ "$(tail -n 1 "$dir/out")" = "$2" ] &&
        [ $rc -eq "$([[ $2 == *" 0 failed"* ]] && echo 0 || echo 1)" ]; then ok "$3"; else not_ok "$3"; fi
    rm -rf "$dir/build" "$dir/tests"
}

echo 1..16

program test_a <<<'printf "1..2\nok 1 - x\nok 2 - y\n# ok - tests\n"'
expect 'room/test_a' '2 passed, 0 failed, 0 skipped' 'all pass'

program test_a <<<'printf "1..2\nok 1 - x\nnot ok 2 - y\n# 1 is not 2\n"; exit 1'
expect '# 1 is not 2' '1 passed, 1 failed, 0 skipped' 'a failure is shown with its output'

program test_a <<<'printf "# SKIPPED: no model here\n" >&2; printf "1..2\nok 1 - x\nnot ok 2 # SKIP y\n"'
expect 'SKIPPED room/test_a: y: no model here' '1 passed, 0 failed, 1 skipped' 'a skip of cmocka, with its reason'

program test_a <<<'printf "1..2\nok 1 - x # SKIP no network\nok 2 - y\n"'
expect 'SKIPPED room/test_a: x: no network' '1 passed, 0 failed, 1 skipped' 'a skip of TAP, with its reason'

program test_a <<<'echo "1..0 # SKIP nothing to do here"'
expect 'SKIPPED room/test_a: all: nothing to do here' '0 passed, 0 failed, 1 skipped' 'a program that skips all'

program test_a <<<'printf "1..2\nok 1 - x\n"; kill -SEGV $$'
expect 'ended by signal 11' '1 passed, 1 failed, 0 skipped' 'a crash after a pass'

program test_a <<<'exit 0'
expect 'printed no test plan' '0 passed, 1 failed, 0 skipped' 'silence'

program test_a <<<'echo 1..0'
expect 'ran no test' '0 passed, 1 failed, 0 skipped' 'a plan of nothing'

program test_a <<<'printf "1..3\nok 1 - x\nok 2 - y\n"'
expect 'planned 3 tests, but 2 gave a result' '2 passed, 1 failed, 0 skipped' 'fewer results than planned'

program test_a <<<'printf "1..1\nok 1 - x\n"; exit 3'
expect 'exit status 3' '1 passed, 1 failed, 0 skipped' 'a bad exit status after passes (a leak, say)'

program test_a <<<'printf "1..1\nBail out! no cases\n"'
expect 'Bail out! no cases' '0 passed, 2 failed, 0 skipped' 'bailing out'

program test_a <<<'printf "1..1\nok 1 - x\n"; sleep 30'
expect 'took longer than 2 s' '1 passed, 1 failed, 0 skipped' 'hanging'

mkdir -p "$dir/tests/room" && touch "$dir/tests/room/test_a.c"
expect 'exit status 127' '0 passed, 1 failed, 0 skipped' 'a program that was not built'

mkdir -p "$dir/tests"
expect '0 of 0 programs ran' '0 passed, 1 failed, 0 skipped' 'no tests at all'

mkdir -p "$dir/tests/room" && printf 'echo 1..1; echo ok 1 - $(basename $BUILD)' >"$dir/tests/room/test_b.sh"
program test_a <<<'printf "1..1\nok 1 - x\n"'
expect 'room/test_b.sh' '2 passed, 0 failed, 0 skipped' 'a script beside a program'

program test_a <<<'printf "1..1\nok 1 - x\n"'
program test_b_slow <<<'printf "1..1\nnot ok 1 - x\n"'
expect 'room/test_a' '1 passed, 0 failed, 0 skipped' '--quick leaves out the slow ones' --quick
