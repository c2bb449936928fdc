// Draws docs/images/roofline.svg from the results of one CPU, and prints nothing: `node --import tsx benches/roofline-plot.ts benches/results/CPU.json`.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { KernelRow, Limits } from '../ts/cli/bench-kernels.ts';
import { legend, line, picture, tag, text } from '../ts/svg.ts';
import { root } from './lib/machine.ts';
import type { ResultsFile } from './lib/results.ts';

const THREADS = 1;
const [WIDTH, HEIGHT] = [960, 560];
const [LEFT, RIGHT, TOP, BOTTOM] = [72, 40, 92, 58];
/** Operations for each byte of weights, and operations a second. */
const X = [1, 4096] as const;
const Y = [3e9, 1000e9] as const;

const [file = ''] = process.argv.slice(2);
const { machine, benches }: ResultsFile = JSON.parse(readFileSync(file, 'utf8'));

/** The rows of all benchmarks whose names begin so. */
const rowsOf = (name: string) =>
  Object.entries(benches).flatMap(([key, bench]) => (key.startsWith(name) ? bench.rows : []));

const kernels = rowsOf('kernels') as unknown as (KernelRow & { limits?: Limits })[];
const limits = kernels.find((row) => row.limits?.threads === THREADS)?.limits;
if (limits === undefined) throw new Error(`${file}: no rows of 'npm run bench -- kernels'`);
const rows = kernels.filter((row) => row.threads === THREADS);

const scale = (value: number, [low, high]: readonly [number, number]) =>
  Math.log(value / low) / Math.log(high / low);
const x = (intensity: number) => LEFT + scale(intensity, X) * (WIDTH - LEFT - RIGHT);
const y = (operations: number) => HEIGHT - BOTTOM - scale(operations, Y) * (HEIGHT - TOP - BOTTOM);

const SERIES = [
  'from memory',
  'in cache',
  '128 tokens',
  'onnxruntime-node',
  'node-llama-cpp, decode',
] as const;

interface Point {
  series: (typeof SERIES)[number];
  intensity: number;
  operations: number;
  label?: string;
}

const WORK = { memory: SERIES[0], cache: SERIES[1], prompt: SERIES[2] } as const;
const points: Point[] = rows.map(({ format, bitsPerWeight, tokens, work, gigaoperationsPerSecond }) => {
  const width = /^(?:int|bipolar)(\d):g128:f16$/.exec(format)?.[1];
  return {
    series: WORK[work],
    intensity: (16 * tokens) / bitsPerWeight,
    operations: gigaoperationsPerSecond * 1e9,
    ...(width === undefined || work === 'prompt' ? {} : { label: width }),
  };
});
for (const row of rowsOf('onnxruntime-node') as { product?: string; threads: number; theirsGops: number }[]) {
  const [, tokens, bits, group] = /^(\d+) x .*, (\d)-bit, groups of (\d+)$/.exec(row.product ?? '') ?? [];
  if (row.threads !== THREADS || tokens === undefined) continue;
  points.push({
    series: SERIES[3],
    intensity: (16 * Number(tokens)) / (Number(bits) + 32 / Number(group)),
    operations: row.theirsGops * 1e9,
  });
}
interface DecodeRow {
  threads: number;
  decodeTheirs: { max: number };
  weightBytesPerToken?: number;
  operationsPerToken: number;
}
for (const row of rowsOf('node-llama-cpp') as unknown as DecodeRow[]) {
  if (row.threads !== THREADS || row.weightBytesPerToken === undefined) continue;
  points.push({
    series: SERIES[4],
    intensity: row.operationsPerToken / row.weightBytesPerToken,
    operations: row.decodeTheirs.max * row.operationsPerToken,
  });
}

/** The mark of a point: ours are filled, others are not. */
function mark({ series, intensity, operations, label }: Point): string {
  const k = SERIES.indexOf(series);
  const [cx, cy] = [x(intensity), y(operations)];
  const dot =
    k < 3
      ? tag('circle', { cx, cy, r: 4, class: `fill${k}` })
      : tag('rect', { x: cx - 5, y: cy - 5, width: 10, height: 10, class: `curve stroke${k}` });
  return label === undefined
    ? dot
    : dot + text(cx, cy + (k === 0 ? 18 : -9), label, { class: 'label small middle' });
}

const { memoryBytes, cacheBytes, int8Operations } = limits;

/** A limit of bandwidth, up to where the multipliers are the limit. */
function slope(bytes: number): string {
  const [low, ridge] = [Math.max(X[0], Y[0] / bytes), int8Operations / bytes];
  return line(x(low), y(low * bytes), x(ridge), y(int8Operations), 'axis');
}

const giga = (value: number) => (value / 1e9).toFixed(0);
const roof = y(int8Operations);
const roofs = [
  slope(memoryBytes),
  slope(cacheBytes),
  line(x(int8Operations / cacheBytes), roof, x(X[1]), roof, 'axis'),
  text(x(int8Operations / cacheBytes) - 8, roof - 4, `${giga(cacheBytes)} GB/s from cache`, {
    class: 'label small end',
  }),
  text(x(int8Operations / memoryBytes) + 4, roof + 16, `${giga(memoryBytes)} GB/s from memory`, {
    class: 'label small',
  }),
  text(x(X[1]), roof - 8, `${giga(int8Operations)} Gop/s of int8`, { class: 'label small end' }),
];
const grid = [1, 4, 16, 64, 256, 1024, 4096].map(
  (value) =>
    line(x(value), TOP, x(value), HEIGHT - BOTTOM, 'grid') +
    text(x(value), HEIGHT - BOTTOM + 18, String(value), { class: 'label small middle' }),
);
for (const value of [3, 10, 30, 100, 300, 1000]) {
  grid.push(
    line(LEFT, y(value * 1e9), WIDTH - RIGHT, y(value * 1e9), 'grid'),
    text(LEFT - 8, y(value * 1e9) + 4, String(value), { class: 'label small end' }),
  );
}
const title = `Products with packed weights and the limits of one thread: ${machine.cpu}, ${benches.kernels?.isa}`;
const body = [
  text(LEFT - 40, 34, title, { class: 'title' }),
  legend(LEFT - 40, 66, SERIES),
  ...grid,
  ...roofs,
  ...points.map(mark),
  text(LEFT - 40, TOP - 8, 'Gop/s', { class: 'label small' }),
  text(
    (LEFT + WIDTH - RIGHT) / 2,
    HEIGHT - 14,
    'operations for each byte of weights; numbers at points are bits',
    {
      class: 'label middle',
    },
  ),
];
const description =
  'Speed against operations for each byte of weights, both logarithmic, under the limits of memory, cache and multipliers.';
const target = path.join(root, 'docs/images/roofline.svg');
mkdirSync(path.dirname(target), { recursive: true });
writeFileSync(target, picture(WIDTH, HEIGHT, title, description, body.join('')));
