import { expect, test } from 'vitest';
import type { KernelRow, Limits } from '../../ts/cli/bench-kernels.ts';
import { dyadic, dyadicHere } from '../support/cli.ts';

test('bench kernels measures products and limits', async () => {
  const args = ['bench', 'kernels', '--formats', 'int8:g128:f16', '--threads', '1', '--json'];
  const { exitCode, stdout } = await dyadicHere(args);
  expect(exitCode).toBe(0);
  const { limits, rows }: { limits: Limits[]; rows: KernelRow[] } = JSON.parse(stdout);
  expect(limits.map(({ threads }) => threads)).toEqual([1]);
  for (const { memoryBytes, cacheBytes, int8Operations } of limits)
    for (const limit of [memoryBytes, cacheBytes, int8Operations]) expect(limit).toBeGreaterThan(0);
  expect(rows.map(({ work, tokens }) => [work, tokens])).toEqual([
    ['memory', 1],
    ['cache', 1],
    ['prompt', 128],
  ]);
  for (const row of rows) {
    expect(row.kernel).toMatch(/^matmul_\w+__\w+$/);
    expect(row.leastMicroseconds).toBeGreaterThan(0);
    expect(row.medianMicroseconds).toBeGreaterThanOrEqual(row.leastMicroseconds);
    expect(row.fractionOfLimit).toBeGreaterThan(0);
  }
});

test('bench kernels stops at a signal', async () => {
  const args = ['bench', 'kernels', '--json'];
  const onStart = (child: { kill(signal: NodeJS.Signals): void }) =>
    setTimeout(() => child.kill('SIGINT'), 2000);
  const { exitCode, stdout } = await dyadic(args, { onStart });
  expect([exitCode, JSON.parse(stdout).error.code]).toEqual([130, 'ERR_ABORTED']);
});

test('bench kernels names flags that are not its own', async () => {
  const { exitCode, stderr } = await dyadicHere(['bench', 'kernels', '--isa', 'avx2']);
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining('DYADIC_ISA')]);
});
