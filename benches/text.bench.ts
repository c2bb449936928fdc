// Text in and out: the tokenizer and the chat template. Sync calls, so each must stay well below a frame.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Bench } from 'tinybench';
import { LanguageModel } from '../ts/index.ts';
import { root } from './lib/machine.ts';
import type { Row } from './lib/results.ts';
import { summarize } from './lib/statistics.ts';

export default async function text(): Promise<Row[]> {
  const model = await LanguageModel.load('smollm2');
  try {
    const short = 'What is the capital of France?';
    // 11 KB of English with line breaks and lists, the same on every machine.
    const long = readFileSync(path.join(root, 'LICENSE'), 'utf8');
    const ids = model.tokenize(long);
    const messages = [{ role: 'user', content: short } as const];
    const bench = new Bench({ time: 500, warmupTime: 100 })
      .add('tokenize 30 bytes', () => model.tokenize(short))
      .add(`tokenize ${long.length} bytes`, () => model.tokenize(long))
      .add(`detokenize ${ids.length} tokens`, () => model.detokenize(ids))
      .add('render a chat of one message', () => model.renderChat(messages));
    const tasks = await bench.run();
    return tasks.map(({ name, result }) => {
      if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
      const { min, p50, p99 } = result.latency;
      return { call: name, microseconds: summarize([min, p50, p99].map((ms) => ms * 1000)) };
    });
  } finally {
    model.dispose();
  }
}
