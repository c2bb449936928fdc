// A worker that streams until it is ended.
import { parentPort, workerData } from 'node:worker_threads';
import { LanguageModel } from '../../dist/index.js';

const model = await LanguageModel.load(workerData);

async function stream() {
  for (;;) {
    const options = { temperature: 1, ignoreEndOfText: true, maxTokens: 1000 };
    for await (const _ of model.generate('hello', options)) parentPort?.postMessage(0);
  }
}

for (let i = 0; i < 6; i++) void stream();
