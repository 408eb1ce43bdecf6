#!/usr/bin/env bash
# test_kill_engine.sh - test_kill.sh on the real engine, with a random-weight model of bench/.
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$BUILD/bench/write_model" tiny-gqa Q4_K "$dir/model.gguf" >/dev/null 2>&1 || exit 1
KILL_PROGRAM=$BUILD/lizzie KILL_MODEL=$dir/model.gguf KILLS=${KILLS:-$([ "${LIZZIE_TEST_LONG:-0}" = 1 ] && echo 100 || echo 5)} \
    KILL_ARGS='--prompt Say:{{text}} --max-tokens 48 --parallel 8 --temperature 0.8 --seed 11' bash tests/cli/test_kill.sh
