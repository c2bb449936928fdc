import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { describe, formatNames, lMul, parseFormat } from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

test('names are those of the literature, ml_dtypes names are aliases', () => {
  expect(parseFormat('float8_e4m3fn').name).toBe('e4m3fn');
  expect(parseFormat('bfloat16').name).toBe('bf16');
  expect(parseFormat('int4:g16:f16').name).toBe('int4:g16:f16');
  expect(parseFormat('int4:g128:f16').bitsPerElement).toBe(4.125);
  expect(String(parseFormat('nvfp4'))).toBe('nvfp4');
});

test('every listed format is read back from its name and describes itself', () => {
  const names = formatNames();
  expect(names.length).toBeGreaterThan(80);
  for (const name of names) {
    const format = parseFormat(name);
    expect(parseFormat(format.name).describe(), name).toEqual(format.describe());
    expect(
      format.describe().fields.reduce((sum, { bits }) => sum + bits, 0),
      name,
    ).toBe(format.bits);
  }
});

test('e4m3fn is described as in the OCP standard', () => {
  expect(describe('e4m3fn')).toMatchObject({
    bits: 8,
    fields: [
      { name: 'sign', bits: 1 },
      { name: 'exponent', bits: 4 },
      { name: 'mantissa', bits: 3 },
    ],
    range: [-448, 448],
    minPositive: 2 ** -9,
    minNormal: 2 ** -6,
    epsilon: 0.125,
    codes: 256,
    nanCodes: 2,
    infinityCodes: 0,
    values: null,
  });
  expect(describe('e2m1').values?.map(({ value }) => value)).toEqual([
    -6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6,
  ]);
  // Shared by everybody who parses the same string.
  expect(Object.isFrozen(describe('e4m3fn')) && Object.isFrozen(describe('e4m3fn').fields)).toBe(true);
});

test('unknown formats say what was understood', () => {
  expect(() => parseFormat('int4:g128:f17')).toThrow(/understood 'int4', groups of 128, but not 'f17'/);
  expect(() => parseFormat('e4m3fm')).toThrow(/did you mean 'e4m3fn'/);
  expect(codeOf(() => parseFormat('int4:g128:f17'))).toBe('ERR_FORMAT_SYNTAX');
  expect(codeOf(() => parseFormat(''))).toBe('ERR_FORMAT_SYNTAX');
  // @ts-expect-error no string
  expect(codeOf(() => parseFormat(4))).toBe('ERR_OPTION');
});

/** `golden/minifloats.json` was computed with fractions: every code of the floats of up to 8 bits, and every tie between neighbours. */
const golden: Record<string, { decode: string[]; midpoints: [string, number][] }> = JSON.parse(
  readFileSync(path.join(import.meta.dirname, '../../crates/formats/tests/golden/minifloats.json'), 'utf8'),
);

/** Python's `float.hex`. */
function hexFloat(text: string): number {
  const match = /^(-?)0x([0-9a-f]+)\.([0-9a-f]+)p([+-]\d+)$/.exec(text);
  if (match === null) return Number(text.replace('inf', 'Infinity'));
  const [, sign, whole = '', fraction = '', exponent] = match;
  const digits = Number.parseInt(whole + fraction, 16);
  return (sign === '-' ? -1 : 1) * digits * 2 ** (Number(exponent) - 4 * fraction.length);
}

test('the golden codes of every ml_dtypes format decode, and ties round to the even code', () => {
  let [codes, ties] = [0, 0];
  for (const [name, { decode, midpoints }] of Object.entries(golden)) {
    if (!name.startsWith('float8_') && !['float6_e2m3fn', 'float6_e3m2fn', 'float4_e2m1fn'].includes(name))
      continue;
    const format = parseFormat(name);
    expect(
      decode.map((_, code) => format.decode(code)),
      name,
    ).toEqual(decode.map(hexFloat));
    for (const [value, winner] of midpoints)
      expect(format.encode(hexFloat(value)), `${name} ${value}`).toBe(winner);
    codes += decode.length;
    ties += midpoints.length;
  }
  expect([codes, ties]).toEqual([2192, 1183]);
});

