import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { analyseIntegerGraph, quantizeIntegerOnly } from '../../ts/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const CNN = 'models/fashion-cnn/model.safetensors';
const pixels = readFileSync('__test__/golden/fashion-mnist/train-64-images-idx3-ubyte').subarray(16);

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error.code,
  );

test('a network becomes the same file however its images come, and half of the bytes with 4 bits', async () => {
  const stages = new Set<string>();
  const out = path.join(temporaryDirectory(), 'cnn.dyadic');
  const { bytes, weightBits } = await quantizeIntegerOnly(CNN, pixels, {
    out,
    onProgress: ({ stage }) => stages.add(stage),
  });
  expect(weightBits).toEqual([8, 8, 8, 8, 8, 8, 8, 8]);
  expect([...stages]).toEqual(['calibrate']);
  expect(new Uint8Array(readFileSync(out))).toEqual(bytes);
  const images = Array.from({ length: 64 }, (_, i) => pixels.subarray(i * 784, (i + 1) * 784));
  expect((await quantizeIntegerOnly(CNN, images, { threads: 1 })).bytes).toEqual(bytes);
  const small = await quantizeIntegerOnly(CNN, pixels.subarray(0, 16 * 784), { weightBits: 4 });
  expect(small.weightBits).toEqual([8, 4, 4, 4, 4, 4, 4, 8]);
  expect(small.bytes.length).toBeLessThan(0.6 * bytes.length);
});

test('what cannot be quantized is refused with a code, and work can be aborted', async () => {
  expect(await codeOf(quantizeIntegerOnly(CNN, new Uint8Array()))).toBe('ERR_CALIBRATION');
  expect(await codeOf(quantizeIntegerOnly(CNN, new Uint8Array(785)))).toBe('ERR_SHAPE');
  expect(await codeOf(quantizeIntegerOnly('no-such-file', pixels))).toBe('ERR_FILE_NOT_FOUND');
  const mixed = { weightBits: 'mixed', sensitivity: { traces: [1] } } as const;
  expect(await codeOf(quantizeIntegerOnly(CNN, pixels, mixed))).toBe('ERR_SHAPE');
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  expect(await codeOf(quantizeIntegerOnly(CNN, pixels, { signal: controller.signal, onProgress }))).toBe(
    'ERR_ABORTED',
  );
});

test('integers are compared with floats value by value', async () => {
  const { bytes } = await quantizeIntegerOnly(CNN, pixels);
  const images = pixels.subarray(0, 8 * 784);
  const { layers, svg } = await analyseIntegerGraph(CNN, bytes, images);
  expect(layers.map(({ op }) => op)).toContain('average_pool');
  expect(layers[0]).toMatchObject({ op: 'input', sqnr: Number.POSITIVE_INFINITY, maxError: 0 });
  for (const { name, sqnr } of layers.slice(1)) expect(sqnr, name).toBeGreaterThan(20);
  expect(svg).toMatch(/^<svg .*head, linear.*<\/svg>\n$/s);
  const vit = 'models/fashion-vit/model.safetensors';
  expect(await codeOf(analyseIntegerGraph(vit, bytes, images))).toBe('ERR_VISION_PAIR');
  expect(await codeOf(analyseIntegerGraph(CNN, bytes.subarray(9), images))).toMatch(/^ERR_INTEGER_/);
});
