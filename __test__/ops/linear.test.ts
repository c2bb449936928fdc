import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  activeKernels,
  linear,
  linearAsync,
  type PackedWeights,
  packWeights,
  Tensor,
} from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

const ROWS = 48;
const COLUMNS = 128;
const TOKENS = 3;
const FORMATS = [
  'f32',
  'f16',
  'bf16',
  'int8:g32:f16',
  'int4:g128:f16',
  'int4:g32:f16:zp',
  'int3:g64:f16',
  'int5:channel:f32',
  'uint2:g32:f16:min',
  'mxfp4',
  'mxfp8_e4m3',
  'nvfp4',
  'nf4',
  'bitmod4',
  'ternary',
  'bipolar1:channel:f32',
  'e4m3fn',
  'q4_0',
] as const;

const weights = Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => Math.sin(i * 0.37));
const x = Float32Array.from({ length: TOKENS * COLUMNS }, (_, i) => Math.cos(i * 0.11));

/** In double precision, of the weights as they were rounded. */
function product(rounded: Float32Array, bias?: Float32Array): number[] {
  return Array.from({ length: TOKENS * ROWS }, (_, index) => {
    const [token, row] = [Math.floor(index / ROWS), index % ROWS];
    let sum = bias?.[row] ?? 0;
    for (let column = 0; column < COLUMNS; column++)
      sum += (rounded[row * COLUMNS + column] ?? 0) * (x[token * COLUMNS + column] ?? 0);
    return sum;
  });
}

function relativeError(actual: Float32Array, expected: number[]): number {
  const square = (sum: number, value: number) => sum + value * value;
  const difference = expected.map((value, i) => value - (actual[i] ?? Number.NaN));
  return Math.sqrt(difference.reduce(square, 0) / expected.reduce(square, 0));
}

test.each(FORMATS)('%s weights are multiplied as they were rounded', async (format) => {
  const rounded = Tensor.from(weights, { shape: [ROWS, COLUMNS], format });
  using packed = packWeights(weights, { shape: [ROWS, COLUMNS], format });
  const expected = product(rounded.toFloat32());
  expect(relativeError(linear(x, packed, { activations: 'f32' }), expected)).toBeLessThan(2e-6);
  const result = linear(x, packed);
  expect(relativeError(result, expected)).toBeLessThan(packed.activations === 'f32' ? 2e-6 : 0.02);
  expect(packed.shape).toEqual([ROWS, COLUMNS]);
  expect(packed.format).toBe(rounded.format.name);
  expect(packed.kernel).toMatch(/^matmul_/);
  using ofTensor = packWeights(rounded);
  expect(linear(x, ofTensor, { threads: 1 })).toEqual(result);
  expect(await linearAsync(x, packed)).toEqual(result);
  // One token at a time is the same as all at once.
  for (let token = 0; token < TOKENS; token++) {
    const one = linear(x.subarray(token * COLUMNS, (token + 1) * COLUMNS), packed);
    expect(one).toEqual(result.subarray(token * ROWS, (token + 1) * ROWS));
  }
});

test('every way of holding activations is as exact as its width', () => {
  using packed = packWeights(weights, { shape: [ROWS, COLUMNS], format: 'int4:g32:f16' });
  const expected = product(
    Tensor.from(weights, { shape: [ROWS, COLUMNS], format: 'int4:g32:f16' }).toFloat32(),
  );
  const bounds = {
    f32: 2e-6,
    int16: 1e-4,
    'int8-g32': 0.02,
    'int8-g64': 0.02,
    'int8-per-token': 0.02,
    'int8-outliers': 0.02,
    'int8-tables': 0.02,
    'int4-g32': 0.3,
    'bipolar4-g32': 0.2,
    'bipolar3-g32': 0.2,
    'bipolar2-g32': 0.3,
    'bipolar1-g32': 2,
  } as const;
  for (const [activations, bound] of Object.entries(bounds) as [keyof typeof bounds, number][]) {
    const error = relativeError(linear(x, packed, { activations }), expected);
    expect(error, activations).toBeLessThan(bound);
    // Coarser ones are no finer ones under another name.
    if (bound > 0.02) expect(error, activations).toBeGreaterThan(0.02);
  }
});

test('outliers above the threshold stay as they are', () => {
  using packed = packWeights(weights, { shape: [ROWS, COLUMNS], format: 'int8:g32:f16' });
  const spiked = Float32Array.from(x);
  spiked[5] = 1000;
  const exact = linear(spiked, packed, { activations: 'f32' });
  const error = (result: Float32Array) =>
    relativeError(result.subarray(0, ROWS), [...exact.subarray(0, ROWS)]);
  const kept = error(linear(spiked, packed, { activations: 'int8-outliers' }));
  expect(kept * 20).toBeLessThan(
    error(linear(spiked, packed, { activations: 'int8-outliers', outlierThreshold: 2000 })),
  );
});

test('a bias is added, the result goes where it is wanted', () => {
  using packed = packWeights(weights, { shape: [ROWS, COLUMNS], format: 'f32' });
  const bias = Float32Array.from({ length: ROWS }, (_, i) => i - 10);
  const out = new Float32Array(TOKENS * ROWS);
  expect(linear(x, packed, { bias, out })).toBe(out);
  expect(relativeError(out, product(weights, bias))).toBeLessThan(2e-6);
});

