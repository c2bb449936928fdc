// Ours and node-llama-cpp's tokens per second on one model file, interleaved. See README.md.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { inspectModel, LanguageModel, resolveModel } from '../../ts/index.ts';
import { root } from '../lib/machine.ts';
import { type Row, record } from '../lib/results.ts';
import { summarize } from '../lib/statistics.ts';

const PROMPT_TOKENS = 128;
const DECODE_TOKENS = 64;
const CONTEXT = 512;

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
  },
});
const file = await resolveModel(values.model);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error });
const theirModel = await llama.loadModel({ modelPath: file, gpuLayers: 0 });

const perSecond = (tokens: number, started: number) => tokens / ((performance.now() - started) / 1000);

async function collect(ids: AsyncIterable<number>): Promise<{ rate: number; ids: number[] }> {
  const answer: number[] = [];
  let started = 0;
  for await (const id of ids) {
    started ||= performance.now();
    if (answer.push(id) > DECODE_TOKENS) break;
  }
  return { rate: perSecond(answer.length - 1, started), ids: answer };
}

async function ours(threads: number): Promise<Engine> {
  const model = await LanguageModel.load(file, { threads, contextLength: CONTEXT });
  async function* answer(prompt: number[]) {
    const options = { maxTokens: DECODE_TOKENS + 1, ignoreEndOfText: true };
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

/** Gigabytes a second that so many threads read from memory. */
function readBandwidth(threads: number): number {
  const args = ['run', '--release', '--quiet', '-p', 'dyadic-tensor', '--example', 'read_bandwidth', '--'];
  return Number(execFileSync('cargo', [...args, String(threads)], { cwd: root, encoding: 'utf8' }));
}

/** How many tokens two answers have in common before they part. */
function agreement(a: number[], b: number[]): number {
  const parted = a.findIndex((id, i) => id !== b[i]);
  return parted < 0 ? a.length : parted;
}

async function compare(threads: number, weightBytes: number): Promise<Row> {
  const engines = { ours: await ours(threads), theirs: await theirs(threads) };
  const sides = ['ours', 'theirs'] as const;
  const prompts = { ours: [] as number[], theirs: [] as number[] };
  const decodes = { ours: [] as number[], theirs: [] as number[] };
  const answers = { ours: [] as number[], theirs: [] as number[] };
  const opening = theirModel.tokenize('Once upon a time,').map(Number);
  // The first round warms both up.
  for (let round = 0; round <= Number(values.rounds); round++) {
    // Ids that make no sense, other ones each time.
    const ids = Array.from({ length: PROMPT_TOKENS }, (_, i) => 300 + i * 7 + round * 11);
    for (const side of sides) {
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
  const readGBps = readBandwidth(threads);
  const roofline = (readGBps * 1e9) / weightBytes;
  return {
    threads,
    promptOurs: summarize(prompts.ours),
    promptTheirs: summarize(prompts.theirs),
    promptRatio: ratio(prompts.ours, prompts.theirs),
    decodeOurs: summarize(decodes.ours),
    decodeTheirs: summarize(decodes.theirs),
    decodeRatio: ratio(decodes.ours, decodes.theirs),
    sameTokens: `${agreement(answers.ours, answers.theirs)} of ${DECODE_TOKENS + 1}`,
    readGBps,
    rooflineDecode: Math.round(roofline),
    fractionOfRoofline: Number((Math.max(...decodes.ours) / roofline).toFixed(2)),
  };
}

const name = `node-llama-cpp 3.22.1 (llama.cpp ${llama.llamaCppRelease.release}), ${path.basename(file)}`;
await record(name, async () => {
  const { tensors } = await inspectModel(file);
  const weightBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const rows: Row[] = [];
  for (const threads of values.threads.split(',').map(Number)) {
    rows.push(await compare(threads, weightBytes));
  }
  return rows;
});
await theirModel.dispose();
await llama.dispose();
// Its threads would keep the process alive.
process.exit(0);
