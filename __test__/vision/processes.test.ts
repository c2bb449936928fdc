import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { VisionTransformer } from '../../ts/index.ts';

const support = path.join(import.meta.dirname, '../support');
const image = { data: Uint8Array.from({ length: 784 }, (_, i) => (i * 37) % 256), width: 28, height: 28 };

test.each(['integer', 'float32'] as const)(
  'workers that are ended while they classify do no harm: %s',
  async (precision) => {
    using vit = await VisionTransformer.load('fashion', { precision });
    const expected = await vit.logits(image);
    const workers = Array.from({ length: 12 }, async (_, i) => {
      const worker = new Worker(path.join(support, 'vision-worker.mjs'), {
        workerData: { precision, image },
      });
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      const logits = await new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      expect(logits).toEqual(expected);
      // At every moment of a step, not always the same one.
      setTimeout(() => void worker.terminate(), i % 7);
      await ended;
    });
    await Promise.all(workers);
    expect(await vit.logits(image)).toEqual(expected);
  },
);

test('memory does not grow with loads, runs and aborts', async () => {
  const child = ['--expose-gc', path.join(support, 'vision-leak-child.mjs')];
  const { stdout } = await promisify(execFile)(process.execPath, child);
  const growth: Record<string, number> = JSON.parse(stdout);
  // MiB that as many more had taken; a hundred models of integers are 60 MiB, of floats 350.
  for (const [what, mebibytes] of Object.entries(growth)) expect(mebibytes, what).toBeLessThan(16);
}, 300_000);
