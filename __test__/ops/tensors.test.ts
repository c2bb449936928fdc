import { describe, expect, test } from 'vitest';
import {
  attention,
  crossEntropy,
  exp,
  gelu,
  l2Norm,
  layerNorm,
  logSoftmax,
  logSumExp,
  rmsNorm,
  rope,
  softmax,
  softmaxAsync,
  Tensor,
  topK,
} from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

const values = Float32Array.from({ length: 48 }, (_, i) => Math.sin(i * 1.7) * 3);
const shape = [2, 3, 8];
const weight = Float32Array.from({ length: 8 }, (_, i) => 1 + i / 8);

test.each(['f32', 'f16', 'bf16', 'int8:g8:f32'] as const)(
  'a tensor of %s gives a tensor of that format',
  async (format) => {
    const tensor = Tensor.from(values, { format, shape });
    const decoded = tensor.toFloat32();
    const heads = { heads: 3, headDim: 8 };
    for (const [of, expected] of [
      [softmax(tensor), softmax(decoded, { shape })],
      [softmax(tensor, { axis: 1, scale: 2 }), softmax(decoded, { shape, axis: 1, scale: 2 })],
      [await softmaxAsync(tensor, { scale: 2 }), softmax(decoded, { shape, scale: 2 })],
      [logSoftmax(tensor), logSoftmax(decoded, { shape })],
      [gelu(tensor, { accuracy: 'fast' }), gelu(decoded, { accuracy: 'fast' })],
      [rmsNorm(tensor, Tensor.from(weight, { format: 'f32' })), rmsNorm(decoded, weight)],
      [layerNorm(tensor, weight, weight), layerNorm(decoded, weight, weight)],
      [l2Norm(tensor, { rowLength: 8 }), l2Norm(decoded, { rowLength: 8 })],
      [rope(tensor), rope(decoded, { shape: [2, 3, 8] })],
      [attention(tensor, tensor, tensor, heads), attention(decoded, decoded, decoded, heads)],
    ] as const) {
      expect(of).toBeInstanceOf(Tensor);
      expect(of.shape).toEqual(shape);
      expect(of.format.name).toBe(tensor.format.name);
      expect(of.toFloat32()).toEqual(Tensor.from(expected, { format, shape }).toFloat32());
    }
    expect(logSumExp(tensor)).toBe(logSumExp(decoded));
    expect(topK(tensor, 3)).toEqual(topK(decoded, 3));
  },
);

describe.each(['f32', 'f16', 'bf16', 'int8', 'int8full:none', 'int8:channel', 'e4m3fn'] as const)(
  'softmax of %s',
  (source) => {
    const tensor = Tensor.from(values, { format: source, shape });
    const decoded = tensor.toFloat32();
    const options = [
      {},
      { axis: 1 },
      { scale: 0.5, mask: Float32Array.from(decoded, Math.cos) },
      { axis: 0 },
    ];

    test.each(['f32', 'f16', 'bf16'] as const)('into %s is the f32 result, rounded once', async (format) => {
      const rounded = (x: Float32Array) => Tensor.from(x, { format, shape }).bytes;
      for (const option of options) {
        const expected = rounded(softmax(decoded, { ...option, shape }));
        const result: Tensor<typeof format> = softmax(tensor, { ...option, format });
        expect(result.format.name).toBe(format);
        expect(result.shape).toEqual(shape);
        expect(result.bytes).toEqual(expected);
        expect((await softmaxAsync(tensor, { ...option, format })).bytes).toEqual(expected);
        const logarithm = logSoftmax(tensor, { ...option, format });
        expect(logarithm.bytes).toEqual(rounded(logSoftmax(decoded, { ...option, shape })));
      }
    });

    test('into 8 bits is the nearest multiple of 1/255', () => {
      for (const option of options) {
        const exact = softmax(decoded, { ...option, shape });
        const result = softmax(tensor, { ...option, format: 'uint8' });
        const codes = [...exact].map((x) => {
          const scaled = Math.fround(x * 255);
          const floor = Math.floor(scaled);
          return scaled - floor === 0.5 ? floor + (floor % 2) : Math.round(scaled);
        });
        expect([...result.data]).toEqual(codes);
        const back = result.toFloat32();
        exact.forEach((x, i) => {
          expect(Math.abs((back[i] ?? Number.NaN) - x)).toBeLessThanOrEqual(0.5 / 255 + 1e-7);
        });
      }
      // @ts-expect-error
      expect(codeOf(() => softmax(tensor, { format: 'int4' }))).toBe('ERR_OPTION');
      expect(codeOf(() => logSoftmax(tensor, { format: 'uint8' }))).toBe('ERR_OPTION');
    });

    test('its logarithm of the sum, and cross entropy', () => {
      expect(logSumExp(tensor)).toBe(logSumExp(decoded));
      expect(logSumExp(tensor, { shape: [6, 8] })).toEqual(logSumExp(decoded, { shape: [6, 8] }));
      const targets = [1, 7, 0, 3, 3, 2];
      expect(crossEntropy(tensor, targets)).toEqual(crossEntropy(decoded, targets));
    });
  },
);

test('axes in another order, and no elements', () => {
  const turned = Tensor.from(values, { format: 'f16', shape }).transpose([0, 2, 1]);
  const expected = softmax(turned.toFloat32(), { shape: [2, 8, 3] });
  expect(softmax(turned, { format: 'f32' }).toFloat32()).toEqual(expected);
  expect(exp(turned).shape).toEqual([2, 8, 3]);
  const empty = Tensor.from([], { format: 'f16', shape: [0, 5] });
  expect(softmax(empty, { format: 'uint8' }).shape).toEqual([0, 5]);
  expect(exp(empty).size).toBe(0);
});

/** Many blocks and threads; every f16 there is. */
test('functions and norms of 16-bit floats are those of f32, rounded', () => {
  const bits = Uint16Array.from({ length: 2 ** 18 }, (_, i) => i * 40_503);
  for (const format of ['f16', 'bf16'] as const) {
    const tensor = Tensor.fromMessage({
      ...Tensor.from(new Float32Array(bits.length), { format, shape: [512, 512] }).toMessage(),
    });
    tensor.bytes.set(new Uint8Array(bits.buffer));
    const decoded = tensor.toFloat32();
    const rounded = (x: Float32Array) => Tensor.from(x, { format, shape: [512, 512] }).bytes;
    expect(Buffer.compare(gelu(tensor).bytes, rounded(gelu(decoded)))).toBe(0);
    const ones = new Float32Array(512).fill(1);
    expect(Buffer.compare(rmsNorm(tensor, ones).bytes, rounded(rmsNorm(decoded, ones)))).toBe(0);
  }
});
