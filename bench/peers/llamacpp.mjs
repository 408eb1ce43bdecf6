// llamacpp.mjs - how fast llama.cpp is on a GGUF file, measured around llama_decode alone.
//
//   node llamacpp.mjs MODEL [--threads N] [--prefill N] [--depth N] [--steps N] [--sequences 1,2,4] [--repeat N]
//                     [--rows N] [--variant NAME]
//   node llamacpp.mjs MODEL --tokenize <TEXTS.jsonl     what `lizzie tokenize MODEL --jsonl` prints, by llama.cpp
//
// It calls the compiled binding of node-llama-cpp directly: fill a batch with token ids, decode it, nothing sampled, no
// text made. Tokens are random but the same every time. A sequence stands at `depth` tokens when decoding begins, and
// `steps` batches of one token a sequence are timed together. With `rows` the work of `lizzie bench`'s line is done too, for
// each number of sequences: rows of 100 tokens after 500 that they share, 40 tokens out, the shared ones computed once and
// copied. Prints one JSON object with members of `lizzie bench --json`.
// llama.cpp picks the best of the CPU variants in its folder; `variant` says which. --variant haswell (AVX2), icelake
// (AVX-512) or another of those in the package leaves it only that one.
import { createRequire } from "node:module";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        threads: { type: "string", default: "2" },
        prefill: { type: "string", default: "512" },
        depth: { type: "string", default: "64" },
        steps: { type: "string", default: "24" },
        sequences: { type: "string", default: "1,2,4,8,16,32" },
        repeat: { type: "string", default: "1" },
        rows: { type: "string", default: "0" },
        variant: { type: "string" },
        tokenize: { type: "boolean", default: false },
    },
});
if (positionals.length !== 1) {
    console.error("usage: node llamacpp.mjs MODEL [--threads N] [--prefill N] [--depth N] [--steps N] [--sequences 1,2,4]");
    process.exit(2);
}
const number = (name) => Number.parseInt(options[name], 10);
const sequences = options.sequences.split(",").filter((n) => n !== "").map(Number);
const nBatch = 512; // llama.cpp's own default for the part of a batch that it computes at once

const require = createRequire(import.meta.url);
const folder = path.join(path.dirname(require.resolve("@node-llama-cpp/linux-x64")), "..", "bins", "linux-x64");

// The folder that llama.cpp finds its CPU variants in: its own, or one that holds only the variant asked for.
function variantFolder() {
    if (options.variant === undefined) return folder;
    const library = `libggml-cpu-${options.variant}.so`;
    if (!existsSync(path.join(folder, library))) throw new Error(`${folder} has no ${library}`);
    const only = mkdtempSync(path.join(tmpdir(), "llamacpp-"));
    process.on("exit", () => rmSync(only, { recursive: true }));
    copyFileSync(path.join(folder, library), path.join(only, library));
    return only;
}

const log = [];
function loadBinding() {
    const binding = require(path.join(folder, "llama-addon.node"));
    binding.markLoaded();
    binding.setLogger((_level, text) => log.push(text));
    binding.setLoggerLogLevel(6);
    binding.loadBackends(variantFolder());
    return binding;
}

const seconds = () => Number(process.hrtime.bigint()) / 1e9;
const none = new Uint32Array();

// A small generator, so that a run can be repeated. Every model has this many tokens; which they are does not matter.
const nTokens = 500;
let state = 1;
const randomTokens = (n) => Uint32Array.from({ length: n }, () => (state = (state * 48271) % 2147483647) % nTokens);

async function openContext(model, nSequences, perSequence) {
    const context = new binding.AddonContext(model, {
        contextSize: nSequences * perSequence,
        batchSize: nBatch,
        sequences: nSequences,
        threads: number("threads"),
        flashAttention: "auto",
    });
    if (!(await context.init())) throw new Error("the context cannot be made");
    return context;
}

// Computes tokens of one sequence from position `at` on, in batches; logits of the very last one only.
async function feed(context, sequence, at, tokens) {
    for (let i = 0; i < tokens.length; i += nBatch) {
        const part = tokens.slice(i, i + nBatch);
        const isLast = i + part.length === tokens.length;
        context.initBatch(part.length);
        context.addToBatch(sequence, at + i, part, isLast ? Uint32Array.of(part.length - 1) : none);
        await context.decodeBatch();
    }
}

async function measurePrefill(model) {
    const context = await openContext(model, 1, number("prefill") + 64);
    const speeds = [];
    for (let round = 0; round <= number("repeat"); round++) {
        const begin = seconds();
        await feed(context, 0, 0, randomTokens(number("prefill")));
        if (round > 0) speeds.push(number("prefill") / (seconds() - begin)); // the first round warms up
        context.disposeSequence(0);
    }
    await context.dispose();
    return speeds;
}

async function step(context, n, at) {
    context.initBatch(n);
    for (let s = 0; s < n; s++) context.addToBatch(s, at, randomTokens(1), Uint32Array.of(0));
    await context.decodeBatch();
}

