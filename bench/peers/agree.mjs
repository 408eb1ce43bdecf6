// agree.mjs - whether llama.cpp reads a model file as Lizzie does: it opens the file and continues some token ids by its
// likeliest tokens; Lizzie scores the same ids.
//
//   node agree.mjs LIZZIE MODEL...
//
// Prints a line for each file: how many of llama.cpp's tokens are Lizzie's likeliest too, and how far the others are
// from it at most, in logits. Fails where one is further than 0.2: both round activations to 8 bits, each in its way.
// The binding of node-llama-cpp is called directly, as in llamacpp.mjs.
import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const [lizzie, ...files] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const folder = path.join(path.dirname(require.resolve("@node-llama-cpp/linux-x64")), "..", "bins", "linux-x64");
const log = [];
const binding = require(path.join(folder, "llama-addon.node"));
binding.markLoaded();
binding.setLogger((_level, text) => log.push(text));
binding.setLoggerLogLevel(6);
binding.loadBackends(folder);
await binding.init();

const prompt = Array.from({ length: 24 }, (_, i) => ((i * 37) % 97) + 3);
const nNew = 24;
const distanceMax = 0.2;

async function continueGreedily(file) {
    const model = new binding.AddonModel(path.resolve(file), { addonExports: binding, useMmap: true });
    if (!(await model.init())) throw new Error(`${file}: llama.cpp cannot load it:\n${log.slice(-5).join("")}`);
    const context = new binding.AddonContext(model, { contextSize: 256, batchSize: 256, sequences: 1, threads: 2 });
    if (!(await context.init())) throw new Error(`${file}: the context cannot be made`);
    const sampler = new binding.AddonSampler(model);
    sampler.applyConfig({ temperature: 0 });
    const tokens = [];
    let next = prompt, at = 0;
    while (tokens.length < nNew) {
        context.initBatch(next.length);
        const [index] = context.addToBatch(0, at, Uint32Array.from(next), Uint32Array.of(next.length - 1));
        await context.decodeBatch();
        at += next.length;
        next = [await context.sampleToken(index, sampler)];
        tokens.push(next[0]);
    }
    await context.dispose();
    await model.dispose();
    return tokens;
}

// Rows of float32 of a NumPy file [n, width].
function npyRows(file) {
    const bytes = readFileSync(file), begin = 10 + bytes.readUInt16LE(8);
    const [n, width] = bytes.toString("latin1", 10, begin).match(/\((\d+), (\d+)\)/).slice(1).map(Number);
    return Array.from({ length: n }, (_, i) =>
        Array.from({ length: width }, (_, k) => bytes.readFloatLE(begin + 4 * (i * width + k))));
}

function compare(file, tokens, scratch) {
    const npy = path.join(scratch, "logits.npy"), ids = [...prompt, ...tokens].join(",");
    execFileSync(lizzie, ["score", file, "--tokens", ids, "--logits", npy], { stdio: ["ignore", "ignore", "inherit"] });
    const rows = npyRows(npy);
    const distances = tokens.map((token, i) => {
        const row = rows[prompt.length - 1 + i];
        return Math.max(...row) - row[token];
    });
    return { equal: distances.filter((d) => d === 0).length, most: Math.max(...distances) };
}

const scratch = mkdtempSync(path.join(tmpdir(), "agree-"));
let failed = false;
for (const file of files) {
    const { equal, most } = compare(file, await continueGreedily(file), scratch);
    failed ||= !(most <= distanceMax);
    console.log(`${path.basename(file)}: ${equal} of ${nNew} tokens, the others at most ${most.toFixed(3)} away`);
}
rmSync(scratch, { recursive: true });
process.exit(failed ? 1 : 0);
