import { expect, test } from 'vitest';
import {
  attention,
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
