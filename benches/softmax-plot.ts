// Draws docs/images/softmax.svg: relative error against time of the four algorithms, in the second-level cache and beyond it. Run by hand:
// `node --import tsx benches/softmax-plot.ts`.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { doctor, type SoftmaxAlgorithm, softmax } from '../ts/index.ts';
import { native } from '../ts/native/load.ts';
import { legend, line, niceTicks, picture, tag, text } from '../ts/svg.ts';
import { root } from './lib/machine.ts';

const ALGORITHMS: readonly SoftmaxAlgorithm[] = ['twoPass', 'recompute', 'reload', 'online'];
const LENGTHS = [64 << 10, 2 << 20];
const ROUNDS = 25;

interface Point {
  algorithm: SoftmaxAlgorithm;
  n: number;
  nanoseconds: number;
  error: number;
}

function logits(length: number): Float32Array {
  let state = 7;
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length }, () => 17.3 * (uniform() + uniform() + uniform() + uniform() - 2));
}

/** The largest relative error against f64, of probabilities above 1e-30. */
function largestError(x: Float32Array, y: Float32Array): number {
  const max = x.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const value of x) sum += Math.exp(value - max);
  return y.reduce((most, value, i) => {
    const exact = Math.exp((x[i] ?? 0) - max) / sum;
    return exact < 1e-30 ? most : Math.max(most, Math.abs(value - exact) / exact);
  }, 0);
}

const points: Point[] = [];
const { isa } = doctor();
for (const n of LENGTHS) {
  const x = logits(n);
  const out = new Float32Array(n);
  const errors = ALGORITHMS.map((algorithm) => largestError(x, softmax(x, { algorithm, out })));
  const best = ALGORITHMS.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    ALGORITHMS.forEach((_, i) => {
      const seconds = native().timeSoftmax(x, out, i + 1, isa, 1, Math.max(1, (1 << 20) / n));
      best[i] = Math.min(best[i] ?? seconds, seconds);
    });
  }
  ALGORITHMS.forEach((algorithm, i) => {
    const nanoseconds = ((best[i] ?? Number.NaN) * 1e9) / n;
    points.push({ algorithm, n, nanoseconds, error: errors[i] ?? Number.NaN });
  });
}

const [WIDTH, HEIGHT] = [960, 460];
const [LEFT, RIGHT, TOP, BOTTOM] = [72, 40, 92, 58];
const slowest = Math.max(...points.map(({ nanoseconds }) => nanoseconds)) * 1.1;
const worst = Math.max(...points.map(({ error }) => error)) * 1.1e6;
const x = (nanoseconds: number) => LEFT + (nanoseconds / slowest) * (WIDTH - LEFT - RIGHT);
const y = (millionths: number) => HEIGHT - BOTTOM - (millionths / worst) * (HEIGHT - TOP - BOTTOM);
const grid = [
  ...niceTicks(0, worst, 6).flatMap((millionths) => [
    line(LEFT, y(millionths), WIDTH - RIGHT, y(millionths), 'grid'),
    text(LEFT - 8, y(millionths) + 4, millionths.toFixed(1), { class: 'label small end' }),
  ]),
  ...niceTicks(0, slowest, 8).map((nanoseconds) =>
    text(x(nanoseconds), HEIGHT - BOTTOM + 18, nanoseconds.toFixed(1), { class: 'label small middle' }),
  ),
];
const marks = points.map(({ algorithm, n, nanoseconds, error }) => {
  const [cx, cy, k] = [x(nanoseconds), y(error * 1e6), ALGORITHMS.indexOf(algorithm)];
  return n === LENGTHS[0]
    ? tag('circle', { cx, cy, r: 6, class: `fill${k}` })
    : tag('rect', { x: cx - 6, y: cy - 6, width: 12, height: 12, class: `curve stroke${k}` });
});
const title = 'Largest relative error of softmax against time';
const caption = `nanoseconds an element on one thread, ${isa}; dots: 64 Ki elements, squares: 2 Mi`;
const body = [
  text(LEFT - 40, 34, title, { class: 'title' }),
  legend(LEFT - 40, 66, ALGORITHMS),
  text(LEFT - 40, TOP - 8, 'millionths', { class: 'label small' }),
  ...grid,
  line(LEFT, y(0), WIDTH - RIGHT, y(0), 'axis'),
  ...marks,
  text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, caption, { class: 'label middle' }),
];
const description = `${title} of ${ALGORITHMS.join(', ')}, at 64 Ki and 2 Mi elements.`;
writeFileSync(
  path.join(root, 'docs/images/softmax.svg'),
  picture(WIDTH, HEIGHT, title, description, body.join('')),
);
console.table(points);
