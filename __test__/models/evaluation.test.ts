import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const VIT = 'models/fashion-vit';

interface Evaluation {
  images: number;
  float32: number;
  integer: { what: string; bytes: number; top1: number; agreesWithFloat: number; simulated: number }[];
}

const json = (file: string) => JSON.parse(readFileSync(path.join(VIT, file), 'utf8'));
const evaluation: Evaluation = json('evaluation.json');

function row(what: string): Evaluation['integer'][number] {
  const found = evaluation.integer.find((row) => row.what === what);
  if (!found) throw new Error(`evaluation.json has no ${what}`);
  return found;
}

test('row 22: on all test images integers are as right as floats', () => {
  expect(evaluation.images).toBe(10_000);
  expect(row('exact W8A8').top1).toBeGreaterThanOrEqual(evaluation.float32 - 0.3);
  expect(row('ivit W8A8').top1).toBeGreaterThanOrEqual(evaluation.float32 - 0.5);
  expect(row('ibert W8A8').top1).toBeGreaterThanOrEqual(evaluation.float32 - 0.5);
  for (const { simulated } of evaluation.integer) expect(simulated).toBe(100);
});

test('the shipped network is the one that was evaluated', () => {
  const { bytes, top1 } = row('exact W8A8');
  expect(statSync(path.join(VIT, 'model.dyadic')).size).toBe(bytes);
  expect(bytes).toBeLessThan(1.5e6);
  expect(json('logits.json').images[10_000].right).toBe(Math.round(top1 * 100));
});

test('the card says what was measured', () => {
  const card = readFileSync(path.join(VIT, 'README.md'), 'utf8');
  for (const { bytes, top1, agreesWithFloat } of evaluation.integer) {
    const [size, agreement] = [bytes, agreesWithFloat].map((n) => n.toLocaleString('en'));
    expect(card).toContain(`| ${size} | ${top1.toFixed(2)} | ${agreement} |`);
  }
});
