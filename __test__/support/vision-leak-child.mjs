// Run as a process of its own with --expose-gc: prints how many MiB it grew by while it loaded and ran networks many times over.
import { setTimeout as delay } from 'node:timers/promises';
import { VisionTransformer } from '../../dist/index.js';
import { growth } from './growth.mjs';

const image = { data: new Uint8Array(784), width: 28, height: 28, channels: 1 };

/** @param {'integer' | 'float32'} precision */
const load = (precision) => VisionTransformer.load('fashion', { precision });

/** @param {'integer' | 'float32'} precision */
const loads = (precision) =>
  growth(100, async () => {
    const vit = await load(precision);
    await vit.logits(image);
    vit.dispose();
  });

/** @param {'integer' | 'float32'} precision */
const dropped = (precision) =>
  growth(100, async () => {
    await (await load(precision)).logits(image);
    globalThis.gc?.();
    await delay(1);
  });

const vit = await load('integer');
const result = {
  integers: await loads('integer'),
  floats: await loads('float32'),
  droppedIntegers: await dropped('integer'),
  droppedFloats: await dropped('float32'),
  classified: await growth(300, async () => {
    await vit.classifyBatch(Array(32).fill(image));
  }),
  aborted: await growth(300, async () => {
    const controller = new AbortController();
    const call = vit.classifyBatch(Array(64).fill(image), { signal: controller.signal });
    setImmediate(() => controller.abort());
    await call.catch(() => undefined);
  }),
};
vit.dispose();
console.log(JSON.stringify(result));
