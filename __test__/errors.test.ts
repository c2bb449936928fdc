import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { ERROR_CODES } from '../ts/index.ts';

const root = path.join(import.meta.dirname, '..');
const documented = new Set(readFileSync(path.join(root, 'docs/errors.md'), 'utf8').match(/ERR_[A-Z0-9_]+/g));

/** Codes that the sources of a crate write as string literals. */
function codesOf(crate: string): string[] {
  const folder = path.join(root, 'crates', crate, 'src');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rs'),
  );
  return files.flatMap((name) => {
    const source = readFileSync(path.join(folder, name), 'utf8');
    return [...source.matchAll(/"(ERR_[A-Z0-9_]+)"/g)].map(([, code = '']) => code);
  });
}

test('every code that the TypeScript half raises is documented', () => {
  expect(Object.keys(ERROR_CODES).filter((code) => !documented.has(code))).toEqual([]);
});

test('every code that a language model can raise is documented', () => {
  const codes = [...codesOf('model'), ...codesOf('integer'), ...codesOf('node')];
  expect(codes.length).toBeGreaterThan(30);
  expect(codes.filter((code) => !documented.has(code))).toEqual([]);
});
