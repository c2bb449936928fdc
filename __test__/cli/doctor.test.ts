import { expect, test } from 'vitest';
import { doctor } from '../../ts/index.ts';
import { dyadic } from '../support/cli.ts';

test('doctor tells what is here', async () => {
  const { exitCode, stdout } = await dyadic(['doctor', '--json']);
  expect(exitCode).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    version: expect.any(String),
    cpu: expect.any(String),
    node: process.version,
  });
  expect(report.isa).toBe(doctor().isa);
  expect(Object.keys(report)).toEqual(
    expect.arrayContaining(['version', 'cpu', 'isa', 'kernels', 'threads']),
  );
  expect((await dyadic(['doctor'])).stdout).toContain(`isa: ${report.isa}`);
});

test('DYADIC_ISA and DYADIC_THREADS are honoured', async () => {
  const { stdout } = await dyadic(['doctor', '--json'], {
    env: { DYADIC_ISA: 'scalar', DYADIC_THREADS: '1' },
  });
  const report = JSON.parse(stdout);
  expect([report.isa, report.threads]).toEqual(['scalar', 1]);
});

test('an instruction set that does not exist is an error with a code', async () => {
  const { exitCode, stdout } = await dyadic(['doctor', '--json'], { env: { DYADIC_ISA: 'avx9' } });
  expect([exitCode, JSON.parse(stdout).error.code]).toEqual([
    expect.any(Number),
    expect.stringMatching(/^ERR_/),
  ]);
});