async function measureDecode(model, n) {
    const depth = number("depth");
    const context = await openContext(model, n, depth + (number("repeat") + 1) * number("steps") + 64);
    for (let s = 0; s < n; s++) await feed(context, s, 0, randomTokens(depth));
    const speeds = [];
    let at = depth;
    for (let i = 0; i < 3; i++) await step(context, n, at++); // warms up
    for (let round = 0; round < number("repeat"); round++) {
        const begin = seconds();
        for (let i = 0; i < number("steps"); i++) await step(context, n, at++);
        speeds.push((n * number("steps")) / (seconds() - begin));
    }
    await context.dispose();
    return speeds;
}

// The line of `lizzie bench`, without its texts and files: rows join in waves of `n`, as long as each other, so that every
// batch of theirs is full.
const line = { shared: 500, row: 100, out: 40 };

// What the rows of a wave have of their own: one batch after the other, filled across rows; logits of each row's last.
async function feedRows(context, n) {
    for (let begin = 0; begin < n * line.row; begin += nBatch) {
        const end = Math.min(begin + nBatch, n * line.row);
        context.initBatch(end - begin);
        for (let at = begin; at < end; ) {
            const row = Math.floor(at / line.row);
            const stop = Math.min(end, (row + 1) * line.row);
            const isLast = stop === (row + 1) * line.row;
            const logits = isLast ? Uint32Array.of(stop - at - 1) : none;
            context.addToBatch(row, line.shared + at - row * line.row, randomTokens(stop - at), logits);
            at = stop;
        }
        await context.decodeBatch();
    }
}

async function measureLine(model, n) {
    const context = await openContext(model, n, line.shared + line.row + line.out + 16);
    const rows = number("rows");
    const begin = seconds();
    await feed(context, 0, 0, randomTokens(line.shared));
    for (let s = 1; s < n; s++) await context.copySequenceStateFromOtherSequence(s, 0);
    for (let done = 0; done < rows; done += n) {
        const together = Math.min(n, rows - done);
        await feedRows(context, together);
        for (let i = 1; i < line.out; i++) await step(context, together, line.shared + line.row + i - 1);
        for (let s = 0; s < n; s++) await context.removeTokenCellsFromSequence(s, line.shared, -1);
    }
    const speed = rows / (seconds() - begin);
    await context.dispose();
    return [speed];
}

// Opening until the first token is computed: what is mapped lazily has to be read at last.
async function measureOpen() {
    const begin = seconds();
    const model = new binding.AddonModel(path.resolve(positionals[0]), { addonExports: binding, useMmap: true });
    if (!(await model.init())) throw new Error(`${positionals[0]}: llama.cpp cannot load it:\n${log.join("")}`);
    const context = await openContext(model, 1, 256);
    const open = seconds();
    await feed(context, 0, 0, Uint32Array.of(1));
    const first = seconds();
    await context.dispose();
    return { model, open: open - begin, first: first - begin };
}

// Of the file only the vocabulary is read: it needs no tensors.
async function tokenize() {
    const model = new binding.AddonModel(path.resolve(positionals[0]), { addonExports: binding, vocabOnly: true });
    if (!(await model.init())) throw new Error(`${positionals[0]}: llama.cpp cannot load it:\n${log.join("")}`);
    for (const line of readFileSync(0, "utf8").split("\n").filter((text) => text !== "")) {
        const { text, special = false } = JSON.parse(line);
        console.log(JSON.stringify({ ids: [...model.tokenize(text, special)] }));
    }
}

function variantLoaded() {
    const loaded = readFileSync("/proc/self/maps", "utf8").matchAll(/libggml-cpu-([a-z0-9]+)\.so/g);
    return [...new Set([...loaded].map((match) => match[1]))].join(" ");
}

function peakResidentBytes() {
    return Number(readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s+(\d+)/)[1]) * 1024;
}

const binding = loadBinding();
await binding.init();
if (options.tokenize) {
    await tokenize();
    process.exit(0);
}
const { model, open, first } = await measureOpen();
const openPeak = peakResidentBytes();
const result = {
    engine: "llama.cpp",
    model: path.basename(positionals[0]),
    threads: number("threads"),
    variant: variantLoaded(),
    open_peak_bytes: openPeak,
    figures: {
        open: { unit: "s", values: [open] },
        "first token": { unit: "s", values: [first] },
        prefill: { unit: "tok/s", values: await measurePrefill(model) },
    },
};
for (const n of sequences) result.figures[`decode ${n}`] = { unit: "tok/s", values: await measureDecode(model, n) };
if (number("rows") > 0)
    for (const n of sequences) result.figures[`line ${n}`] = { unit: "rows/s", values: await measureLine(model, n) };
result.peak_bytes = peakResidentBytes();
console.log(JSON.stringify(result));
process.exit(0); // the binding's own teardown is not what is measured
