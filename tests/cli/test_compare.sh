#!/usr/bin/env bash
# test_compare.sh - what bench/peers/compare.mjs makes of two programs' numbers: ratios within each round, their median
# and spread, and that a program which did not use what it was told is refused. Both programs are stand-ins that print
# what is written here.
set -u
. tests/lib/tap.sh
tap_folder
root=$PWD
if ! command -v node >/dev/null || ! grep -qw sse2 /proc/cpuinfo; then
    skipped "the comparison with llama.cpp" "there is no node, or the machine is no x86"
    tap_end
    exit
fi
cp bench/peers/compare.mjs "$tap_dir"
cd "$tap_dir" || exit 1
mkdir build
cat >build/lizzie <<'END'
#!/usr/bin/env bash
cd "$(dirname "$0")/.." || exit 1
echo "ours $LIZZIE_ISA $*" >>calls
sed -n "$(grep -c ^ours calls)p" ours
END
chmod +x build/lizzie
cat >llamacpp.mjs <<'END'
import { appendFileSync, readFileSync } from "node:fs";
appendFileSync("calls", `theirs ${process.argv.slice(2).join(" ")}\n`);
const n = readFileSync("calls", "utf8").split("\n").filter((line) => line.startsWith("theirs")).length;
console.log(readFileSync("theirs", "utf8").split("\n")[n - 1]);
END

# result ENGINE VARIANT PREFILL DECODE_1 DECODE_2 OPEN PEAK: a line as both print it.
result() {
    local figure='{"values":[%s],"share":0.5}'
    printf '{"engine":"%s","model":"m","variant":"%s","machine":{"cpu":"CPU","read_bytes_s":2e10,"int8_ops_s":3e12,"bf16_ops_s":1e12},' "$1" "$2"
    # shellcheck disable=SC2059
    printf "\"figures\":{\"prefill\":$figure,\"decode 1\":$figure,\"decode 2\":$figure,\"open\":$figure,\"first token\":$figure}," "$3" "$4" "$5" "$6" "$6"
    printf '"open_peak_bytes":%s,"peak_bytes":%s}\n' "$7" "$7"
}
compare() {
    rm -f calls
    node compare.mjs m.gguf --build build --isa c --sequences 1,2 --rows 0 "$@" >out 2>err
}
row() { sed -n "s/^| c | $1 | //p" out; }

for prefill in 100 400 200; do result Lizzie c "$prefill" 10,30,20 40 2 1048576; done >ours
for prefill in 20 100 200; do result llama.cpp x64 "$prefill" 10 80 1 4194304; done >theirs
compare --rounds 3
is "$?" 0 "three rounds"
is "$(row 'prefill, tok\/s')" "200.0 | 50 % | 100.0 | 4.00 | 1.00-5.00 |" "each ratio within its round, their median and spread"
is "$(row 'decode 1, tok\/s')" "20.0 | 50 % | 10.0 | 2.00 | 2.00-2.00 |" "the median of a figure's own values"
is "$(row 'decode 2, against the best, tok\/s')" "40.0 |  | 80.0 | 0.50 | 0.50-0.50 |" "the most sequences against what suits the other best"
is "$(row 'open, s')" "2.00 | 50 % | 1.00 | 0.50 | 0.50-0.50 |" "of times less is better"
is "$(row 'peak, MiB')" "1.00 |  | 4.00 | 4.00 | 4.00-4.00 |" "of memory too"
has "$(cat out)" "m, 2 threads, 3 rounds; CPU" "model, threads, machine"
is "$(cut -d ' ' -f 1 calls | tr '\n' ' ')" "ours theirs theirs ours ours theirs " "who begins changes from round to round"
is "$(grep -c '^theirs m.gguf .*--variant x64$' calls)/$(grep -c '^ours c bench m.gguf' calls)" 3/3 "both are told what to use"
sed -i '2s/"variant":"x64"/"variant":"haswell"/' theirs
compare --rounds 2
is "$?" 1 "a variant of llama.cpp that was not asked for"
has "$(cat err)" "llama.cpp used haswell when told x64" "is named"
is "$(cat out)" "" "and there is no table"
compare --rounds 1 --own
is "$?$(head -n 1 out)" "0m, 2 threads, 1 rounds; CPU; llama.cpp picked x64" "--own: its own choice, named"
sed -i '1s/"variant":"c"/"variant":"avx2"/' ours
compare --rounds 1
is "$?" 1 "a tier of Lizzie that was not asked for"
has "$(cat err)" "Lizzie used avx2 when told c" "is named"
for args in '--isa sse' '--warm -1' '--rounds'; do
    # shellcheck disable=SC2086
    compare $args
    is "$?" 2 "$args is refused"
done
# --- bench/peers/run, what `make bench-peers` calls, with npm's packages there
mkdir -p repo/bench/peers/node_modules/@node-llama-cpp repo/build/bench
cp "$root/bench/peers/run" repo/bench/peers
echo 'console.log(process.argv.slice(2).join(" "));' >repo/bench/peers/compare.mjs
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "$1 $2" >"$3"\n' >repo/build/bench/write_model
chmod +x repo/build/bench/write_model
is "$(repo/bench/peers/run m.gguf --rounds 2)" "m.gguf --rounds 2" "a model and arguments go to compare.mjs"
peers=$(cd repo/bench/peers && pwd)
is "$(repo/bench/peers/run --isa avx2)" "$peers/../llama-3.2-1b-Q4_0.gguf --isa avx2

$peers/../llama-3.2-1b-Q4_K.gguf --isa avx2" "without a model: two"
is "$(cat repo/bench/llama-3.2-1b-Q4_?.gguf)" "llama-3.2-1b Q4_0
llama-3.2-1b Q4_K" "which are written first"
tap_end
