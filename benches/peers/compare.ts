// Ours and node-llama-cpp's tokens per second on one model file, interleaved. See README.md.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { LARGE, type WeightType, writeSyntheticModel } from '../../scripts/lib/synthetic-model.mjs';
import { machineLimits } from '../../ts/cli/bench-kernels.ts';
import { inspectModel, LanguageModel, resolveModel, type TensorInfo } from '../../ts/index.ts';
import { root } from '../lib/machine.ts';
import { type Row, record } from '../lib/results.ts';
import { summarize } from '../lib/statistics.ts';

const CONTEXT = 512;
const SYNTHETIC = 'synthetic:';

/** Either side, loaded for a number of threads. */
interface Engine {
  /** Tokens a second of a prompt that no cache has seen. */
  prompt(ids: number[]): Promise<number>;
  /** Tokens a second of a greedy answer, from its first token on, and its ids. */
  decode(prompt: number[]): Promise<{ rate: number; ids: number[] }>;
  dispose(): void | Promise<void>;
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'smollm2' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '7' },
    prompt: { type: 'string', default: '128' },
    decode: { type: 'string', default: '64' },
  },
});
const promptTokens = Number(values.prompt);
const decodeTokens = Number(values.decode);

/** `synthetic:TYPE` is a file of 1.1 billion random weights, written at first use. */
async function modelFile(name: string): Promise<string> {
  if (!name.startsWith(SYNTHETIC)) return resolveModel(name);
  const type = name.slice(SYNTHETIC.length);
  const synthetic = path.join(root, `build/synthetic-1.1B.${type}.gguf`);
  if (!existsSync(synthetic)) await writeSyntheticModel(synthetic, LARGE, type as WeightType);
  return synthetic;
}

const file = await modelFile(values.model);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error });
const theirModel = await llama.loadModel({ modelPath: file, gpuLayers: 0 });

const perSecond = (tokens: number, started: number) => tokens / ((performance.now() - started) / 1000);

async function collect(ids: AsyncIterable<number>): Promise<{ rate: number; ids: number[] }> {
  const answer: number[] = [];
  let started = 0;
  for await (const id of ids) {
    started ||= performance.now();
    if (answer.push(id) > decodeTokens) break;
  }
  return { rate: perSecond(answer.length - 1, started), ids: answer };
}

async function ours(threads: number): Promise<Engine> {
  const model = await LanguageModel.load(file, { threads, contextLength: CONTEXT });
  async function* answer(prompt: number[]) {
    const options = { maxTokens: decodeTokens + 1, ignoreEndOfText: true };
    for await (const { id } of model.generate(Uint32Array.from(prompt), options)) yield id;
  }
  return {
    async prompt(ids) {
      const started = performance.now();
      await model.logits(ids);
      return perSecond(ids.length, started);
    },
    decode: (prompt) => collect(answer(prompt)),
    dispose: () => model.dispose(),
  };
}

async function theirs(threads: number): Promise<Engine> {
  const context = await theirModel.createContext({ contextSize: CONTEXT, threads, batchSize: 256 });
  const sequence = context.getSequence();
  return {
    async prompt(ids) {
      await sequence.clearHistory();
      const started = performance.now();
      await sequence.evaluateWithoutGeneratingNewTokens(ids);
      return perSecond(ids.length, started);
    },
    async decode(prompt) {
      await sequence.clearHistory();
      return collect(sequence.evaluate([...prompt], { temperature: 0, yieldEogToken: true }));
    },
    dispose: () => context.dispose(),
  };
}

/** Ours over theirs: of the medians, and of the best, which is what each does undisturbed. */
function ratio(our: number[], their: number[]): { median: number; best: number } {
  const [a, b] = [summarize(our), summarize(their)];
  return { median: Number((a.median / b.median).toFixed(2)), best: Number((a.max / b.max).toFixed(2)) };
}

