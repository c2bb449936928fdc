// Draws docs/images/softmax.svg: relative error against time of the four algorithms, in the second-level cache and beyond it. Run by hand:
// `node --import tsx benches/softmax-plot.ts`.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { doctor, type SoftmaxAlgorithm, softmax } from '../ts/index.ts';
import { native } from '../ts/native/load.ts';
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

const [width, height, left, right, top, bottom] = [680, 420, 70, 170, 40, 60];
const slowest = Math.ceil(Math.max(...points.map((point) => point.nanoseconds)) * 5) / 5;
const worst = Math.ceil(Math.max(...points.map((point) => point.error)) * 1e6) / 1e6;
const at = ({ nanoseconds, error }: Pick<Point, 'nanoseconds' | 'error'>) => ({
  x: left + (width - left - right) * (nanoseconds / slowest),
  y: height - bottom - (height - top - bottom) * (error / worst),
});
const colours = { twoPass: '#c33', recompute: '#36a', reload: '#383', online: '#a60', auto: '#000' } as const;
const parts: string[] = [];
for (let error = 0; error <= worst + 1e-9; error += 5e-7) {
  const { y } = at({ nanoseconds: 0, error });
  parts.push(
    `<line x1="${left}" x2="${width - right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="#ddd"/>`,
    `<text x="${left - 8}" y="${(y + 4).toFixed(1)}" text-anchor="end">${(error * 1e6).toFixed(1)}</text>`,
  );
}
for (let tick = 0; tick <= 5; tick++) {
  const nanoseconds = (slowest * tick) / 5;
  const { x } = at({ nanoseconds, error: 0 });
  parts.push(
    `<text x="${x.toFixed(1)}" y="${height - bottom + 20}" text-anchor="middle">${nanoseconds.toFixed(2)}</text>`,
  );
}
for (const point of points) {
  const { x, y } = at(point);
  const colour = colours[point.algorithm];
  parts.push(
    point.n === LENGTHS[0]
      ? `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="6" fill="${colour}"/>`
      : `<rect x="${(x - 6).toFixed(1)}" y="${(y - 6).toFixed(1)}" width="12" height="12" fill="none" stroke="${colour}" stroke-width="2.5"/>`,
  );
}
ALGORITHMS.forEach((algorithm, i) => {
  parts.push(
    `<text x="${width - right + 30}" y="${top + 20 + i * 20}" fill="${colours[algorithm]}" font-weight="bold">${algorithm}</text>`,
  );
});
const legend = top + 120;
parts.push(
  `<circle cx="${width - right + 36}" cy="${legend - 4}" r="6" fill="#888"/>`,
  `<text x="${width - right + 50}" y="${legend}">64 Ki elements</text>`,
  `<rect x="${width - right + 30}" y="${legend + 14}" width="12" height="12" fill="none" stroke="#888" stroke-width="2.5"/>`,
  `<text x="${width - right + 50}" y="${legend + 25}">2 Mi elements</text>`,
  `<text x="${left}" y="24">largest relative error, millionths</text>`,
  `<text x="${(left + width - right) / 2}" y="${height - 14}" text-anchor="middle">nanoseconds per element, one thread, ${isa}</text>`,
);
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">
<title>Relative error against time of the four algorithms of softmax</title>
<rect width="100%" height="100%" fill="white"/>
${parts.join('\n')}
</svg>
`;
writeFileSync(path.join(root, 'docs/images/softmax.svg'), svg);
console.table(points);
