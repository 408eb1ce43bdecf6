// compare.mjs - Lizzie and llama.cpp on the same file, turn by turn, and the ratios.
//
//   node compare.mjs MODEL [--rounds N] [--threads N] [--sequences 1,8,32] [--isa TIER] [--build DIR]
//
// The machine's speed drifts, so the two run alternately, a process each, `rounds` times, and each ratio is taken within
// a round. The table gives medians over the rounds and the lowest and highest of the ratios. Its line `decode 32, against
// the best` holds Lizzie's most sequences against whatever number suits llama.cpp best. --isa caps both: Lizzie through
// LIZZIE_ISA, llama.cpp through the CPU variant it may load.
import { execFileSync } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";

const here = path.dirname(new URL(import.meta.url).pathname);
const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        rounds: { type: "string", default: "5" },
        threads: { type: "string", default: "2" },
        sequences: { type: "string", default: "1,2,4,8,16,32" },
        isa: { type: "string" },
        build: { type: "string", default: path.join(here, "..", "..", "build") },
    },
});
if (positionals.length !== 1) {
    console.error("usage: node compare.mjs MODEL [--rounds N] [--threads N] [--sequences 1,8,32] [--isa TIER]");
    process.exit(2);
}
const variants = { c: "x64", avx2: "haswell", avx512: "icelake", amx: "sapphirerapids" };
if (options.isa !== undefined && !(options.isa in variants)) {
    console.error(`compare: --isa ${options.isa} is none of ${Object.keys(variants).join(", ")}`);
    process.exit(2);
}
const model = positionals[0];
const common = [model, "--threads", options.threads, "--sequences", options.sequences];

function runJson(command, args, env = {}) {
    const output = execFileSync(command, args, { env: { ...process.env, ...env }, maxBuffer: 1 << 24 });
    return JSON.parse(output.toString());
}

const runOurs = () =>
    runJson(path.join(options.build, "bench", "bench_engine"), common, options.isa ? { LIZZIE_ISA: options.isa } : {});
const runTheirs = () =>
    runJson(process.execPath, [
        path.join(here, "llamacpp.mjs"),
        ...common,
        ...(options.isa ? ["--variant", variants[options.isa]] : []),
    ]);

const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const mid = sorted.length >> 1;
    return sorted.length % 2 ? sorted[mid] : (sorted[mid - 1] + sorted[mid]) / 2;
};
const best = (result) => Math.max(...Object.values(result.decode_tok_s).map(median));

const counts = options.sequences.split(",");
const most = (result) => median(result.decode_tok_s[counts.at(-1)]);

// What is compared: a name, how to read it from a result, whether more is better, and how to read the other's.
const measures = [
    ["prefill, tok/s", (r) => median(r.prefill_tok_s), true],
    ...counts.map((n) => [`decode ${n}, tok/s`, (r) => median(r.decode_tok_s[n]), true]),
    [`decode ${counts.at(-1)}, against the best, tok/s`, most, true, best],
    ["open, s", (r) => r.open_s, false],
    ["open and first token, s", (r) => r.first_token_s, false],
    ["peak during open, MiB", (r) => r.open_peak_bytes / 2 ** 20, false],
    ["peak, MiB", (r) => r.peak_bytes / 2 ** 20, false],
];

const rounds = [];
for (let i = 0; i < Number(options.rounds); i++) {
    const first = i % 2 === 0; // who begins changes too
    const a = first ? runOurs() : runTheirs();
    const b = first ? runTheirs() : runOurs();
    rounds.push(first ? { ours: a, theirs: b } : { ours: b, theirs: a });
    process.stderr.write(`round ${i + 1} of ${options.rounds}\n`);
}

const { ours, theirs } = rounds[0];
console.log(`${ours.model}, ${options.threads} threads, ${rounds.length} rounds: Lizzie (${ours.variant}), llama.cpp (${theirs.variant})`);
console.log();
console.log("| | Lizzie | llama.cpp | times as good | spread |");
console.log("|---|---|---|---|---|");
for (const [name, read, moreIsBetter, readTheirs = read] of measures) {
    const ratios = rounds.map(({ ours, theirs }) =>
        moreIsBetter ? read(ours) / readTheirs(theirs) : readTheirs(theirs) / read(ours),
    );
    const show = (value) => (value < 10 ? value.toFixed(2) : value.toFixed(1));
    const cells = [
        show(median(rounds.map(({ ours }) => read(ours)))),
        show(median(rounds.map(({ theirs }) => readTheirs(theirs)))),
        median(ratios).toFixed(2),
        `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`,
    ];
    console.log(`| ${name} | ${cells.join(" | ")} |`);
}
