import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  analyse,
  compareFormats,
  fitPower,
  parseFormat,
  pqtNoise,
  recommendFloatFormat,
  searchBinaryPoint,
  Tensor,
  wasserstein1,
} from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

/** Sums of twelve draws of a small generator: bell-shaped, and the same everywhere. */
function bell(count: number, seed = 1): Float32Array {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    let sum = -6;
    for (let k = 0; k < 12; k++) sum += uniform();
    return sum;
  });
}

const relativeNoise = (values: ArrayLike<number>, decoded: ArrayLike<number>) => {
  let [signal, noise] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const x = values[i] ?? 0;
    signal += x * x;
    noise += (x - (decoded[i] ?? 0)) ** 2;
  }
  return { signal, noise };
};

describe('analyse', () => {
  test('is what quantizing, decoding and comparing by hand gives', () => {
    const values = bell(4096);
    for (const format of ['nvfp4', 'mxfp4', 'int4:g32:f16', 'e4m3fn', 'uint3:channel', 'w2mix']) {
      const analysis = analyse(values, format, { shape: [8, 512] });
      const decoded = Tensor.from(values, { format, shape: [8, 512] }).toFloat32();
      const { signal, noise } = relativeNoise(values, decoded);
      expect(analysis.sqnr).toBeCloseTo(10 * Math.log10(signal / noise), 9);
      expect(analysis.mse).toBeCloseTo(noise / 4096, 12);
      expect(analysis.count).toBe(4096);
      expect(analysis.bitsPerElement).toBe(parseFormat(format).bitsPerElement);
    }
  });

  test('counts what is clipped and what becomes zero, where it is', () => {
    const values = new Float32Array(64).fill(1);
    values[3] = 7.5;
    values[4] = 0.2;
    const { channels, groups, clipped, underflowed, maxError } = analyse(values, 'mxfp4', { shape: [2, 32] });
    expect([clipped, underflowed, maxError]).toEqual([1, 1, 1.5]);
    expect([channels.length, groups.length]).toEqual([2, 2]);
    expect([groups[0]?.clipped, groups[1]?.clipped]).toEqual([1, 0]);
    expect(groups[1]?.sqnr).toBe(Number.POSITIVE_INFINITY);
    // The scale of int4 groups is rounded to f16: that clips nothing.
    expect(analyse(bell(4096), 'int4:g128:f16', { shape: [8, 512] }).clipped).toBe(0);
  });

  test('channels run along the axis', () => {
    const columns = Float32Array.from({ length: 32 }, (_, i) => (i % 4 === 2 ? 1000 : 1) * (1 + (i >> 2)));
    const along = analyse(columns, 'int4:channel', { shape: [8, 4], axis: 0 });
    const across = analyse(columns, 'int4:channel', { shape: [8, 4] });
    expect([along.channels.length, across.channels.length]).toEqual([4, 8]);
    expect(along.sqnr).toBeLessThan(across.sqnr + 60);
    expect(along.underflowed).toBe(0);
    expect(across.underflowed).toBe(24);
  });

  test('takes tensors, nested arrays and options of rounding', () => {
    const values = bell(256);
    const tensor = Tensor.from(values, { format: 'f32', shape: [2, 128] });
    expect(analyse(tensor, 'int4:g32:f16')).toEqual(analyse(values, 'int4:g32:f16', { shape: [2, 128] }));
    expect(
      analyse(
        [
          [1, 2],
          [3, 4],
        ],
        'e2m1',
      ).sqnr,
    ).toBe(Number.POSITIVE_INFINITY);
    const noise = (seed: number) => analyse(values, 'e2m1', { rounding: 'stochastic', seed }).mse;
    expect(noise(1)).toBe(noise(1));
    expect(noise(1)).not.toBe(noise(2));
    expect(noise(1)).toBeGreaterThan(analyse(values, 'e2m1').mse);
  });

  test('mistakes have codes', () => {
    const values = bell(16);
    expect(codeOf(() => analyse(values, 'e4m3fm'))).toBe('ERR_FORMAT_SYNTAX');
    expect(codeOf(() => analyse(values, 'int4', { shape: [3, 5] }))).toBe('ERR_SHAPE');
    expect(codeOf(() => analyse(values, 'int4', { shape: [4, 4], axis: 2 }))).toBe('ERR_AXIS');
    expect(codeOf(() => analyse(values, 'w2mix'))).toBe('ERR_SHAPE');
    expect(codeOf(() => analyse([1, Number.NaN], 'int4'))).toBe('ERR_NAN');
    expect(codeOf(() => analyse(values, 'int4', { seed: -1 }))).toBe('ERR_OPTION');
    // @ts-expect-error no such option
    expect(codeOf(() => analyse(values, 'int4', { shapes: [16] }))).toBe('ERR_OPTION');
  });
});

test('compareFormats orders formats by what they keep', () => {
  const errors = compareFormats(bell(4096), ['int4:g32:f16', 'mxfp4', 'int8', parseFormat('ternary')], {
    shape: [4, 1024],
  });
  expect(errors.map(({ format }) => format)).toEqual(['int8', 'int4:g32:f16', 'mxfp4', 'ternary']);
  expect(errors.every(({ sqnr }, i) => i === 0 || sqnr <= (errors[i - 1]?.sqnr ?? 0))).toBe(true);
  expect(codeOf(() => compareFormats([1], 'int4' as unknown as string[]))).toBe('ERR_OPTION');
});