/** How many tokens two answers have in common before they part. */
function agreement(a: number[], b: number[]): number {
  const parted = a.findIndex((id, i) => id !== b[i]);
  return parted < 0 ? a.length : parted;
}

/** What a token costs: bytes of weights that a decode reads, and operations for each token of a prompt and for its logits. */
interface Cost {
  bytes: number;
  operations: number;
  logits: number;
}

function costOf(tensors: readonly TensorInfo[]): Cost {
  const head = tensors.some(({ name }) => name === 'output.weight') ? 'output.weight' : 'token_embd.weight';
  const read = tensors.filter(({ name }) => name === head || name !== 'token_embd.weight');
  const operations = ({ shape }: TensorInfo) =>
    shape.length < 2 ? 0 : 2 * shape.reduce((product, size) => product * size, 1);
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  return {
    bytes: sum(read.map(({ bytes }) => bytes ?? 0)),
    operations: sum(read.filter(({ name }) => name !== head).map(operations)),
    logits: sum(read.filter(({ name }) => name === head).map(operations)),
  };
}

async function compare(threads: number, cost: Cost): Promise<Row> {
  const engines = { ours: await ours(threads), theirs: await theirs(threads) };
  const sides = ['ours', 'theirs'] as const;
  const prompts = { ours: [] as number[], theirs: [] as number[] };
  const decodes = { ours: [] as number[], theirs: [] as number[] };
  const answers = { ours: [] as number[], theirs: [] as number[] };
  const opening = theirModel.tokenize('Once upon a time,').map(Number);
  const limits = machineLimits(threads);
  // The first round warms both up.
  for (let round = 0; round <= Number(values.rounds); round++) {
    // Ids that make no sense, other ones each time.
    const ids = Array.from({ length: promptTokens }, (_, i) => 300 + i * 7 + round * 11);
    for (const side of promptTokens > 0 ? sides : []) {
      const rate = await engines[side].prompt(ids);
      if (round > 0) prompts[side].push(rate);
      // Threads that still wait for work would take a core from the next turn.
      await delay(20);
    }
    for (const side of sides) {
      const answer = await engines[side].decode(opening);
      if (round > 0) decodes[side].push(answer.rate);
      answers[side] = answer.ids;
      await delay(20);
    }
  }
  for (const side of sides) await engines[side].dispose();
  const round = (value: number) => Number(value.toPrecision(3));
  const roofline = limits.memoryBytes / cost.bytes;
  const promptOperations = cost.operations + cost.logits / promptTokens;
  const prompt = promptTokens > 0 && {
    promptOurs: summarize(prompts.ours),
    promptTheirs: summarize(prompts.theirs),
    promptRatio: ratio(prompts.ours, prompts.theirs),
    promptFractionOfInt8: round((Math.max(...prompts.ours) * promptOperations) / limits.int8Operations),
  };
  return {
    threads,
    ...prompt,
    decodeOurs: summarize(decodes.ours),
    decodeTheirs: summarize(decodes.theirs),
    decodeRatio: ratio(decodes.ours, decodes.theirs),
    sameTokens: `${agreement(answers.ours, answers.theirs)} of ${decodeTokens + 1}`,
    weightBytesPerToken: cost.bytes,
    operationsPerToken: cost.operations + cost.logits,
    readGBps: round(limits.memoryBytes / 1e9),
    int8Gops: round(limits.int8Operations / 1e9),
    rooflineDecode: Math.round(roofline),
    fractionOfRoofline: round(Math.max(...decodes.ours) / roofline),
  };
}

const name = `node-llama-cpp 3.22.1 (llama.cpp ${llama.llamaCppRelease.release}), ${path.basename(file)}`;
await record(name, async () => {
  const { tensors } = await inspectModel(file);
  const rows: Row[] = [];
  for (const threads of values.threads.split(',').map(Number))
    rows.push(await compare(threads, costOf(tensors)));
  return rows;
});
await theirModel.dispose();
await llama.dispose();
// Its threads would keep the process alive.
process.exit(0);
