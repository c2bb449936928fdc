import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type PixelImage, VisionTransformer } from '../../ts/index.ts';
import { native } from '../../ts/native/load.ts';
import { readImage } from '../../ts/vision/images.ts';

const GARMENTS = 'models/fashion-vit/garments';
const SAMPLE = '__test__/golden/fashion-mnist/t10k-200';
const garments = readdirSync(GARMENTS).sort();
const paths = garments.map((file) => path.join(GARMENTS, file));
const pixels = readFileSync(`${SAMPLE}-images-idx3-ubyte`).subarray(16);
const labels = readFileSync(`${SAMPLE}-labels-idx1-ubyte`).subarray(8);
const images: PixelImage[] = Array.from(labels, (_, i) => ({
  data: pixels.subarray(i * 784, (i + 1) * 784),
  width: 28,
  height: 28,
}));
/** `0018-bag.png` is a bag. */
const titles = garments.map((file) => file.slice(5, -4).replaceAll('-', ' '));

describe.each(['integer', 'float32'] as const)('the model fashion, %s', (precision) => {
  it('knows every garment, from a file and from pixels', async () => {
    using vit = await VisionTransformer.load('fashion', { precision });
    expect(vit.input).toEqual({ height: 28, width: 28, channels: 1 });
    expect(vit.labels).toHaveLength(10);
    const all = await vit.classifyBatch(paths, { top: 1 });
    expect(all.map(([best]) => best?.label?.replaceAll(/[^a-z]/gi, ' '))).toEqual(
      titles.map((title) => title.replaceAll(/[^a-z]/gi, ' ')),
    );
    for (const [best] of all) expect(best?.score).toBeGreaterThan(0.3);
    const found = await vit.classifyBatch(images, { top: 1 });
    const right = found.filter(([best], i) => best?.index === labels[i]).length;
    expect(right).toBeGreaterThan(176);
  });

  it('gives an image the same logits alone, in a batch, and with any number of threads', async () => {
    using one = await VisionTransformer.load('fashion', { precision, threads: 1 });
    using all = await VisionTransformer.load('fashion', { precision });
    expect(one.describe().threads).toBe(1);
    const batch = await all.classifyBatch(images.slice(0, 40));
    for (const i of [0, 17, 39]) {
      const image = images[i] ?? '';
      const logits = await one.logits(image);
      expect(logits).toBeInstanceOf(precision === 'integer' ? Int32Array : Float32Array);
      expect(await all.logits(image)).toEqual(logits);
      expect(await one.classify(image)).toEqual(batch[i]);
    }
  });
});

describe('floats beside integers', () => {
  it('have the logits that PyTorch had', async () => {
    using vit = await VisionTransformer.load('fashion', { precision: 'float32' });
    const golden: number[][] = JSON.parse(readFileSync('models/fashion-vit/golden-logits.json', 'utf8'));
    for (const [i, expected] of golden.slice(0, 8).entries()) {
      const logits = await vit.logits(images[i] ?? '');
      logits.forEach((logit, k) => {
        expect(logit).toBeCloseTo(expected[k] ?? Number.NaN, 4);
      });
    }
  });

  it('say the same of nearly every image', async () => {
    using integers = await VisionTransformer.load('fashion');
    using floats = await VisionTransformer.load('fashion', { precision: 'float32' });
    const [a, b] = await Promise.all([integers, floats].map((vit) => vit.classifyBatch(images, { top: 1 })));
    const same = images.filter((_, i) => a?.[i]?.[0]?.index === b?.[i]?.[0]?.index).length;
    expect(same).toBeGreaterThan(196);
    const [multiplier, shift] = integers.describe().logitScale;
    const logits = await integers.logits(images[0] ?? '');
    const exact = await floats.logits(images[0] ?? '');
    logits.forEach((logit, k) => {
      expect(Math.abs((logit * multiplier) / 2 ** shift - (exact[k] ?? 0))).toBeLessThan(0.25);
    });
  });

  it('describe themselves as the nodes that both have', async () => {
    using integers = await VisionTransformer.load('fashion');
    using floats = await VisionTransformer.load('fashion', { precision: 'float32' });
    const [a, b] = [integers.describe(), floats.describe()];
    expect(b).toMatchObject({ mode: 'float32', logitScale: [1, 0], labels: a.labels, weights: a.weights });
    expect(b.nodes.map(({ shape }) => shape)).toEqual(a.nodes.map(({ shape }) => shape));
    expect(b.residentBytes).toBeGreaterThan(4 * b.weights);
    expect(b.isa).toBe(a.isa);
  });

  it('are told apart from integers', async () => {
    await expect(VisionTransformer.load('models/fashion-vit/model.safetensors')).rejects.toMatchObject({
      code: 'ERR_INTEGER_MAGIC',
      message: expect.stringContaining("precision: 'float32'"),
    });
    const integers = VisionTransformer.load('models/fashion-vit/model.dyadic', { precision: 'float32' });
    await expect(integers).rejects.toMatchObject({ code: 'ERR_SAFETENSORS_MAGIC' });
    // @ts-expect-error there are two
    await expect(VisionTransformer.load('fashion', { precision: 'int4' })).rejects.toMatchObject({
      code: 'ERR_OPTION',
    });
  });
});

