// compare.mjs - Lizzie and llama.cpp on the same file, turn by turn, and the ratios.
//
//   node compare.mjs MODEL [--rounds N] [--threads N] [--sequences 1,8,32] [--isa amx,avx512,avx2] [--prefill N]
//                    [--depth N] [--steps N] [--rows N] [--build DIR] [--own] [--plot F.svg]
//                    [--warm GIB]
//
// The machine's speed drifts, so the two run alternately, a process each, `rounds` times, and each ratio is taken within
// a round. The table gives medians over the rounds and the lowest and highest of the ratios. Its line `decode 32, against
// the best` holds Lizzie's most sequences against whatever number suits llama.cpp best; so does `line`, the rows that
// either works through (--rows; 0 leaves it out). --isa (all that the machine has)
// caps both: Lizzie through LIZZIE_ISA, llama.cpp through the CPU variant it may load; that each used what it was told is
// checked. With --own llama.cpp picks its variant itself, which the table then names. With --plot Lizzie runs once more,
// on the last of these, and draws its curve of decode beside llama.cpp's. --warm touches so much memory before each
// process: a virtual machine's host may hand out memory at 0.5 GB/s a core, which then is all that `open` shows. Lizzie
// is timed by `lizzie bench`, llama.cpp by llamacpp.mjs, which prints the same members.
import { execFileSync } from "node:child_process";
import { readFileSync, unlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

const here = path.dirname(new URL(import.meta.url).pathname);
const passed = { threads: "2", sequences: "1,2,4,8,16,32", prefill: "512", depth: "64", steps: "24", rows: "64" };
const usage = "usage: node compare.mjs MODEL [--rounds N] [--threads N] [--sequences 1,8,32] [--isa amx,avx512,avx2]";

function fail(message) {
    console.error(message);
    process.exit(2);
}

function readOptions() {
    try {
        return parseArgs({
            allowPositionals: true,
            options: {
                ...Object.fromEntries(Object.entries(passed).map(([name, value]) => [name, { type: "string", default: value }])),
                rounds: { type: "string", default: "5" },
                isa: { type: "string" },
                own: { type: "boolean", default: false },
                plot: { type: "string" },
                warm: { type: "string", default: "0" },
                build: { type: "string", default: path.join(here, "..", "..", "build") },
            },
        });
    } catch (error) {
        return fail(`compare: ${error.message}\n${usage}`);
    }
}

const { values: options, positionals } = readOptions();
if (positionals.length !== 1) fail(usage);

// A tier of Lizzie, the CPU variant of llama.cpp for the same instructions, and the flag by which a machine has them.
const tiers = {
    amx: { variant: "sapphirerapids", flag: "amx_int8" },
    avx512: { variant: "icelake", flag: "avx512_vnni" },
    avx2: { variant: "haswell", flag: "avx2" },
    c: { variant: "x64", flag: "sse2" },
};
const flags = new Set(readFileSync("/proc/cpuinfo", "utf8").match(/^flags\s*:(.*)$/m)?.[1].split(" "));
const isas = options.isa?.split(",") ?? Object.keys(tiers).filter((isa) => isa !== "c" && flags.has(tiers[isa].flag));
for (const isa of isas) {
    if (isa in tiers && flags.has(tiers[isa].flag)) continue;
    fail(`compare: --isa ${isa}: is not one that this machine has of ${Object.keys(tiers).join(", ")}`);
}
if (!(Number(options.warm) >= 0)) fail(`compare: --warm ${options.warm}: is not a number of GiB`);
const common = [positionals[0], ...Object.keys(passed).flatMap((name) => [`--${name}`, options[name]])];

// For a process of its own, at whose end the memory is free again.
const touchMemory = "for (let i = 0, kept = []; i < Number(process.argv[1]); i++) kept.push(Buffer.alloc(2 ** 30, 1));";

function runJson(command, args, env, variant) {
    if (Number(options.warm) > 0) execFileSync(process.execPath, ["-e", touchMemory, options.warm]);
    const output = execFileSync(command, args, { env: { ...process.env, ...env }, maxBuffer: 1 << 24 });
    const result = JSON.parse(output.toString());
    if (variant !== undefined && result.variant !== variant) throw new Error(`${result.engine} used ${result.variant} when told ${variant}`);
    return result;
}

const runOurs = (isa, more = []) =>
    runJson(
        path.join(options.build, "lizzie"),
        ["bench", ...common, "--repeat", "1", "--json", ...more],
        { LIZZIE_ISA: isa },
        isa,
    );
const runTheirs = (isa) => {
    const variant = options.own ? undefined : tiers[isa].variant;
    const told = options.own ? [] : ["--variant", variant];
    return runJson(process.execPath, [path.join(here, "llamacpp.mjs"), ...common, ...told], {}, variant);
};

const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const mid = sorted.length >> 1;
    return sorted.length % 2 ? sorted[mid] : (sorted[mid - 1] + sorted[mid]) / 2;
};
const figure = (name) => (result) => median(result.figures[name].values);
const counts = options.sequences.split(",");
const most = figure(`decode ${counts.at(-1)}`);
const best = (name) => (result) => Math.max(...counts.map((n) => figure(`${name} ${n}`)(result)));

