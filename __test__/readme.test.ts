import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { temporaryDirectory } from './support/temporary.ts';

const root = path.join(import.meta.dirname, '..');

/** The program under a heading of the guide. */
function program(heading: string): string {
  const section = readFileSync(path.join(root, 'README.md'), 'utf8').split(`\n## ${heading}\n`)[1] ?? '';
  return /```ts\n(.*?)```/s.exec(section)?.[1] ?? '';
}

/** What the program says behind each call of `console.log`. */
function promised(source: string): string[] {
  return [...source.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text = '']) => text);
}

/** What the program prints when it is run in the repository. */
function run(source: string): string[] {
  const file = path.join(temporaryDirectory(), 'guide.mjs');
  const entry = pathToFileURL(path.join(root, 'dist/index.js')).href;
  writeFileSync(file, source.replace("from 'dyadic'", `from '${entry}'`));
  return execFileSync(process.execPath, [file], { cwd: root, encoding: 'utf8' }).split('\n');
}

test('the guide to tensors prints what it says', () => {
  const source = program('Tensors');
  expect(promised(source).length).toBeGreaterThan(5);
  expect(run(source).slice(0, promised(source).length)).toEqual(promised(source));
});

test('the guide to pictures prints what it says', () => {
  const source = program('Pictures, in integers alone');
  expect(promised(source)).toHaveLength(1);
  expect(run(source).slice(0, 1)).toEqual(promised(source));
});