test('the choice of kernel changes no bit', async () => {
  for (const format of ['int2:g32:f16', 'int3:g64:f16', 'int4:g32:f16'] as const) {
    const shape = [ROWS, COLUMNS] as const;
    using dot = packWeights(weights, { shape, format, kernel: 'dot' });
    for (const kernel of ['tables', 'int8-tables', 'bit-planes'] as const) {
      using packed = packWeights(weights, { shape, format, kernel });
      for (const activations of ['int8-g32', 'int8-tables', 'bipolar1-g32', 'bipolar2-g32'] as const) {
        const expected = linear(x, dot, { activations });
        expect(linear(x, packed, { activations }), `${format} ${kernel} ${activations}`).toEqual(expected);
        expect(await linearAsync(x, packed, { activations })).toEqual(expected);
      }
    }
  }
});

test('five ternary weights fit in a byte', () => {
  const options = { shape: [ROWS, COLUMNS], format: 'ternary:channel:f32' } as const;
  using dot = packWeights(weights, { ...options, kernel: 'dot' });
  using trits = packWeights(weights, { ...options, kernel: 'trits' });
  expect(trits.layout).toBe('trits_grouped');
  expect(trits.byteLength).toBeLessThan(dot.byteLength);
  expect(linear(x, trits)).toEqual(linear(x, dot));
});

test('any shape is multiplied, also where rows and columns are no whole tiles', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 80 }), (rows, columns) => {
      const values = weights.slice(0, rows * columns);
      using packed = packWeights(values, { shape: [rows, columns], format: 'int8:channel:f32' });
      const rounded = Tensor.from(values, { shape: [rows, columns], format: 'int8:channel:f32' }).toFloat32();
      const token = x.subarray(0, columns);
      const result = linear(token, packed, { activations: 'f32' });
      for (let row = 0; row < rows; row++) {
        const sum = token.reduce(
          (sum, value, column) => sum + value * (rounded[row * columns + column] ?? 0),
          0,
        );
        expect(Math.abs((result[row] ?? Number.NaN) - sum)).toBeLessThan(1e-4);
      }
    }),
    { numRuns: 40 },
  );
});

test('wrong arguments are named', async () => {
  const shape = [ROWS, COLUMNS] as const;
  using packed = packWeights(weights, { shape, format: 'int4:g32:f16' });
  expect(codeOf(() => packWeights(weights))).toBe('ERR_OPTION');
  expect(codeOf(() => packWeights(weights, { shape: [ROWS, COLUMNS + 1] }))).toBe('ERR_SHAPE');
  expect(codeOf(() => packWeights(new Float32Array(0), { shape: [0, 8] }))).toBe('ERR_SHAPE');
  expect(codeOf(() => packWeights(Tensor.from(weights, { shape: [4, 12, COLUMNS], format: 'f16' })))).toBe(
    'ERR_SHAPE',
  );
  const transposed = Tensor.from(weights, { shape, format: 'int4:g32:f16' }).transpose();
  expect(codeOf(() => packWeights(transposed))).toBe('ERR_AXIS');
  expect(codeOf(() => packWeights(weights, { shape, format: 'int4:q' as 'int4' }))).toBe('ERR_FORMAT_SYNTAX');
  expect(codeOf(() => linear(new Float32Array(5), packed))).toBe('ERR_SHAPE');
  expect(codeOf(() => linear(x, packed, { bias: new Float32Array(1) }))).toBe('ERR_SHAPE');
  expect(codeOf(() => linear(x, packed, { out: new Float32Array(1) }))).toBe('ERR_SHAPE');
  expect(codeOf(() => linear(x, packed, { activations: 'int9' as 'f32' }))).toBe('ERR_OPTION');
  const shared = new Float32Array(TOKENS * COLUMNS);
  const overlapping = new Float32Array(shared.buffer, 0, TOKENS * ROWS);
  expect(codeOf(() => linear(shared, packed, { out: overlapping }))).toBe('ERR_OVERLAP');
  await expect(linearAsync(shared, packed, { out: overlapping })).rejects.toMatchObject({
    code: 'ERR_OVERLAP',
  });
  expect(codeOf(() => linear(x, {} as PackedWeights))).toBe('ERR_OPTION');
});

test('arrays of a running product are busy; disposed weights finish it and take no other', async () => {
  const packed = packWeights(weights, { shape: [ROWS, COLUMNS], format: 'int4:g32:f16' });
  const expected = linear(x, packed);
  const running = linearAsync(x, packed);
  expect(codeOf(() => linear(x, packed))).toBe('ERR_BUSY');
  packed.dispose();
  expect(packed.disposed).toBe(true);
  expect(codeOf(() => linear(new Float32Array(COLUMNS), packed))).toBe('ERR_DISPOSED');
  expect(await running).toEqual(expected);
  packed.dispose();
});

test('the kernels in use are listed', () => {
  const kernels = activeKernels();
  using packed = packWeights(weights, { shape: [ROWS, COLUMNS], format: 'q4_0' });
  const names = kernels.map(({ name }) => name);
  expect(names).toContain(packed.kernel);
  // Which activations of their own read.
  expect(names.filter((name) => name.startsWith('int8_lut_f32_u2_grouped__'))).toHaveLength(1);
  expect(names.filter((name) => name.startsWith('popcount_g32_u2_grouped__'))).toHaveLength(1);
});
