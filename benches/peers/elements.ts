// Softmax, GELU and LayerNorm: ours and onnxruntime-node's, interleaved. See README.md.

import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import type { Row } from '../lib/results.ts';
import { oneNode } from './onnx.ts';

const { values } = parseArgs({
  options: { threads: { type: 'string', default: '1' }, rounds: { type: 'string', default: '40' } },
});
const threads = Number(values.threads);
// Read when the pool starts, at the first call.
process.env.DYADIC_THREADS = String(threads);
const { gelu, geluTanh, layerNorm, softmax } = await import('../../ts/index.ts');
const { record } = await import('../lib/results.ts');

interface Case {
  name: string;
  shape: readonly [number, number];
  operator: string;
  attributes: Record<string, number | string>;
  /** Further inputs, as long as a row. */
  weights: readonly string[];
  ours(x: Float32Array, out: Float32Array, weights: Float32Array[]): Float32Array;
  least: string;
}

const softmaxCase = (n: number, least: string): Case => ({
  name: 'softmax',
  shape: [1, n],
  operator: 'Softmax',
  attributes: { axis: 1 },
  weights: [],
  ours: (x, out) => softmax(x, { out }),
  least,
});

const geluCase = (approximate: 'none' | 'tanh'): Case => ({
  name: `gelu, approximate ${approximate}`,
  shape: [1, 1_000_000],
  operator: 'Gelu',
  attributes: { approximate },
  weights: [],
  ours: (x, out) => (approximate === 'none' ? gelu : geluTanh)(x, { out }),
  least: '1.5',
});

const CASES: readonly Case[] = [
  softmaxCase(1000, '4'),
  softmaxCase(100_000, '1.5'),
  softmaxCase(10_000_000, '3'),
  geluCase('none'),
  geluCase('tanh'),
  {
    name: 'layerNorm',
    shape: [128, 4096],
    operator: 'LayerNormalization',
    attributes: { axis: 1, epsilon: 1e-5 },
    weights: ['G', 'B'],
    ours: (x, out, [weight = x, bias = x]) => layerNorm(x, weight, bias, { out }),
    least: '1.5',
  },
];

/** Logits of standard deviation 5, the same each time. */
function normal(length: number): Float32Array {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length },
    () => 5 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

async function compare({ name, shape, operator, attributes, weights, ours, least }: Case): Promise<Row> {
  const [rows, length] = shape;
  const x = normal(rows * length);
  const inputs = { X: shape, ...Object.fromEntries(weights.map((weight) => [weight, [length]])) };
  const session = await ort.InferenceSession.create(Buffer.from(oneNode(operator, inputs, attributes)), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
  });
  const parts = weights.map(() => normal(length));
  const feeds = {
    X: new ort.Tensor('float32', x, [rows, length]),
    ...Object.fromEntries(
      weights.map((weight, i) => [weight, new ort.Tensor('float32', parts[i] ?? x, [length])]),
    ),
  };
  const out = new Float32Array(x.length);
  const their = new Float32Array(x.length);
  const fetches = { Y: new ort.Tensor('float32', their, [rows, length]) };
  ours(x, out, parts);
  await session.run(feeds, fetches);
  const difference = out.reduce((most, y, i) => Math.max(most, Math.abs(y - (their[i] ?? Number.NaN))), 0);
  if (!(difference < 1e-4)) throw new Error(`${name}: the results differ by ${difference}`);
  // Calls of microseconds are timed many at once.
  const repeats = Math.max(1, Math.round(30_000 / x.length));
  const best = { ours: Number.POSITIVE_INFINITY, theirs: Number.POSITIVE_INFINITY };
  for (let round = 0; round < Number(values.rounds); round++) {
    const started = performance.now();
    for (let i = 0; i < repeats; i++) ours(x, out, parts);
    const between = performance.now();
    for (let i = 0; i < repeats; i++) await session.run(feeds, fetches);
    best.ours = Math.min(best.ours, (between - started) / repeats);
    best.theirs = Math.min(best.theirs, (performance.now() - between) / repeats);
  }
  await session.release();
  const microseconds = (ms: number) => Number((ms * 1000).toPrecision(4));
  return {
    call: `${name}, ${rows} x ${length}`,
    threads,
    oursMicroseconds: microseconds(best.ours),
    theirsMicroseconds: microseconds(best.theirs),
    ratio: Number((best.theirs / best.ours).toFixed(2)),
    wanted: least,
  };
}

await record(`onnxruntime-node ${ort.env.versions.node}, ${threads} threads`, async () => {
  const rows: Row[] = [];
  for (const item of CASES) rows.push(await compare(item));
  return rows;
});
