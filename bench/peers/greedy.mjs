// greedy.mjs - what llama.cpp says greedily after given tokens, with adapters.
//
//   node greedy.mjs MODEL IDS N [ADAPTER=SCALE]...
//
// IDS are token ids with commas, or =TEXT, of which llama.cpp makes them and which are printed first; N tokens follow them at most, fewer where the model ends the text. Prints their ids with
// commas. The binding of node-llama-cpp is called directly, as in llamacpp.mjs.
import { createRequire } from "node:module";
import path from "node:path";

const [modelPath, ids, count, ...adapters] = process.argv.slice(2);
if (count === undefined) {
    console.error("usage: node greedy.mjs MODEL IDS N [ADAPTER=SCALE]...");
    process.exit(2);
}
const require = createRequire(import.meta.url);
const folder = path.join(path.dirname(require.resolve("@node-llama-cpp/linux-x64")), "..", "bins", "linux-x64");
const binding = require(path.join(folder, "llama-addon.node"));
const log = [];
binding.markLoaded();
binding.setLogger((_level, text) => log.push(text));
binding.setLoggerLogLevel(6);
binding.loadBackends(folder);
await binding.init();

const model = new binding.AddonModel(path.resolve(modelPath), { addonExports: binding, useMmap: true });
if (!(await model.init())) throw new Error(`${modelPath}: llama.cpp cannot load it:\n${log.join("")}`);
const begin = () => (model.shouldPrependBosToken() ? [model.tokenBos()] : []);
const isText = ids.startsWith("=");
const tokens = Uint32Array.from(isText ? [...begin(), ...model.tokenize(ids.slice(1), false)] : ids.split(","), Number);
if (isText) console.log(tokens.join(","));
const context = new binding.AddonContext(model, {
    contextSize: tokens.length + Number(count) + 64,
    batchSize: 512,
    sequences: 1,
    threads: 2,
});
if (!(await context.init())) throw new Error("the context cannot be made");
const loras = [];
const scales = [];
for (const adapter of adapters) {
    const equals = adapter.lastIndexOf("=");
    const lora = new binding.AddonModelLora(model, path.resolve(adapter.slice(0, equals)));
    await model.loadLora(lora);
    loras.push(lora);
    scales.push(Number(adapter.slice(equals + 1)));
}
if (loras.length > 0) await context.setLoras(loras, scales);
const sampler = new binding.AddonSampler(model);
sampler.applyConfig({ temperature: 0 });

const said = [];
let at = 0;
for (let part = tokens; said.length < Number(count); part = Uint32Array.of(said.at(-1))) {
    context.initBatch(part.length);
    context.addToBatch(0, at, part, Uint32Array.of(part.length - 1));
    await context.decodeBatch();
    const token = await context.sampleToken(part.length - 1, sampler);
    if (model.isEogToken(token)) break;
    at += part.length;
    said.push(token);
}
console.log(said.join(","));
process.exit(0);
