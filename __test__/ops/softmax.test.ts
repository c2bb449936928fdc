import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  crossEntropy,
  logSoftmax,
  logSumExp,
  type SoftmaxOptions,
  softmax,
  softmaxAsync,
  topK,
} from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

/** Softmax in f64. */
function exact(row: readonly number[]): number[] {
  const max = Math.max(...row);
  const weights = row.map((x) => Math.exp(x - max));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function expectClose(actual: ArrayLike<number>, expected: readonly number[], relative = 5e-6): void {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(Math.abs((actual[i] ?? Number.NaN) - value)).toBeLessThanOrEqual(relative * value + 1e-37);
  });
}

/** Deep equality of long arrays takes seconds. */
const same = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset, a.byteLength),
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  ) === 0;

const rows = fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 300 });
const algorithms = ['auto', 'twoPass', 'recompute', 'reload', 'online'] as const;

test.each(algorithms)('%s agrees with f64', (algorithm) => {
  fc.assert(
    fc.property(rows, (row) => {
      const x = Float32Array.from(row);
      expectClose(softmax(x, { algorithm }), exact([...x]), algorithm === 'twoPass' ? 1e-6 : 5e-6);
    }),
  );
});

test('logSoftmax, logSumExp and crossEntropy agree with each other and with f64', () => {
  fc.assert(
    fc.property(rows, (row) => {
      const x = Float32Array.from(row);
      const max = Math.max(...x);
      const lse = max + Math.log(x.reduce((sum, value) => sum + Math.exp(value - max), 0));
      const tolerance = 4e-6 * Math.max(1, Math.abs(lse));
      expect(Math.abs(logSumExp(x) - lse)).toBeLessThan(tolerance);
      logSoftmax(x).forEach((value, i) => {
        expect(Math.abs(value - ((x[i] ?? 0) - lse))).toBeLessThan(2 * tolerance + 1e-5);
        expect(Math.abs(crossEntropy(x, i) + (x[i] ?? 0) - lse)).toBeLessThan(tolerance);
      });
    }),
    { numRuns: 20 },
  );
});

test('rows of a shape, an inner axis, any number of threads', () => {
  const x = Float32Array.from({ length: 2 * 3 * 4 }, (_, i) => Math.sin(i) * 5);
  const last = softmax(x, { shape: [2, 3, 4] });
  const middle = softmax(x, { shape: [2, 3, 4], axis: 1 });
  expect(softmax(x, { shape: [2, 3, 4], axis: -2 })).toEqual(middle);
  for (let outer = 0; outer < 2; outer++) {
    for (let row = 0; row < 3; row++) {
      const at = (outer * 3 + row) * 4;
      expect(last.subarray(at, at + 4)).toEqual(softmax(x.slice(at, at + 4)));
    }
    for (let column = 0; column < 4; column++) {
      const indices = [0, 1, 2].map((k) => (outer * 3 + k) * 4 + column);
      expect(indices.map((i) => middle[i])).toEqual([
        ...softmax(Float32Array.from(indices, (i) => x[i] ?? 0)),
      ]);
    }
  }
  const long = Float32Array.from({ length: 400_000 }, (_, i) => Math.sin(i * i) * 9);
  expect(same(softmax(long, { threads: 1 }), softmax(long))).toBe(true);
});

test('out is filled and returned, and may be the input', () => {
  const x = Float32Array.of(1, 2, 3);
  const expected = softmax(x);
  const out = new Float32Array(3);
  expect(softmax(x, { out })).toBe(out);
  expect(out).toEqual(expected);
  for (const options of [{ out: x }, { out: x, shape: [3, 1], axis: 0 }] satisfies SoftmaxOptions[]) {
    x.set([1, 2, 3]);
    expect(softmax(x, options)).toBe(x);
    expect(x).toEqual(expected);
  }
  const memory = new Float32Array(10);
  expect(codeOf(() => softmax(memory.subarray(0, 6), { out: memory.subarray(2, 8) }))).toBe('ERR_OVERLAP');
  expect(codeOf(() => softmax(memory.subarray(0, 5), { out: memory.subarray(5) }))).toBe('no error');
});

describe('what is hidden becomes 0, and -Infinity of the logarithm', () => {
  const x = Float32Array.of(1, 2, 3, 4, 5, 6);
  const shape = [2, 3];
  const two = (a: number, b: number) => [...softmax(Float32Array.of(a, b))];
  test.each<[string, SoftmaxOptions]>([
    ['boolean mask of one row', { mask: Uint8Array.of(1, 1, 0) }],
    ['boolean mask of all', { mask: Uint8Array.of(1, 1, 0, 1, 1, 0) }],
    ['additive mask', { mask: Float32Array.of(0, 0, Number.NEGATIVE_INFINITY) }],
    ['additive mask of finite numbers', { mask: Float32Array.of(0, 0, -3.4e38) }],
    ['row lengths', { lengths: [2, 2] }],
  ])('%s', (_, options) => {
    const out = softmax(x, { ...options, shape });
    expect([...out]).toEqual([...two(1, 2), 0, ...two(4, 5), 0]);
    expect(logSoftmax(x, { ...options, shape })[2]).toBeLessThan(-1e38);
  });
  test('causal', () => {
    expect([...softmax(x, { shape, causalOffset: 0 })]).toEqual([1, 0, 0, ...two(4, 5), 0]);
    expect(softmax(x, { shape, causalOffset: 2 })).toEqual(softmax(x, { shape }));
    expect(codeOf(() => softmax(x, { causalOffset: 0 }))).toBe('ERR_SHAPE');
  });
});

