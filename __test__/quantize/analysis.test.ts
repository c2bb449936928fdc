import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allocateBits, estimateCost, partialProductStats, scaleModel } from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

const CNN = 'models/fashion-cnn/model.safetensors';

test('row 14: half of the bytes of the published ResNet-18 are spent as an exhaustive search spends them', () => {
  const sections = JSON.parse(readFileSync('crates/kernels/tests/golden/golden-integer.json', 'utf8'));
  const golden = sections.hawq_ilp_resnet18;
  const layers = golden.trace.map((trace: number, i: number) => [
    { bits: 4, perturbation: trace * golden.d4[i], costs: { bytes: golden.params[i] / 2 } },
    { bits: 8, perturbation: trace * golden.d8[i], costs: { bytes: golden.params[i] } },
  ]);
  const [, half] = golden.size;
  const found = allocateBits(layers, { budgets: { bytes: half.limit * 2 ** 20 }, ties: golden.ties });
  expect(found.bits).toEqual(half.bits);
  expect(found.perturbation).toBeCloseTo(half.perturbation, 9);
  expect(found.costs.bytes).toBe(half.cost * 2 ** 20);
});

test('what is no allocation is refused with a code', () => {
  const layer = [{ bits: 8, perturbation: 1, costs: { bytes: 2 } }];
  expect(codeOf(() => allocateBits([layer], { budgets: { bytes: 1 } }))).toBe('ERR_ALLOCATION_INFEASIBLE');
  expect(codeOf(() => allocateBits([[]], { budgets: {} }))).toBe('ERR_ALLOCATION_INPUT');
  expect(codeOf(() => allocateBits([layer], { budgets: { bytes: 9 }, ties: [[3]] }))).toBe(
    'ERR_ALLOCATION_INPUT',
  );
  expect(codeOf(() => allocateBits([layer], { budgets: { joules: 1 } }))).toBe('ERR_OPTION');
  expect(codeOf(() => allocateBits([layer], { budgets: { bytes: Number.NaN } }))).toBe('ERR_OPTION');
});

test('row 39: the means of uniform weights are the published ones', () => {
  const all = Int8Array.from({ length: 256 }, (_, i) => i - 128);
  const stats = partialProductStats(all, { columns: 16, lanes: 4 });
  expect(stats.binary.mean).toBe(4);
  expect(stats['sign-magnitude'].mean).toBeCloseTo(3.504, 3);
  expect(stats.booth4.mean).toBe(3);
  expect(stats.naf.mean).toBeCloseTo(2.777, 3);
  expect(stats.booth4.counts.reduce((sum, count) => sum + count)).toBe(256);
  // Each of the 64 groups takes as long as its slowest lane: 1 to 4 cycles.
  expect(stats.booth4.cycles).toBeGreaterThan(64 * 3);
  expect(stats.booth4.cycles).toBeLessThanOrEqual(64 * 4);
  expect(partialProductStats(new Int8Array()).naf).toEqual({ mean: 0, cycles: 0, counts: Array(9).fill(0) });
  expect(codeOf(() => partialProductStats(all, { columns: 3 }))).toBe('ERR_OPTION');
});

test('row 19: costs are those of the layers, and width costs the fewest activations', () => {
  const { total, nodes } = estimateCost(CNN, { weightBits: 8, activationBits: 8 });
  expect(nodes[0]).toMatchObject({ op: 'input', multiplyAdds: 0, parameters: 0, activations: 784 });
  // 3 x 3 windows of one channel, 32 filters, 28 x 28 pixels.
  expect(nodes[1]).toMatchObject({ op: 'conv2d', multiplyAdds: 9 * 32 * 784, parameters: 9 * 32 + 32 });
  expect(total.weightBytes).toBe(total.parameters);
  expect(total.seconds).toBeGreaterThanOrEqual(total.multiplyAdds / 1e10);
  expect(scaleModel({ s: 4, alpha: 1 })).toMatchObject({ width: 2, depth: 1, activations: 2 });
  expect(scaleModel({ s: 4, alpha: 0 }).activations).toBeCloseTo(4, 12);
  expect(codeOf(() => estimateCost('no-such-file.safetensors'))).toBe('ERR_FILE_NOT_FOUND');
  expect(codeOf(() => scaleModel({ s: 0 }))).toBe('ERR_OPTION');
});
