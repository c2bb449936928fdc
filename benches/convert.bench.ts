// Conversions between f32 and low-bit formats against a copy of the same bytes: crates/kernels/benches/convert.rs.

import { execFileSync } from 'node:child_process';
import { root } from './lib/machine.ts';
import type { Row } from './lib/results.ts';

export default async function convert(): Promise<Row[]> {
  const command = ['bench', '-p', 'dyadic-kernels', '--bench', 'convert', '--', '--json'];
  const lines = execFileSync('cargo', command, { cwd: root, encoding: 'utf8' }).trim().split('\n');
  return lines.map((line) => JSON.parse(line));
}