test('single values: overflow, NaN and rounding as asked', () => {
  const e4m3 = parseFormat('e4m3fn');
  expect(e4m3.decode(e4m3.encode(464))).toBe(448);
  expect(e4m3.decode(e4m3.encode(1e9))).toBe(448);
  expect(e4m3.decode(e4m3.encode(1e9, { overflow: 'ieee' }))).toBe(Number.NaN);
  expect(e4m3.decode(e4m3.encode(Number.NaN))).toBe(Number.NaN);
  // Half and single precision overflow as they do everywhere.
  for (const name of ['f16', 'bf16', 'f32']) {
    const format = parseFormat(name);
    expect(format.decode(format.encode(1e300)), name).toBe(Number.POSITIVE_INFINITY);
    expect(format.decode(format.encode(1e300, { overflow: 'saturate' })), name).toBe(
      format.describe().range[1],
    );
  }
  const e2m1 = parseFormat('e2m1');
  expect(codeOf(() => e2m1.encode(Number.NaN))).toBe('ERR_NAN');
  expect(e2m1.decode(e2m1.encode(Number.NaN, { nan: 'zero' }))).toBe(0);
  expect(e2m1.decode(e2m1.encode(Number.NaN, { nan: 'max' }))).toBe(6);
  for (const [rounding, expected] of [
    ['nearestEven', 2],
    ['towardPositive', 3],
    ['towardNegative', 2],
    ['towardZero', 2],
    ['nearestTiesToZero', 2],
    ['nearestTiesAway', 3],
    ['nearestTiesToOdd', 3],
    ['toOdd', 3],
  ] as const) {
    expect(e2m1.decode(e2m1.encode(2.5, { rounding })), rounding).toBe(expected);
  }
  // f64 are rounded once: as f32 this would be a tie.
  expect(e4m3.decode(e4m3.encode(1.0625 + 2 ** -40))).toBe(1.125);
  expect(parseFormat('int4').decode(parseFormat('int4').encode(17, { overflow: 'wrap' }))).toBe(2);
});

test('stochastic rounding compares with the random number that it is given', () => {
  const e2m1 = parseFormat('e2m1');
  const up = (value: number, drawn: number, rounding: 'stochastic' | { mode: 'stochastic'; bits: number }) =>
    e2m1.decode(e2m1.encode(value, { rounding, random: () => drawn }));
  // 2.25 is a quarter of the way from 2 to 3.
  expect(up(2.25, 0.74, 'stochastic')).toBe(2);
  expect(up(2.25, 0.75, 'stochastic')).toBe(3);
  // One bit does not resolve a quarter, and drops it.
  expect(up(2.25, 0.99, { mode: 'stochastic', bits: 1 })).toBe(2);
  expect(codeOf(() => up(2.25, 1, 'stochastic'))).toBe('ERR_OPTION');
  const draws = Array.from({ length: 4096 }, () =>
    e2m1.decode(e2m1.encode(2.25, { rounding: 'stochastic' })),
  );
  const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
  // Five standard deviations of the mean: 5 √(3/16 / 4096).
  expect(Math.abs(mean - 2.25)).toBeLessThan(0.034);
});

test('every code of a format without duplicates encodes back to itself', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('e4m3fn', 'e5m2', 'e2m3', 'int7', 'uint5', 'nf4', 'posit8', 'q4.4', 'bipolar4', 'f16'),
      fc.nat(2 ** 16 - 1),
      (name, seed) => {
        const format = parseFormat(name);
        const code = seed % 2 ** format.bits;
        const value = format.decode(code);
        const again = format.encode(value, { overflow: 'ieee' });
        return Object.is(format.decode(again), value);
      },
    ),
  );
});

test('codes and values are checked', () => {
  const e4m3 = parseFormat('e4m3fn');
  expect(codeOf(() => e4m3.decode(256))).toBe('ERR_OPTION');
  expect(codeOf(() => e4m3.decode(-1))).toBe('ERR_OPTION');
  expect(codeOf(() => e4m3.decode(0.5))).toBe('ERR_OPTION');
  // @ts-expect-error no number
  expect(codeOf(() => e4m3.encode('1'))).toBe('ERR_OPTION');
  // @ts-expect-error misspelt
  expect(codeOf(() => e4m3.encode(1, { rouding: 'toOdd' }))).toBe('ERR_OPTION');
});

test('L-Mul adds mantissas', () => {
  // (1 + 0.5 + 0.25 + 2^-4) × 2, and 1 + 1/16.
  expect(lMul(1.5, 2.5)).toBe(3.625);
  expect(lMul(1, 1)).toBe(1.0625);
  // 0.75 + 0.5 + 1/16 carries: doubled in the exponent, or added as it stands.
  expect(lMul(1.75, 1.5)).toBe(2 * (1 + 0.3125));
  expect(lMul(1.75, 1.5, { variant: 'linear' })).toBe(2.3125);
  expect(lMul(Float32Array.of(1, 2), Float32Array.of(1, -1))).toEqual(Float32Array.of(1.0625, -2.125));
  expect(codeOf(() => lMul(Float32Array.of(1), Float32Array.of(1, 2)))).toBe('ERR_SHAPE');
  expect(codeOf(() => lMul(1, 1, { mantissaBits: 24 }))).toBe('ERR_OPTION');
});
