// Products with packed weights: ours and the MatMulNBits of onnxruntime-node, interleaved. See README.md.

import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { type Limits, machineLimits } from '../../ts/cli/bench-kernels.ts';
import { type FormatString, linear, type PackedWeights, packWeights, Tensor } from '../../ts/index.ts';
import { type Row, record } from '../lib/results.ts';
import { summarize } from '../lib/statistics.ts';
import { oneNode } from './onnx.ts';

const ROWS = 4096;
const COLUMNS = 4096;

const { values } = parseArgs({
  options: { threads: { type: 'string', default: '1,2' }, rounds: { type: 'string', default: '9' } },
});

interface Case {
  bits: 2 | 4;
  group: 32 | 128;
  tokens: number;
  /** Whether onnxruntime uses look-up tables, which it does when told to. */
  theirTables?: boolean;
}

const CASES: readonly Case[] = [
  { bits: 4, group: 128, tokens: 1 },
  { bits: 4, group: 32, tokens: 1 },
  { bits: 2, group: 128, tokens: 1 },
  { bits: 2, group: 128, tokens: 1, theirTables: true },
  { bits: 4, group: 128, tokens: 128 },
  { bits: 4, group: 32, tokens: 128 },
];

/** Numbers between -1 and 1 that follow no pattern. */
function noise(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** The weights of a tensor as MatMulNBits holds them: codes from 0 on, the first in the lowest bits, and a scale for each group. */
function theirWeights(tensor: Tensor, { bits, group }: Case) {
  const scales = tensor.scaleValues();
  const numbers = tensor.toFloat32();
  const zero = 2 ** (bits - 1);
  const codes = new Uint8Array((numbers.length * bits) / 8);
  numbers.forEach((number, i) => {
    const code = Math.round(number / (scales[Math.floor(i / group)] ?? Number.NaN)) + zero;
    codes[(i * bits) >> 3] = (codes[(i * bits) >> 3] ?? 0) | (code << ((i * bits) & 7));
  });
  const blocks = COLUMNS / group;
  return {
    W: { shape: [ROWS, blocks, (group * bits) / 8], data: codes },
    S: { shape: [ROWS * blocks], data: scales },
  };
}

/** The length of the difference of two vectors over that of the first. */
function distance(a: Float32Array, b: Float32Array): number {
  let [difference, length] = [0, 0];
  a.forEach((value, i) => {
    difference += (value - (b[i] ?? Number.NaN)) ** 2;
    length += value ** 2;
  });
  return Math.sqrt(difference / length);
}

async function compare(
  { bits, group, tokens, theirTables = false }: Case,
  constants: ReturnType<typeof theirWeights>,
  packed: PackedWeights,
  { threads, int8Operations }: Limits,
): Promise<Row> {
  const model = oneNode(
    'MatMulNBits',
    { X: [tokens, COLUMNS] },
    // Level 4: onnxruntime may use 8-bit activations, as we do.
    { K: COLUMNS, N: ROWS, bits, block_size: group, accuracy_level: 4 },
    { domain: 'com.microsoft', constants, output: [tokens, ROWS] },
  );
  const session = await ort.InferenceSession.create(Buffer.from(model), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    extra: { mlas: { use_lut_gemm: theirTables ? '1' : '0' } },
  });
  const x = noise(tokens * COLUMNS, 7);
  const out = new Float32Array(tokens * ROWS);
  const their = new Float32Array(tokens * ROWS);
  const feeds = { X: new ort.Tensor('float32', x, [tokens, COLUMNS]) };
  const fetches = { Y: new ort.Tensor('float32', their, [tokens, ROWS]) };
  const ours = () => linear(x, packed, { out, threads });
  const theirs = () => session.run(feeds, fetches);
  ours();
  await theirs();
  const difference = distance(out, their);
  if (!(difference < 0.03)) throw new Error(`${packed.format}: the results differ by ${difference}`);
  // Calls of microseconds are timed many at once.
  const repeats = tokens === 1 ? 40 : 2;
  const times = { ours: [] as number[], theirs: [] as number[] };
  // Threads that still wait for the other side's work would take a core, and the first calls wake the threads of this side.
  const settle = async (call: () => unknown) => {
    await delay(100);
    for (let i = 0; i < 4; i++) await call();
  };
  for (let round = 0; round < Number(values.rounds); round++) {
    await settle(ours);
    const started = performance.now();
    for (let i = 0; i < repeats; i++) ours();
    times.ours.push(((performance.now() - started) * 1000) / repeats);
    await settle(theirs);
    const next = performance.now();
    for (let i = 0; i < repeats; i++) await theirs();
    times.theirs.push(((performance.now() - next) * 1000) / repeats);
  }
  await session.release();
  const [our, other] = [summarize(times.ours), summarize(times.theirs)];
  const ratio = (mine: number, yours: number) => Number((yours / mine).toFixed(2));
  const operations = 2 * ROWS * COLUMNS * tokens;
  return {
    product: `${tokens} x ${COLUMNS} x ${ROWS}, ${bits}-bit, groups of ${group}`,
    threads,
    ourKernel: packed.kernel,
    theirKernel: theirTables ? 'look-up tables' : 'dot products',
    oursMicroseconds: our,
    theirsMicroseconds: other,
    ratio: { median: ratio(our.median, other.median), min: ratio(our.min, other.min) },
    oursGops: Math.round(operations / our.min / 1e3),
    theirsGops: Math.round(operations / other.min / 1e3),
    fractionOfInt8: Number((operations / our.min / 1e-6 / int8Operations).toPrecision(3)),
    distance: Number(difference.toPrecision(2)),
  };
}

await record(`onnxruntime-node ${ort.env.versions.node}, MatMulNBits`, async () => {
  const rows: Row[] = [];
  const limits = values.threads.split(',').map((count) => machineLimits(Number(count)));
  for (const item of CASES) {
    const format: FormatString = `int${item.bits}:g${item.group}:f16`;
    const tensor = Tensor.from(noise(ROWS * COLUMNS, 1), { format, shape: [ROWS, COLUMNS] });
    const packed = packWeights(tensor);
    const constants = theirWeights(tensor, item);
    for (const limit of limits) rows.push(await compare(item, constants, packed, limit));
    packed.dispose();
    tensor.dispose();
  }
  return rows;
});
process.exit(0);
