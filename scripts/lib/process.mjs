// Running other programs. Plain JavaScript on Node alone: these scripts also run before anything is installed.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the project. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/**
 * Runs a program to its end, in the project's folder.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string | undefined>, quiet?: boolean, cwd?: string }} [options]
 *   `env` is added to the environment; `quiet` keeps what the program prints back.
 * @returns {Promise<{ status: number, output: string }>} The exit status (127 where there is no such program, 128 and more after a
 *   signal) and what it printed on stdout and stderr.
 */
export function run(command, args, { env = {}, quiet = false, cwd = root } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // On Windows npm is a batch file, which only a shell can run.
      shell: process.platform === 'win32',
    });
    /** @type {Buffer[]} */
    const chunks = [];
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      /** @type {import('node:stream').Readable} */ (from).on('data', (chunk) => {
        chunks.push(chunk);
        if (!quiet) /** @type {NodeJS.WriteStream} */ (to).write(chunk);
      });
    }
    child.on('error', (error) => resolve({ status: 127, output: `${command}: ${error.message}` }));
    child.on('close', (status, signal) => {
      resolve({ status: status ?? (signal ? 128 : 1), output: Buffer.concat(chunks).toString() });
    });
  });
}

/**
 * Runs a program that has the terminal for itself: colours, progress, Ctrl-C.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<number>} The exit status.
 */
export function runOnTerminal(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
    child.on('error', () => resolve(127));
    child.on('close', (status) => resolve(status ?? 128));
  });
}

/**
 * The version that a program prints, or undefined where it cannot be run.
 *
 * @param {string} command
 * @param {readonly string[]} [args]
 */
export async function version(command, args = ['--version']) {
  const { status, output } = await run(command, args, { quiet: true });
  return status === 0 ? /\d+\.\d+[.\d]*/.exec(output)?.[0] : undefined;
}

/**
 * @param {number} since What `performance.now()` was.
 * @returns {string} `12 s` or `2 min 5 s`.
 */
export function took(since) {
  const seconds = Math.round((performance.now() - since) / 1000);
  return seconds < 100 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
