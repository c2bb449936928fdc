import { readFileSync } from 'node:fs';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { bitPicture, valueLine } from '../../ts/cli/formats/picture.ts';
import { analyse, describe, Tensor, writeNpy } from '../../ts/index.ts';
import { dyadicHere } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('formats lists every format once, within the width of the terminal', async () => {
  const { exitCode, stdout } = await dyadicHere(['formats'], true);
  expect(exitCode).toBe(0);
  const lines = stripVTControlCharacters(stdout).split('\n');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120);
  const names = lines.filter((line) => line.startsWith('  ')).map((line) => line.trim().split(/ +/)[0]);
  for (const name of ['int4', 'e4m3fn', 'nvfp4', 'mxfp4', 'nf4', 'posit8', 'q4_k', 'w2mix', 'bitmod3'])
    expect(
      names.filter((listed) => listed === name),
      name,
    ).toHaveLength(1);
  const { formats } = JSON.parse((await dyadicHere(['formats', '--json'])).stdout);
  expect(formats.length).toBeGreaterThan(80);
});

test('one format is drawn bit by bit', async () => {
  expect(bitPicture(describe('e4m3fn'))).toEqual([
    '    7      6        3   2        0',
    '┌────────┬────────────┬────────────┐',
    '│   S    │  E E E E   │   M M M    │',
    '└────────┴────────────┴────────────┘',
    '  sign 1   exponent 4   mantissa 3',
  ]);
  expect(valueLine([-1, 0, 1], 9)).toEqual(['█   █   █', '────┴────', '-1  0   1']);
  const { stdout } = await dyadicHere(['formats', 'nvfp4']);
  expect(stdout).toContain('e4m3fn for each 16 elements, f32 for the tensor');
  expect(stdout).toContain('7 6');
  expect(JSON.parse((await dyadicHere(['formats', 'e5m2', '--json'])).stdout)).toEqual(describe('e5m2'));
});

test('compare orders formats by their ratio', async () => {
  const args = ['formats', 'compare', '--gaussian', '--formats', 'int4:g32:f16,nvfp4,int8', '--json'];
  const { formats, shape } = JSON.parse((await dyadicHere(args)).stdout);
  expect(shape).toEqual([64, 4096]);
  expect(formats.map(({ format }: { format: string }) => format)).toEqual(['int8', 'nvfp4', 'int4:g32:f16']);
  expect(formats[1].sqnr).toBeCloseTo(20.43, 1);
  const { stdout } = await dyadicHere(['formats', 'compare', '--laplace'], true);
  expect(stdout).toContain('█');
});

test.each([
  [['values', 'e4m3fn', 'nf4'], /e4m3fn.*nf4/s],
  [['error', 'e4m3fn', 'int8', 'bf16'], /class="curve stroke2"/],
  [['sqnr', 'nvfp4', 'mxfp4', '--gaussian'], /18\.8\d dB/],
])('plot %j draws an SVG that follows the theme', async (args, expected) => {
  const file = path.join(temporaryDirectory(), 'plot.svg');
  expect((await dyadicHere(['formats', 'plot', ...args, '-o', file])).exitCode).toBe(0);
  const svg = readFileSync(file, 'utf8');
  expect(svg).toMatch(expected);
  expect(svg).toContain('prefers-color-scheme:dark');
  // Well-formed: every element that is opened is closed.
  const open: string[] = [];
  for (const [, close, name = '', empty] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (close) expect(open.pop()).toBe(name);
    else if (!empty) open.push(name);
  }
  expect(open).toEqual([]);
  expect((await dyadicHere(['formats', 'plot', ...args])).stdout).toBe(svg);
});

test('the pictures of docs/laboratory.md are what its commands draw', async () => {
  const docs = path.join(import.meta.dirname, '../../docs');
  const page = readFileSync(path.join(docs, 'laboratory.md'), 'utf8');
  const commands = [...page.matchAll(/^dyadic (formats plot (?:values|error) .*) -o (.*\.svg)$/gm)];
  expect(commands).toHaveLength(2);
  for (const [, command = '', file = ''] of commands) {
    const { stdout } = await dyadicHere(command.split(' '));
    expect(
      stdout === readFileSync(path.join(docs, 'images', file), 'utf8'),
      `docs/images/${file} is stale: ${command}`,
    ).toBe(true);
  }
});

test('compare reads an array of NumPy', async () => {
  const file = path.join(temporaryDirectory(), 'w.npy');
  const values = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
  await writeNpy(file, Tensor.from(values, { format: 'f32', shape: [2, 32] }));
  const args = ['formats', 'compare', file, '--json'];
  const report = JSON.parse((await dyadicHere(args)).stdout);
  expect([report.title, report.shape]).toEqual(['w.npy', [2, 32]]);
  // Rows of 32 are no whole records of 512.
  expect(report.skipped).toEqual(['w2mix']);
  const nf4 = report.formats.find(({ format }: { format: string }) => format === 'nf4');
  expect(nf4.sqnr).toBeCloseTo(analyse(values, 'nf4', { shape: [2, 32] }).sqnr, 9);
  expect((await dyadicHere(['formats', 'plot', 'sqnr', file, 'nf4', 'nvfp4'])).stdout).toContain('w.npy');
});

test.each([
  [['e4m3fm'], 1, 'ERR_FORMAT_SYNTAX', "did you mean 'e4m3fn'"],
  [['compare'], 2, 'ERR_USAGE', '--gaussian'],
  [['compare', '--gaussian', '--laplace'], 2, 'ERR_USAGE', 'one of'],
  [['compare', 'no-such.npy'], 1, 'ERR_FILE_NOT_FOUND', 'no-such.npy'],
  [['plot', 'bars'], 2, 'ERR_USAGE', 'values, error, sqnr'],
  [['plot', 'values'], 2, 'ERR_USAGE', 'at least one'],
  [['plot', 'values', 'bf16'], 2, 'ERR_USAGE', 'at most 1024'],
  [['plot', 'values', 'e2m1', '-o', '/no/such/folder/x.svg'], 1, 'ERR_IO', '/no/such/folder'],
])('formats %j is refused', async (args, expected, code, message) => {
  const { exitCode, stdout } = await dyadicHere(['formats', ...args, '--json']);
  const { error } = JSON.parse(stdout);
  expect([exitCode, error.code]).toEqual([expected, code]);
  expect(error.message).toContain(message);
});
