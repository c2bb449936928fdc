import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VisionTransformer } from '../../ts/index.ts';
import { expectedLogits, integerFile, LABELS } from '../support/integer-file.ts';

let folder: string;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'dyadic-vision-'));
  file = path.join(folder, 'tiny.dyadic');
  await writeFile(file, integerFile());
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const grey = (...pixels: number[]) => ({ data: Uint8Array.from(pixels), width: 2, height: 2 });

async function load(bytes: Buffer): Promise<VisionTransformer> {
  const other = path.join(folder, 'other.dyadic');
  await writeFile(other, bytes);
  return VisionTransformer.load(other);
}

describe('VisionTransformer', () => {
  it('makes the logits that the file defines', async () => {
    using vit = await VisionTransformer.load(file);
    for (const pixels of [
      [0, 0, 0, 0],
      [255, 255, 255, 255],
      [1, 200, 30, 128],
    ]) {
      expect(await vit.logits(grey(...pixels))).toEqual(Int32Array.from(expectedLogits(pixels)));
    }
  });

  it('ranks classes by the softmax of the scaled logits', async () => {
    using vit = await VisionTransformer.load(file, { threads: 1 });
    const pixels = [130, 127, 129, 128];
    const exponentials = expectedLogits(pixels).map((logit) => Math.exp(logit / 64));
    const sum = exponentials.reduce((a, b) => a + b);
    const expected = LABELS.map((label, index) => ({
      label,
      index,
      score: (exponentials[index] ?? 0) / sum,
    })).sort((a, b) => b.score - a.score);
    const classes = await vit.classify(grey(...pixels));
    expect(classes.map(({ label, index }) => ({ label, index }))).toEqual(
      expected.map(({ label, index }) => ({ label, index })),
    );
    classes.forEach(({ score }, i) => {
      expect(score).toBeCloseTo(expected[i]?.score ?? 0, 12);
    });
    expect(await vit.classify(grey(...pixels), { top: 1 })).toEqual(classes.slice(0, 1));
  });

  it('takes a batch of more images than one native call', async () => {
    using vit = await VisionTransformer.load(file);
    const images = Array.from({ length: 150 }, (_, i) => grey(i, 255 - i, i, 128));
    const batch = await vit.classifyBatch(images, { top: 1 });
    expect(batch).toHaveLength(150);
    for (const i of [0, 63, 64, 149])
      expect(batch[i]).toEqual(await vit.classify(images[i] ?? grey(), { top: 1 }));
    expect(await vit.classifyBatch([])).toEqual([]);
  });

  it('brings colours to luminance', async () => {
    using vit = await VisionTransformer.load(file);
    const rgba = Uint8ClampedArray.from([9, 9, 9, 255, 80, 80, 80, 255, 200, 200, 200, 255, 70, 70, 70, 0]);
    const logits = await vit.logits({ data: rgba, width: 2, height: 2 });
    expect(logits).toEqual(Int32Array.from(expectedLogits([9, 80, 200, 0])));
  });

  it('describes itself', async () => {
    using vit = await VisionTransformer.load(file);
    expect(vit.labels).toEqual(LABELS);
    expect(vit.describe()).toMatchObject({
      name: 'tiny',
      mode: 'exact',
      input: { height: 2, width: 2, channels: 1 },
      weights: 12,
      nodes: [
        { op: 'input', weightBits: null },
        { op: 'conv2d', weightBits: 8 },
      ],
    });
  });

  it('refuses damaged files by name', async () => {
    const damaged = integerFile();
    damaged[damaged.length - 20] = (damaged[damaged.length - 20] ?? 0) ^ 1;
    await expect(load(damaged)).rejects.toMatchObject({ code: 'ERR_INTEGER_CHECKSUM' });
    await expect(load(Buffer.from('GGUF'))).rejects.toMatchObject({ code: 'ERR_INTEGER_MAGIC' });
    await expect(load(integerFile().subarray(0, 100))).rejects.toMatchObject({
      code: 'ERR_INTEGER_TRUNCATED',
    });
    await expect(load(integerFile((header) => ({ ...header, input: [2, 2.5, 1] })))).rejects.toMatchObject({
      code: 'ERR_INTEGER_HEADER',
    });
    await expect(load(integerFile((header) => ({ ...header, labels: ['one'] })))).rejects.toMatchObject({
      code: 'ERR_INTEGER_GRAPH',
    });
    await expect(VisionTransformer.load(path.join(folder, 'none'))).rejects.toMatchObject({
      code: 'ERR_FILE_NOT_FOUND',
    });
  });

  it('refuses what is no picture', async () => {
    using vit = await VisionTransformer.load(file);
    await expect(vit.classify(file)).rejects.toMatchObject({ code: 'ERR_IMAGE_FORMAT' });
    await expect(vit.classify(path.join(folder, 'none.png'))).rejects.toMatchObject({
      code: 'ERR_FILE_NOT_FOUND',
    });
    await expect(vit.classify({ data: new Uint8Array(5), width: 2, height: 2 })).rejects.toMatchObject({
      code: 'ERR_OPTION',
    });
    await expect(
      vit.classify({ data: new Uint8Array(5), width: 2, height: 2, channels: 1 }),
    ).rejects.toMatchObject({ code: 'ERR_SHAPE' });
    await expect(vit.classify(grey(1, 2, 3, 4), { top: 4 })).rejects.toMatchObject({ code: 'ERR_OPTION' });
  });

  it('is aborted by a signal', async () => {
    await expect(VisionTransformer.load(file, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
      name: 'AbortError',
    });
    using vit = await VisionTransformer.load(file);
    const controller = new AbortController();
    const images = Array.from({ length: 1000 }, () => grey(1, 2, 3, 4));
    const call = vit.classifyBatch(images, { signal: controller.signal });
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await vit.logits(grey(1, 2, 3, 4))).toEqual(Int32Array.from(expectedLogits([1, 2, 3, 4])));
  });

  it('is disposed once and says so', async () => {
    const vit = await VisionTransformer.load(file);
    vit.dispose();
    vit.dispose();
    await expect(vit.classify(grey(1, 2, 3, 4))).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    expect(vit.labels).toEqual(LABELS);
  });
});
