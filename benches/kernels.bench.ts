// What `dyadic bench kernels` shows: the products of each format against the limits of this machine.

import { availableParallelism } from 'node:os';
import { KERNEL_FORMATS, measureKernels } from '../ts/cli/bench-kernels.ts';
import type { Row } from './lib/results.ts';

export default async function kernels(): Promise<Row[]> {
  const { limits, rows } = await measureKernels({
    formats: KERNEL_FORMATS,
    threads: [...new Set([1, availableParallelism()])],
    signal: new AbortController().signal,
    onProgress: undefined,
  });
  return [...limits.map((limit) => ({ limits: limit })), ...rows.map((row) => ({ ...row }))];
}