describe.each([
  ['integer', 'dyadic'],
  ['float32', 'safetensors'],
] as const)('a long batch, %s', (precision, file) => {
  const many = Array.from({ length: 4000 }, (_, i) => images[i % images.length] ?? '');

  it('tells how far it is, to the end', async () => {
    using vit = await VisionTransformer.load('fashion', { precision });
    const fractions: number[] = [];
    await vit.classifyBatch(many.slice(0, 1000), {
      onProgress: ({ stage, fraction }) => {
        expect(stage).toBe('classify');
        fractions.push(fraction);
      },
    });
    expect(fractions.length).toBeGreaterThan(1);
    expect(fractions.at(-1)).toBe(1);
    expect([...fractions].sort((a, b) => a - b)).toEqual(fractions);
  });

  it('is aborted: AbortError, and nothing goes on', async () => {
    using vit = await VisionTransformer.load('fashion', { precision });
    const controller = new AbortController();
    const call = vit.classifyBatch(many, { signal: controller.signal });
    const ended = expect(call).rejects.toMatchObject({
      code: 'ERR_ABORTED',
      name: 'AbortError',
      cause: { message: 'enough' },
    });
    await delay(10);
    controller.abort(new Error('enough'));
    await ended;
    // Threads of the pool may spin for a moment before they sleep.
    await delay(20);
    const { user } = process.cpuUsage();
    await delay(100);
    expect(process.cpuUsage().user - user).toBeLessThan(50_000);
  });

  it('is stopped inside a native call, within a step of the network', async () => {
    const { loadVision, NativeStop } = native();
    const model = await loadVision(`models/fashion-vit/model.${file}`, precision === 'float32', 1);
    if (!('logits' in model)) throw new Error(model.message);
    const sources = many.map(readImage);
    const stop = new NativeStop();
    const call = model.logits(sources, stop);
    await delay(50);
    const start = performance.now();
    stop.stop();
    expect(await call).toMatchObject({ code: 'ERR_ABORTED' });
    // All of them take more than a second.
    expect(performance.now() - start).toBeLessThan(200);
    expect(await model.logits(sources.slice(0, 1), new NativeStop())).toHaveLength(10);
    model.dispose();
  });

  it('ends when the model is disposed, however that is said', async () => {
    for (const how of [
      (vit: Disposable) => vit[Symbol.dispose](),
      (vit: AsyncDisposable) => vit[Symbol.asyncDispose](),
    ]) {
      const vit = await VisionTransformer.load('fashion', { precision });
      const calls = [vit.classifyBatch(many), vit.logits(images[0] ?? ''), vit.classifyBatch(many)];
      const ended = Promise.allSettled(calls);
      await delay(5);
      const start = performance.now();
      await how(vit);
      const codes = (await ended).map((result) =>
        result.status === 'rejected' ? result.reason.code : 'done',
      );
      expect(performance.now() - start).toBeLessThan(100);
      expect(codes[0]).toBe('ERR_DISPOSED');
      expect(codes[2]).toBe('ERR_DISPOSED');
      await expect(vit.classify(images[0] ?? '')).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    }
  });
});
