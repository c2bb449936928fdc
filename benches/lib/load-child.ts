// One sample of load.bench.ts: loads the model whose path is given and prints what that took, as JSON.

import { LanguageModel } from '../../ts/index.ts';

const TOKENS = 64;
const [path = ''] = process.argv.slice(2);

/** Resident memory in bytes after the collector ran. */
function resident(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

const before = resident();
const started = performance.now();
const model = await LanguageModel.load(path);
const loaded = performance.now();
const loadedBytes = resident() - before;
let first = 0;
for await (const _ of model.generate('Once upon a time', { maxTokens: TOKENS, ignoreEndOfText: true })) {
  first ||= performance.now();
}
const generatedBytes = resident() - before;
// A page of the cache holds 64 tokens; the prompt and the answer need two.
const kvBytes = 2 * model.info.kvPageBytes;
console.log(
  JSON.stringify({
    loadMs: loaded - started,
    firstTokenMs: first - loaded,
    loadedBytes,
    generatedBytes,
    kvBytes,
  }),
);
model.dispose();