test('scale, soft cap and sink', () => {
  const x = Float32Array.of(1, -2, 3);
  expectClose(softmax(x, { scale: 0.5 }), exact([0.5, -1, 1.5]));
  expectClose(softmax(x, { softCap: 2 }), exact([...x].map((value) => 2 * Math.tanh(value / 2))));
  expectClose(softmax(x, { sink: 1.5 }), exact([...x, 1.5]).slice(0, 3));
});

test('rows without a largest element', () => {
  const hidden = new Float32Array(4).fill(Number.NEGATIVE_INFINITY);
  expect([...softmax(hidden)]).toEqual([0, 0, 0, 0]);
  expect([...softmax(hidden, { emptyRow: 'uniform' })]).toEqual([0.25, 0.25, 0.25, 0.25]);
  expect([...softmax(hidden, { emptyRow: 'nan' })]).toEqual([Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
  const infinite = Float32Array.of(1, Number.POSITIVE_INFINITY);
  expect([...softmax(infinite)]).toEqual([Number.NaN, Number.NaN]);
  expect([...softmax(infinite, { infiniteRow: 'oneHot' })]).toEqual([0, 1]);
  expect(softmax(new Float32Array())).toHaveLength(0);
  expect(softmax(new Float32Array(), { shape: [0, 5] })).toHaveLength(0);
});

test('the asynchronous call gives the same bits and keeps its arrays to itself', async () => {
  const x = Float32Array.from({ length: 300_000 }, (_, i) => Math.cos(i) * 7);
  const expected = softmax(x, { scale: 2 });
  const result = softmaxAsync(x, { scale: 2 });
  expect(codeOf(() => softmax(x))).toBe('ERR_BUSY');
  expect(codeOf(() => softmax(Float32Array.of(1), { out: x.subarray(0, 1) }))).toBe('ERR_BUSY');
  expect(same(await result, expected)).toBe(true);
  expect(same(softmax(x, { scale: 2 }), expected)).toBe(true);
  expect(await softmaxAsync(x, { scale: 2, out: x })).toBe(x);
  expect(same(x, expected)).toBe(true);
  await expect(softmaxAsync(x, { lengths: [1, 2] })).rejects.toMatchObject({ code: 'ERR_SHAPE' });
  await expect(softmaxAsync(x.subarray(0, 9), { out: x.subarray(1, 10) })).rejects.toMatchObject({
    code: 'ERR_OVERLAP',
  });
});

test('crossEntropy of many rows', () => {
  const logits = Float32Array.of(1, 2, 3, 3, 2, 1);
  expect([...crossEntropy(logits, [2, 0])]).toEqual([
    crossEntropy(logits.slice(0, 3), 2),
    crossEntropy(logits.slice(3), 0),
  ]);
  expect(codeOf(() => crossEntropy(logits, [3, 0]))).toBe('ERR_SHAPE');
  expect(codeOf(() => crossEntropy(logits, [0, 0, 0, 0]))).toBe('ERR_SHAPE');
  expect(logSumExp(logits, { shape: [2, 3] })).toHaveLength(2);
  expect(logSumExp(new Float32Array())).toBe(Number.NEGATIVE_INFINITY);
});

test('topK agrees with a sort', () => {
  fc.assert(
    fc.property(rows, fc.nat(50), (row, k) => {
      const x = Float32Array.from(row, Math.fround);
      const order = [...x.keys()].sort((a, b) => (x[b] ?? 0) - (x[a] ?? 0) || a - b).slice(0, k);
      const { indices, values } = topK(x, k);
      expect([...indices]).toEqual(order);
      expect([...values]).toEqual(order.map((index) => x[index]));
    }),
  );
});

test('nonsense is refused with a code', () => {
  const x = new Float32Array(6);
  // @ts-expect-error
  expect(codeOf(() => softmax([1, 2]))).toBe('ERR_OPTION');
  // @ts-expect-error
  expect(codeOf(() => softmax(x, { algorithm: 'fast' }))).toBe('ERR_OPTION');
  // @ts-expect-error
  expect(codeOf(() => softmax(x, { axes: 1 }))).toBe('ERR_OPTION');
  expect(codeOf(() => softmax(x, { axis: 1 }))).toBe('ERR_OPTION');
  expect(codeOf(() => softmax(x, { shape: [4, 2] }))).toBe('ERR_SHAPE');
  expect(codeOf(() => softmax(x, { out: new Float32Array(5) }))).toBe('ERR_SHAPE');
  expect(codeOf(() => softmax(x, { mask: new Uint8Array(4) }))).toBe('ERR_SHAPE');
  expect(codeOf(() => softmax(x, { shape: [2, 3], lengths: [4, 0] }))).toBe('ERR_OPTION');
  expect(codeOf(() => softmax(x, { threads: 0 }))).toBe('ERR_OPTION');
  expect(codeOf(() => softmax(x, { softCap: 0 }))).toBe('ERR_OPTION');
  expect(codeOf(() => topK(x, -1))).toBe('ERR_OPTION');
});
