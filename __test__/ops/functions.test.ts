import { expect, test } from 'vitest';
import {
  addRmsNorm,
  attention,
  cos,
  type ElementwiseFunction,
  exp,
  exp2,
  fitVonMisesFisher,
  gelu,
  geluTanh,
  l2Norm,
  layerNorm,
  lMulDot,
  log,
  logBesselI,
  logBesselK,
  reluSquared,
  rmsNorm,
  rope,
  rsqrt,
  sigmoid,
  silu,
  sin,
  softplus,
  tanh,
  vonMisesFisherLogDensity,
} from '../../ts/index.ts';

const sigmoidOf = (x: number) => 1 / (1 + Math.exp(-x));
/** The normal distribution, by the series of erf: good to 1e-12 for |x| < 4. */
function phi(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 100; n++) {
    term *= (-x * x) / (2 * n);
    sum += term / (2 * n + 1);
  }
  return 0.5 + sum / Math.sqrt(2 * Math.PI);
}
const cube = (x: number) => Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);

test.each<[string, ElementwiseFunction, (x: number) => number]>([
  ['exp', exp, Math.exp],
  ['exp2', exp2, (x) => 2 ** x],
  ['log', log, Math.log],
  ['sigmoid', sigmoid, sigmoidOf],
  ['tanh', tanh, Math.tanh],
  ['silu', silu, (x) => x * sigmoidOf(x)],
  ['gelu', gelu, (x) => x * phi(x)],
  ['geluTanh', geluTanh, (x) => (x / 2) * (1 + Math.tanh(cube(x)))],
  ['reluSquared', reluSquared, (x) => Math.max(0, x) ** 2],
  ['softplus', softplus, (x) => Math.log1p(Math.exp(x))],
  ['rsqrt', rsqrt, (x) => 1 / Math.sqrt(x)],
  ['sin', sin, Math.sin],
  ['cos', cos, Math.cos],
])('%s in each class, in place and not', (_, call, exact) => {
  const x = Float32Array.from({ length: 1001 }, (_, i) => (i - 500) / 130);
  for (const [accuracy, bound] of [
    ['1ulp', 1e-6],
    ['fast', 2e-6],
    ['bf16', 1.2e-3],
  ] as const) {
    const out = call(x, { accuracy });
    out.forEach((value, i) => {
      const wanted = exact(x[i] ?? 0);
      if (Number.isNaN(wanted)) expect(value).toBeNaN();
      else if (Number.isFinite(wanted))
        expect(Math.abs(value - wanted)).toBeLessThanOrEqual(bound * Math.abs(wanted) + 1e-12);
      else expect(value).toBe(wanted);
    });
    const copy = x.slice();
    expect(call(copy, { accuracy, out: copy })).toBe(copy);
    expect(copy).toEqual(out);
  }
  // @ts-expect-error
  expect(() => call(x, { accuracy: 'exact' })).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
});

test('norms', () => {
  const x = Float32Array.of(1, 2, 3, 4, -1, 0, 1, 0);
  const weight = Float32Array.of(1, 2, 1, 1);
  const bias = Float32Array.of(0, 0, 0, 5);
  const close = (actual: Float32Array, expected: number[]) =>
    expected.forEach((value, i) => {
      expect(actual[i]).toBeCloseTo(value, 5);
    });
  const rms = Math.sqrt(30 / 4 + 1e-5);
  close(rmsNorm(x, weight), [1 / rms, 4 / rms, 3 / rms, 4 / rms, -1 / Math.sqrt(0.5 + 1e-5)]);
  const deviation = Math.sqrt(1.25 + 1e-5);
  close(layerNorm(x, weight, bias), [-1.5 / deviation, -1 / deviation, 0.5 / deviation, 1.5 / deviation + 5]);
  close(
    l2Norm(x, { rowLength: 4 }),
    [1, 2, 3, 4].map((value) => value / Math.sqrt(30)),
  );
  const residual = x.slice();
  const out = addRmsNorm(residual, new Float32Array(8).fill(1), weight, { epsilon: 0 });
  expect([...residual]).toEqual([2, 3, 4, 5, 0, 1, 2, 1]);
  expect(out).toEqual(rmsNorm(residual, weight, { epsilon: 0 }));
  expect(rmsNorm(residual, weight, { epsilon: 0, out: residual })).toEqual(out);
  for (const call of [
    () => rmsNorm(x.subarray(1), weight),
    () => layerNorm(x, weight, bias.subarray(1)),
    () => rmsNorm(x, new Float32Array()),
    () => addRmsNorm(x, x.slice(1), weight),
  ])
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
  expect(() => addRmsNorm(x, x, weight)).toThrow(expect.objectContaining({ code: 'ERR_OVERLAP' }));
});