// What is compared: a name, how to read it from a result, whether more is better, and how to read the other's.
const measures = [
    ["prefill, tok/s", figure("prefill"), true],
    ...counts.map((n) => [`decode ${n}, tok/s`, figure(`decode ${n}`), true]),
    [`decode ${counts.at(-1)}, against the best, tok/s`, most, true, best("decode")],
    ...(options.rows === "0" ? [] : [["line, rows/s", figure("line"), true, best("line")]]),
    ["open, s", figure("open"), false],
    ["open and first token, s", figure("first token"), false],
    ["peak during open, MiB", (r) => r.open_peak_bytes / 2 ** 20, false],
    ["peak, MiB", (r) => r.peak_bytes / 2 ** 20, false],
];

const rounds = Object.fromEntries(isas.map((isa) => [isa, []]));
for (let i = 0; i < Number(options.rounds); i++) {
    for (const isa of isas) {
        const first = i % 2 === 0; // who begins changes too
        const a = first ? runOurs(isa) : runTheirs(isa);
        const b = first ? runTheirs(isa) : runOurs(isa);
        rounds[isa].push(first ? { ours: a, theirs: b } : { ours: b, theirs: a });
    }
    process.stderr.write(`round ${i + 1} of ${options.rounds}\n`);
}

if (options.plot !== undefined) {
    const beside = `${options.plot}.json`;
    writeFileSync(beside, JSON.stringify(rounds[isas.at(-1)].at(-1).theirs));
    runOurs(isas.at(-1), ["--plot", options.plot, "--beside", beside]);
    unlinkSync(beside);
}

const { model, machine } = rounds[isas[0]][0].ours;
const picked = options.own ? `; llama.cpp picked ${rounds[isas[0]][0].theirs.variant}` : "";
console.log(`${model}, ${options.threads} threads, ${options.rounds} rounds; ${machine.cpu}${picked}`);
console.log();
console.log("| | | Lizzie | of the limit | llama.cpp | times as good | spread |");
console.log("|---|---|---|---|---|---|---|");
const show = (value) => (value < 10 ? value.toFixed(2) : value.toFixed(1));
// The share of what the machine allows that Lizzie reached, where the measure is a figure of its own.
const share = (name, results) => {
    const shares = results.map(({ ours }) => ours.figures[name]?.share).filter((x) => x !== undefined);
    return shares.length ? `${(100 * median(shares)).toFixed(0)} %` : "";
};
for (const isa of isas) {
    for (const [name, read, moreIsBetter, readTheirs = read] of measures) {
        const ratios = rounds[isa].map(({ ours, theirs }) =>
            moreIsBetter ? read(ours) / readTheirs(theirs) : readTheirs(theirs) / read(ours),
        );
        const cells = [
            isa,
            name,
            show(median(rounds[isa].map(({ ours }) => read(ours)))),
            share(name.split(", ").slice(0, -1).join(", "), rounds[isa]),
            show(median(rounds[isa].map(({ theirs }) => readTheirs(theirs)))),
            median(ratios).toFixed(2),
            `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`,
        ];
        console.log(`| ${cells.join(" | ")} |`);
    }
}
const rates = isas.map((isa) => {
    const { read_bytes_s: read, int8_ops_s: int8, bf16_ops_s: bf16 } = rounds[isa].at(-1).ours.machine;
    return `${isa} ${(read / 1e9).toFixed(1)} GB/s, ${(int8 / 1e12).toFixed(2)} TOPS int8, ${(bf16 / 1e12).toFixed(2)} bf16`;
});
console.log(`\nThe machine itself: ${rates.join("; ")}.`);