describe('searches', () => {
  test('recommendFloatFormat measures every split as analyse does', () => {
    const tensor = Tensor.from(bell(8192, 3), { format: 'f32', shape: [8, 1024] });
    for (const bits of [4, 6, 8]) {
      const { splits, ...best } = recommendFloatFormat({ bits, tensor, per: 'g32' });
      expect(splits.length).toBe(bits - 1);
      expect(splits[0]).toEqual(best);
      for (const { format, sqnr, exponentBits, mantissaBits } of splits) {
        expect(1 + exponentBits + mantissaBits).toBe(bits);
        expect(analyse(tensor, format).sqnr).toBeCloseTo(sqnr, 4);
      }
    }
    expect(codeOf(() => recommendFloatFormat({ bits: 2, tensor }))).toBe('ERR_OPTION');
    expect(codeOf(() => recommendFloatFormat({ bits: 4, tensor, per: 'g0' }))).toBe('ERR_OPTION');
  });

  test('searchBinaryPoint finds the best of all binary points', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 8 }),
        fc.double({ min: 0.01, max: 1000, noNaN: true }),
        (bits, scale) => {
          const values = bell(200, bits).map((x) => x * scale);
          const { format, fractionBits, sqnr } = searchBinaryPoint(values, { bits });
          expect(analyse(values, format).sqnr).toBeCloseTo(sqnr, 9);
          for (let point = fractionBits - 3; point <= fractionBits + 3; point++) {
            expect(analyse(values, `q${bits - point}.${point}s`).sqnr).toBeLessThanOrEqual(sqnr + 1e-9);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('fitPower bends the grid to heavy tails and leaves a flat one alone', () => {
    const heavy = bell(8192).map((x) => x * Math.abs(x));
    const { exponent, format, sqnr } = fitPower(heavy, { bits: 4, per: 'g128', shape: [8, 1024] });
    expect(exponent).toBeLessThan(0.8);
    expect(sqnr).toBeGreaterThan(analyse(heavy, 'int4:g128:f16', { shape: [8, 1024] }).sqnr + 1);
    expect(analyse(heavy, format, { shape: [8, 1024] }).sqnr).toBeCloseTo(sqnr, 9);
    const flat = Float32Array.from({ length: 4096 }, (_, i) => Math.fround(((i * 0.618034) % 2) - 1));
    expect(fitPower(flat, { bits: 4 }).exponent).toBeGreaterThan(0.95);
  });
});

test('wasserstein1 is the distance that a pile of sand is moved', () => {
  expect(wasserstein1([0, 1, 3], [5, 6, 8])).toBe(5);
  expect(wasserstein1(Float32Array.of(1, 2, 3), Float64Array.of(3, 2, 1))).toBe(0);
  expect(wasserstein1([], [1])).toBeNaN();
  expect(codeOf(() => wasserstein1([1], [Number.POSITIVE_INFINITY]))).toBe('ERR_NAN');
  const numbers = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(numbers, numbers, fc.integer({ min: -100, max: 100 }), (a, b, shift) => {
      expect(wasserstein1(a, b)).toBe(wasserstein1(b, a));
      expect(
        wasserstein1(
          a,
          a.map((x) => x + shift),
        ),
      ).toBeCloseTo(Math.abs(shift), 6);
    }),
  );
});

describe('pqtNoise', () => {
  test('is whole steps of the block, and depends on the seed alone', () => {
    const weights = bell(64 * 64);
    const noise = pqtNoise(weights, { bits: 4, shape: [64, 64], seed: 3 });
    expect(pqtNoise(weights, { bits: 4, shape: [64, 64], seed: 3 })).toEqual(noise);
    expect(pqtNoise(weights, { bits: 4, shape: [64, 64], seed: 4 })).not.toEqual(noise);
    const block = Array.from({ length: 32 * 32 }, (_, i) => noise[(i >> 5) * 64 + (i & 31)] ?? 0);
    const step = Math.min(...block.map(Math.abs).filter((x) => x > 0));
    expect(new Set(block.map((x) => Math.abs(x) / step)).size).toBeLessThanOrEqual(3);
    // P(|N(0, 1)| < 1) = 0.683.
    const quiet = noise.filter((x) => x === 0).length / noise.length;
    expect(quiet).toBeGreaterThan(0.65);
    expect(quiet).toBeLessThan(0.72);
  });

  test('uniform noise is at most half a step', () => {
    const noise = pqtNoise(Float32Array.of(1, -1, 0.5, 0), { bits: 2, per: 'tensor', noise: 'uniform' });
    expect(noise.every((x) => Math.abs(x) <= 0.25)).toBe(true);
    expect(codeOf(() => pqtNoise([1], { bits: 1 }))).toBe('ERR_OPTION');
    expect(codeOf(() => pqtNoise([1], { bits: 4, per: 'row' as 'tensor' }))).toBe('ERR_OPTION');
  });
});
