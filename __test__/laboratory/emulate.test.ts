import fc from 'fast-check';
import { expect, expectTypeOf, test } from 'vitest';
import { type Emulator, emulate, parseFormat, wasserstein1 } from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

test('sums stand still where half a unit is more than the term', () => {
  const harmonic = Float32Array.from({ length: 2000 }, (_, k) => 1 / (k + 1));
  for (const [format, expected] of [
    ['f16', 7.0859375],
    ['bf16', 5.0625],
  ] as const) {
    const machine = emulate(format);
    expect(machine.sum(machine.chop(harmonic))).toBe(expected);
  }
});

test('operations round once, on numbers and on arrays', () => {
  const half = emulate('f16');
  const unit = 2 ** -10;
  expect(half.add(1, unit / 2)).toBe(1);
  // A part that f64 does not hold beside 1 breaks the tie.
  expect(half.add(1 + unit / 2, 2 ** -60)).toBe(1 + unit);
  expect(half.multiply(300, 300)).toBe(Number.POSITIVE_INFINITY);
  expect(emulate('f16', { overflow: 'saturate' }).multiply(300, 300)).toBe(65504);
  expect(half.divide(Float32Array.of(1, 2), 3)).toEqual(Float32Array.of(0.333251953125, 0.66650390625));
  expect(half.subtract(1, Float32Array.of(1, 2))).toEqual(Float32Array.of(0, -1));
  expect(half.sqrt(2)).toBe(1.4140625);
  expect(half.fma(1 + unit / 2, 1, 2 ** -60)).toBe(1 + unit);
  expect(half.dot(Float32Array.of(1, 2), Float32Array.of(3, 4))).toBe(11);
  expect(half.dot(Float32Array.of(1, 2), Float32Array.of(3, 4), { fused: true })).toBe(11);
  expect(half.round(0.1)).toBe(0.0999755859375);
  expectTypeOf(half.add(1, 2)).toEqualTypeOf<number>();
  expectTypeOf(half.add(1, Float32Array.of(2))).toEqualTypeOf<Float32Array>();
});

test('chop is what encoding and decoding each element gives, for any format without scales', () => {
  const formats = ['e4m3fn', 'e5m2', 'f16', 'bf16', 'e6m5', 'q4.4', 'posit8', 'tf32'];
  const float = fc.float({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(
      fc.constantFrom(...formats),
      fc.array(float, { minLength: 1, maxLength: 70 }),
      (name, list) => {
        const values = Float32Array.from(list);
        const format = parseFormat(name);
        const expected = values.map((x) => format.decode(format.encode(x, { overflow: 'ieee' })));
        expect(emulate(name).chop(values)).toEqual(expected);
      },
    ),
  );
});

test('chop by kernels draws the same random bits as one number after another', () => {
  const options = { rounding: 'stochastic', overflow: 'saturate', seed: 5 } as const;
  const values = Float32Array.from({ length: 100 }, (_, i) => Math.sin(i) * 3);
  const [whole, parts] = [emulate('e4m3fn', options), emulate('e4m3fn', options)];
  // A product with 1 is no chop: no kernel does it.
  expect(whole.chop(values)).toEqual(parts.multiply(values, 1));
  expect(whole.chop(values)).toEqual(parts.multiply(values, 1));
});

test('results go where they are wanted, also over an operand', () => {
  const half = emulate('f16');
  const a = Float32Array.of(0.1, 0.2);
  const out = new Float32Array(2);
  expect(half.chop(a, out)).toBe(out);
  expect(half.add(a, a, a)).toBe(a);
  expect(a).toEqual(Float32Array.of(0.199951171875, 0.39990234375));
  const shared = new Float32Array(4).fill(1);
  half.add(shared.subarray(0, 2), shared.subarray(2), shared.subarray(1, 3));
  expect(shared).toEqual(Float32Array.of(1, 2, 2, 1));
  expect(half.chop(new Float32Array(0))).toEqual(new Float32Array(0));
});

test('random modes repeat for a seed, and draw anew for each operation', () => {
  const run = (seed: number) => {
    const machine = emulate('bf16', { rounding: 'stochastic', seed });
    const value = new Float32Array(100).fill(1 + 2 ** -8);
    return [machine.chop(value), machine.chop(value)];
  };
  expect(run(1)).toEqual(run(1));
  expect(run(1)[0]).not.toEqual(run(1)[1]);
  expect(run(1)[0]).not.toEqual(run(2)[0]);
});

test('mistakes have codes', () => {
  const half = emulate('f16');
  expect(codeOf(() => half.add(Float32Array.of(1, 2), Float32Array.of(1)))).toBe('ERR_SHAPE');
  expect(codeOf(() => half.chop(Float32Array.of(1, 2), new Float32Array(3)))).toBe('ERR_SHAPE');
  expect(codeOf(() => half.chop([1] as unknown as Float32Array))).toBe('ERR_OPTION');
  expect(codeOf(() => half.dot(Float32Array.of(1), Float32Array.of(1, 2)))).toBe('ERR_SHAPE');
  expect(codeOf(() => emulate('complex2'))).toBe('ERR_FORMAT_UNSUPPORTED');
  expect(codeOf(() => emulate('q4.4').divide(0, 0))).toBe('ERR_NAN');
  expect(codeOf(() => emulate('f16', { rounding: 'up' as 'toOdd' }))).toBe('ERR_OPTION');
  expect(codeOf(() => emulate('mxfp4').sum(Float32Array.of(1)))).toBe('ERR_FORMAT_UNSUPPORTED');
});

/** A bar with cold ends: explicit steps so small that half of a bfloat16 unit is more than a change. */
function heat(machine: Emulator | undefined): Float32Array {
  const cells = 33;
  let bar = new Float32Array(cells)
    .fill(1)
    .fill(0, 0, 1)
    .fill(0, cells - 1);
  for (let step = 0; step < 4000; step++) {
    const left = bar.subarray(0, -2);
    const right = bar.subarray(2);
    const middle = bar.subarray(1, -1);
    const next = new Float32Array(cells);
    if (machine === undefined) {
      for (let i = 1; i < cells - 1; i++)
        next[i] = (bar[i] ?? 0) + 0.002 * ((bar[i - 1] ?? 0) + (bar[i + 1] ?? 0) - 2 * (bar[i] ?? 0));
    } else {
      const curvature = machine.subtract(machine.add(left, right), machine.multiply(2, middle));
      next.set(machine.add(middle, machine.multiply(0.002, curvature)), 1);
    }
    bar = next;
  }
  return bar;
}

test('row 30: stochastic rounding mends the stagnation of the heat equation', () => {
  const exact = heat(undefined);
  const nearest = wasserstein1(heat(emulate('bf16')), exact);
  const stochastic = wasserstein1(heat(emulate('bf16', { rounding: 'stochastic', seed: 1 })), exact);
  expect(stochastic).toBeLessThan(nearest / 4);
});