test('rope turns pairs by their position, both ways of pairing', () => {
  const x = Float32Array.of(1, 0, 1, 0, 9, 1, 0, 1, 0, 9);
  const turned = rope(x, { shape: [2, 1, 5], rotaryDim: 4, pairing: 'interleaved' });
  expect([...turned.subarray(0, 5)]).toEqual([1, 0, 1, 0, 9]);
  [Math.cos(1), Math.sin(1), Math.cos(0.01), Math.sin(0.01), 9].forEach((value, i) => {
    expect(turned[5 + i]).toBeCloseTo(value, 6);
  });
  const halves = rope(Float32Array.of(1, 1, 0, 0), { shape: [1, 1, 4], positions: [3], base: 100 });
  [Math.cos(3), Math.cos(0.3), Math.sin(3), Math.sin(0.3)].forEach((value, i) => {
    expect(halves[i]).toBeCloseTo(value, 6);
  });
  expect(rope(x, { shape: [2, 1, 5], rotaryDim: 4, pairing: 'interleaved', out: x })).toBe(x);
  expect(x).toEqual(turned);
  const shape = [2, 1, 5] as const;
  expect(() => rope(x, { shape, rotaryDim: 3 })).toThrow(expect.objectContaining({ code: 'ERR_ROPE' }));
  expect(() => rope(x, { shape, positions: [1] })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
  expect(() => rope(x, { shape, positions: [1, 2 ** 30] })).toThrow(
    expect.objectContaining({ code: 'ERR_OPTION' }),
  );
});

test('attention: causal, grouped heads, chunks of queries', () => {
  const random = (length: number, seed: number) =>
    Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898 + seed) * 1.5);
  const [queries, heads, kvHeads, headDim] = [20, 4, 2, 8];
  const q = random(queries * heads * headDim, 1);
  const k = random(queries * kvHeads * headDim, 2);
  const v = random(queries * kvHeads * headDim, 3);
  const shape = { heads, kvHeads, headDim };
  const out = attention(q, k, v, { ...shape, causal: true });
  for (const [query, head] of [
    [0, 0],
    [7, 3],
    [19, 1],
  ] as const) {
    const part = (x: Float32Array, count: number, at: number, d: number) => x[at * count * headDim + d] ?? 0;
    const group = Math.floor(head / 2);
    const scores = Array.from({ length: query + 1 }, (_, key) => {
      let dot = 0;
      for (let d = 0; d < headDim; d++)
        dot += part(q, heads, query, head * headDim + d) * part(k, kvHeads, key, group * headDim + d);
      return Math.exp(dot / Math.sqrt(headDim));
    });
    const total = scores.reduce((sum, score) => sum + score, 0);
    for (let d = 0; d < headDim; d++) {
      const exact = scores.reduce(
        (sum, score, key) => sum + (score / total) * part(v, kvHeads, key, group * headDim + d),
        0,
      );
      expect(part(out, heads, query, head * headDim + d)).toBeCloseTo(exact, 5);
    }
  }
  const decoded = Array.from({ length: queries }, (_, i) => {
    const end = (i + 1) * kvHeads * headDim;
    return [
      ...attention(q.slice(i * 32, (i + 1) * 32), k.slice(0, end), v.slice(0, end), {
        ...shape,
        causal: true,
      }),
    ];
  });
  expect(decoded.flat()).toEqual([...out]);
  const near = attention(q, k, v, { ...shape, causal: true, lMul: { mantissaBits: 5 } });
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
  const cosine = dot(near, out) / Math.sqrt(dot(near, near) * dot(out, out));
  expect(cosine).toBeGreaterThan(0.99);
  expect(cosine).toBeLessThan(0.999999);
  expect(() => attention(q, k, v, { ...shape, headDim: 7 })).toThrow(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  );
  expect(() => attention(q, k, v, { ...shape, out: q })).toThrow(
    expect.objectContaining({ code: 'ERR_OVERLAP' }),
  );
});

test('L-Mul adds where others multiply', () => {
  expect(lMulDot(Float32Array.of(1, 2), Float32Array.of(1, -1))).toBe(1.0625 - 2.125);
  expect(lMulDot(Float32Array.of(1.75), Float32Array.of(1.75), { mantissaBits: 2 })).toBe(3.5);
  expect(lMulDot(Float32Array.of(1.75), Float32Array.of(1.75), { mantissaBits: 2, variant: 'linear' })).toBe(
    2.75,
  );
  expect(() => lMulDot(Float32Array.of(1), new Float32Array())).toThrow(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  );
});

test('logarithms of Bessel functions far beyond the range of f64', () => {
  expect(logBesselI(1023, 300)).toBeCloseTo(-923.6568945328137, 9);
  expect(logBesselI(16_383, 300)).toBeCloseTo(-60512.783344823, 7);
  // I and K of order 1/2 are elementary.
  const x = Float64Array.of(0.3, 2, 40, 5000);
  logBesselK(0.5, x).forEach((value, i) => {
    const at = x[i] ?? 0;
    expect(value).toBeCloseTo(0.5 * Math.log(Math.PI / 2 / at) - at, 9);
  });
  expect(logBesselI(Float64Array.of(0, 1), Float64Array.of(0, 0))).toEqual(
    Float64Array.of(0, Number.NEGATIVE_INFINITY),
  );
  expect(logBesselK(-1, 1)).toBeNaN();
  expect(() => logBesselI(x, Float64Array.of(1))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
});

test('fitVonMisesFisher finds the mean and the concentration', () => {
  // In three dimensions the mean resultant length is coth(kappa) - 1 / kappa.
  const { mean, kappa } = fitVonMisesFisher(Float32Array.of(3, 4, 0, 0.3, -0.4, 0), 3);
  expect(mean[0]).toBeCloseTo(1, 6);
  expect(1 / Math.tanh(kappa) - 1 / kappa).toBeCloseTo(0.6, 6);
  const [density = 0] = vonMisesFisherLogDensity({ mean, kappa }, Float32Array.of(1, 0, 0));
  expect(density).toBeCloseTo(Math.log(kappa / (4 * Math.PI * Math.sinh(kappa))) + kappa, 6);
  expect(() => fitVonMisesFisher(new Float32Array(4), 2)).toThrow(
    expect.objectContaining({ code: 'ERR_SAMPLES' }),
  );
  expect(() => fitVonMisesFisher(new Float32Array(5), 2)).toThrow(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  );
});
