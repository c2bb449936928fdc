// How late a timer of 5 ms comes while a model generates: what an HTTP server in the same process would feel.

import { setTimeout as delay } from 'node:timers/promises';
import { LanguageModel } from '../ts/index.ts';
import type { Row } from './lib/results.ts';
import { summarize } from './lib/statistics.ts';

const INTERVAL_MS = 5;

/** Delays of every tick, in milliseconds, while `work` runs. */
async function delaysDuring(work: () => Promise<unknown>): Promise<number[]> {
  const delays: number[] = [];
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    delays.push(now - last - INTERVAL_MS);
    last = now;
  }, INTERVAL_MS);
  await work();
  clearInterval(timer);
  return delays;
}

export default async function eventLoop(): Promise<Row[]> {
  const rows: Row[] = [];
  const row = (activity: string, threads: number, delays: number[]) =>
    rows.push({ activity, threads, ticks: delays.length, delayMs: summarize(delays) });
  row('nothing', 0, await delaysDuring(() => delay(2000)));
  for (const threads of [1, 2]) {
    const model = await LanguageModel.load('smollm2', { threads });
    try {
      const ids = Uint32Array.from({ length: 512 }, (_, i) => 300 + i * 7);
      const options = { maxTokens: 256, ignoreEndOfText: true };
      const generate = () => model.generateText('Once upon a time', options);
      await generate();
      row('decode of 256 tokens, streamed', threads, await delaysDuring(generate));
      row('prompt of 512 tokens', threads, await delaysDuring(() => model.logits(ids)));
      const four = () => Promise.all([1, 2, 3, 4].map(generate));
      row('4 decodes of 256 tokens at once', threads, await delaysDuring(four));
    } finally {
      model.dispose();
    }
  }
  return rows;
}
