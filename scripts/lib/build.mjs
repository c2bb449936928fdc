// Installs and builds what is missing or older than its sources.

import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { root, run, took, version } from './process.mjs';

/** Folders that hold nothing that a build reads. */
const NOT_SOURCES = new Set(['target', 'node_modules', 'fuzz', 'tests', 'benches']);

/**
 * @param {string} file
 * @returns {number} The latest change of a file, or of any file in a folder; 0 where there is none.
 */
function newest(file) {
  const entry = statSync(path.resolve(root, file), { throwIfNoEntry: false });
  if (!entry?.isDirectory()) return entry?.mtimeMs ?? 0;
  const names = readdirSync(path.resolve(root, file)).filter((name) => !NOT_SOURCES.has(name));
  return Math.max(0, ...names.map((name) => newest(path.join(file, name))));
}

const addons = () =>
  existsSync(path.join(root, 'build/Release'))
    ? readdirSync(path.join(root, 'build/Release')).filter((name) => name.endsWith('.node'))
    : [];

/** The steps from a fresh clone to a program that runs, in order. */
const STEPS = [
  {
    label: 'Installing packages',
    command: ['npm', 'ci', '--no-audit', '--no-fund'],
    isStale: () => newest('node_modules/.package-lock.json') < newest('package-lock.json'),
  },
  {
    label: 'Compiling the native part (the first time takes a few minutes)',
    command: ['npm', 'run', '--silent', 'build:native'],
    isStale: () => {
      const built = addons().map((name) => newest(path.join('build/Release', name)));
      const sources = Math.max(...['crates', 'Cargo.toml', 'Cargo.lock'].map(newest));
      return built.length === 0 || Math.max(...built) < sources || newest('ts/native/binding.d.cts') === 0;
    },
  },
  {
    label: 'Compiling the TypeScript part',
    command: ['npm', 'run', '--silent', 'build:ts'],
    isStale: () => {
      const sources = Math.max(...['ts', 'tsconfig.json', 'tsconfig.build.json'].map(newest));
      return newest('dist/index.js') < sources;
    },
  },
];

/** What is missing to build, in words, or undefined. */
async function missingTool() {
  if (!(await version('cargo')))
    return 'Rust is needed to build dyadic and `cargo` was not found: install it from https://rustup.rs, then open a new terminal.';
  return undefined;
}

/**
 * Brings the build up to date. What is up to date is not run.
 *
 * @param {{ quiet?: boolean, say?: (line: string) => void }} [options] `quiet` prints the output of a step only where it fails.
 * @returns {Promise<boolean>} Whether all steps worked.
 */
export async function bringUpToDate({ quiet = false, say = console.log } = {}) {
  for (const { label, command, isStale } of STEPS) {
    if (!isStale()) continue;
    const missing = command.includes('build:native') ? await missingTool() : undefined;
    if (missing) {
      say(missing);
      return false;
    }
    say(`${label} ...`);
    const started = performance.now();
    const [program = '', ...args] = command;
    const { status, output } = await run(program, args, { quiet });
    if (status !== 0) {
      if (quiet) process.stderr.write(output);
      say(`${label} failed (${command.join(' ')})`);
      return false;
    }
    say(`${label} done in ${took(started)}`);
  }
  return true;
}
