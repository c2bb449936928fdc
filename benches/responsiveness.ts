// How free the event loop stays while a model works, and how soon an abort acts. Prints one JSON document:
// node --import tsx benches/responsiveness.ts [MODEL]
import { availableParallelism, cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { doctor, LanguageModel } from '../ts/index.ts';

const TICK_MS = 5;

/** Runs `work` beside a timer and gives the longest delay of that timer, in ms. */
async function longestDelay(work: () => Promise<unknown>): Promise<number> {
  let worst = 0;
  let due = performance.now() + TICK_MS;
  const timer = setInterval(() => {
    const now = performance.now();
    worst = Math.max(worst, now - due);
    due = now + TICK_MS;
  }, TICK_MS);
  // The first ticks pay for compiling the callback.
  await delay(100);
  worst = 0;
  await work();
  clearInterval(timer);
  return worst;
}

async function abortLatency(
  start: (signal: AbortSignal) => Promise<unknown>,
  afterMs: number,
): Promise<number> {
  const controller = new AbortController();
  const ended = start(controller.signal).then(
    () => Number.NaN,
    () => performance.now(),
  );
  await delay(afterMs);
  const aborted = performance.now();
  controller.abort();
  return (await ended) - aborted;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const round = (value: number) => Math.round(value * 100) / 100;

const name = process.argv[2] ?? 'smollm2';
const loadStart = performance.now();
const model = await LanguageModel.load(name);
const loadMs = performance.now() - loadStart;
const long = model.tokenize('The quick brown fox jumps over the lazy dog. '.repeat(300)).slice(0, 3000);
const sampling = { temperature: 0.8, seed: 1, ignoreEndOfText: true } as const;

const idle = await longestDelay(() => delay(1000));
const decoding = await longestDelay(() =>
  model.generateText('Once upon a time', { ...sampling, maxTokens: 256 }),
);
const streaming = await longestDelay(async () => {
  for await (const _ of model.generate('Once upon a time', { ...sampling, maxTokens: 256 }));
});
const prompt = await longestDelay(() => model.generateText(long, { maxTokens: 1 }));
const loading = await longestDelay(async () => (await LanguageModel.load(name)).dispose());
const repeat = async (once: () => Promise<number>) => {
  const values: number[] = [];
  for (let i = 0; i < 9; i++) values.push(await once());
  return { median: round(median(values)), max: round(Math.max(...values)) };
};
const duringDecode = await repeat(() =>
  abortLatency((signal) => model.generateText('a', { ...sampling, maxTokens: 2000, signal }), 200),
);
const duringPrompt = await repeat(() =>
  abortLatency((signal) => model.generateText(long, { maxTokens: 1, signal }), 60),
);
const duringLoad = await repeat(() => abortLatency((signal) => LanguageModel.load(name, { signal }), 20));
model.dispose();

console.log(
  JSON.stringify(
    {
      cpu: cpus()[0]?.model,
      threads: availableParallelism(),
      isa: doctor().isa,
      loadMs: round(loadMs),
      longestTimerDelayMs: {
        idle: round(idle),
        decoding: round(decoding),
        streaming: round(streaming),
        prompt: round(prompt),
        loading: round(loading),
      },
      abortMs: { duringDecode, duringPrompt, duringLoad },
    },
    null,
    2,
  ),
);
