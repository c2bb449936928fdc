// Draws docs/images/exp2_front.svg from docs/exp2_front.json: `node --import tsx benches/exp2-plot.ts`.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { legend, line, picture, tag, text } from '../ts/svg.ts';
import { root } from './lib/machine.ts';

interface Point {
  operations: number;
  digits: number;
}

const [WIDTH, HEIGHT] = [960, 460];
const [LEFT, RIGHT, TOP, BOTTOM] = [72, 40, 92, 58];
const [MOST_OPERATIONS, MOST_DIGITS] = [14, 16];
const x = (operations: number) => LEFT + (operations / MOST_OPERATIONS) * (WIDTH - LEFT - RIGHT);
const y = (digits: number) => HEIGHT - BOTTOM - (digits / MOST_DIGITS) * (HEIGHT - TOP - BOTTOM);

const { exact, classical }: { exact: Point[]; classical: Point[] } = JSON.parse(
  readFileSync(path.join(root, 'docs/exp2_front.json'), 'utf8'),
);
const NAMES = ['evolved', 'classical'];

function curve(points: readonly Point[], k: number): string {
  const places = points.map(({ operations, digits }) => [x(operations), y(digits)] as const);
  const path = places.map(([px, py], i) => `${i === 0 ? 'M' : 'L'}${px.toFixed(1)} ${py.toFixed(1)}`);
  const dots = places.map(([cx, cy]) => tag('circle', { cx, cy, r: k === 0 ? 4 : 6, class: `fill${k}` }));
  return tag('path', { d: path.join(''), class: `curve stroke${k}` }) + dots.join('');
}

const grid: string[] = [];
for (let digits = 0; digits <= MOST_DIGITS; digits += 2) {
  grid.push(
    line(LEFT, y(digits), WIDTH - RIGHT, y(digits), digits === 0 ? 'axis' : 'grid'),
    text(LEFT - 8, y(digits) + 4, String(digits), { class: 'label small end' }),
  );
}
for (let operations = 0; operations <= MOST_OPERATIONS; operations++)
  grid.push(text(x(operations), HEIGHT - BOTTOM + 18, String(operations), { class: 'label small middle' }));
const title = 'Programs for 2^x: digits of relative error on [0, 1] against operations';
const body = [
  text(LEFT - 40, 34, title, { class: 'title' }),
  legend(LEFT - 40, 66, NAMES),
  text(LEFT - 40, TOP - 8, 'digits', { class: 'label small' }),
  ...grid,
  curve(classical, 1),
  curve(exact, 0),
  text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, 'operations', { class: 'label middle' }),
];
writeFileSync(
  path.join(root, 'docs/images/exp2_front.svg'),
  picture(WIDTH, HEIGHT, title, `${title}, ${NAMES.join(' and ')}.`, body.join('')),
);
