// How soon an AbortSignal acts: from `abort()` to the rejection, at which the engine has let go.

import { setTimeout as delay } from 'node:timers/promises';
import { LanguageModel } from '../ts/index.ts';
import type { Row } from './lib/results.ts';
import { summarize } from './lib/statistics.ts';

const REPETITIONS = 9;

/** Milliseconds from an abort, `afterMs` after the start, to the rejection. */
async function latencies(
  start: (signal: AbortSignal) => Promise<unknown>,
  afterMs: number,
): Promise<number[]> {
  const values: number[] = [];
  for (let i = 0; i < REPETITIONS; i++) {
    const controller = new AbortController();
    const ended = start(controller.signal).then(
      () => Number.NaN,
      () => performance.now(),
    );
    await delay(afterMs);
    const aborted = performance.now();
    controller.abort();
    values.push((await ended) - aborted);
  }
  if (values.some(Number.isNaN))
    throw new Error(`the work was done before it was aborted after ${afterMs} ms`);
  return values;
}

export default async function abort(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const threads of [1, 2]) {
    const model = await LanguageModel.load('smollm2', { threads });
    try {
      const prompt = Uint32Array.from({ length: 4000 }, (_, i) => 300 + i * 7);
      const endless = { maxTokens: 4000, ignoreEndOfText: true };
      const row = (activity: string, abortMs: number[]) =>
        rows.push({ activity, threads, abortMs: summarize(abortMs) });
      row('decode', await latencies((signal) => model.generateText('Once', { ...endless, signal }), 100));
      row('prompt of 4000 tokens', await latencies((signal) => model.logits(prompt, { signal }), 60));
      row('load', await latencies((signal) => LanguageModel.load('smollm2', { threads, signal }), 10));
    } finally {
      model.dispose();
    }
  }
  return rows;
}
