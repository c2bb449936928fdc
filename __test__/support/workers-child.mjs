// Run as a process of its own: starts so many workers, ends each while its streams run, and prints how many did stream.
import { Worker } from 'node:worker_threads';

const [file = '', count = '200'] = process.argv.slice(2);
const AT_ONCE = 8;
let started = 0;
let ended = 0;
let streamed = 0;

/** @param {number} index */
async function one(index) {
  const worker = new Worker(new URL('./streaming-worker.mjs', import.meta.url), { workerData: file });
  await new Promise((resolve, reject) => {
    worker.once('message', () => {
      streamed++;
      // At every moment of a step, not always the same one.
      setTimeout(() => void worker.terminate(), index % 7);
    });
    worker.once('error', reject);
    worker.once('exit', resolve);
  });
  ended++;
}

async function lane() {
  while (started < Number(count)) await one(started++);
}

await Promise.all(Array.from({ length: AT_ONCE }, lane));
console.log(JSON.stringify({ ended, streamed }));
