import { expect, test } from 'vitest';
import { Tensor } from '../../ts/index.ts';

const MEGABYTE = 2 ** 20;

test('memory of tensors that nobody holds is given back, disposed or not', async () => {
  const values = new Float32Array(MEGABYTE);
  const make = (dispose: boolean) => {
    const tensor = Tensor.from(values, { format: 'f32', shape: [1024, 1024] });
    if (dispose) tensor.dispose();
  };
  for (const dispose of [true, false]) {
    const before = process.memoryUsage().rss;
    // 2 GB in all.
    for (let i = 0; i < 500; i++) {
      make(dispose);
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    globalThis.gc?.();
    expect((process.memoryUsage().rss - before) / MEGABYTE).toBeLessThan(500);
  }
});
