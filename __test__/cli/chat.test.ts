import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../support/temporary.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const hasPython = process.platform !== 'win32' && spawnSync('python3', ['--version']).status === 0;
const MAIN = path.join(import.meta.dirname, '../../dist/cli/main.js');
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const PROMPT = '> ';
let model: string;

/** Types into the program in a terminal: each step waits for a text, then types another. */
async function session(
  args: string[],
  steps: [expected: string, typed: string][],
): Promise<{ output: string; exitCode: number }> {
  const python = path.join(import.meta.dirname, '../support/terminal.py');
  const command = [python, JSON.stringify(steps), process.execPath, MAIN, ...args];
  const { stdout } = await promisify(execFile)('python3', command, {
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '' },
  });
  return JSON.parse(stdout);
}

beforeEach(() => {
  model = writeTinyModel(temporaryDirectory());
});

describe.skipIf(!hasPython)('chat in a terminal', () => {
  // The tiny model speaks random bytes; 40 tokens of them are an answer, 1900 one that is to be interrupted.
  const short = ['-n', '40', '--temperature', '1', '--seed', '3'];
  // The schema keeps it from ending by itself, which a fast machine would see within milliseconds.
  const long = ['-n', '1900', '--temperature', '1', '--schema', '{"type":"string","minLength":1800}'];
  const DONE = 'tokens/s';

  test('answers, knows its commands, and Ctrl-D leaves with 0', async () => {
    const { output, exitCode } = await session(
      ['chat', model, ...short],
      [
        [PROMPT, 'hello\r'],
        [DONE, ''],
        [PROMPT, '/help\r'],
        ['/reset', '/nope\r'],
        ['No command /nope', '/reset\r'],
        ['forgotten', 'again\r'],
        [DONE, ''],
        [PROMPT, CTRL_D],
      ],
    );
    expect(exitCode).toBe(0);
    expect(output.match(/\d+ tokens at/g)).toHaveLength(2);
    expect(output).toContain('\u001b[');
  });

  test('a line that ends with a backslash goes on', async () => {
    const { output } = await session(
      ['chat', model, ...short],
      [
        [PROMPT, 'one\\\r'],
        ['. ', 'two\r'],
        [DONE, '/exit\r'],
      ],
    );
    expect(output.match(/\d+ tokens at/g)).toHaveLength(1);
  });

  test('the second turn costs its own tokens only', async () => {
    const { output } = await session(
      ['chat', model, ...short],
      [
        [PROMPT, `${'x'.repeat(200)}\r`],
        [DONE, 'y\r'],
        [DONE, '/exit\r'],
      ],
    );
    const cached = /prompt (\d+) \((\d+) cached\)/.exec(output);
    expect(Number(cached?.[2])).toBeGreaterThan(200);
  });

  test('Ctrl-C stops the answer, the next one leaves with 130', async () => {
    const { output, exitCode } = await session(
      ['chat', model, ...long],
      [
        [PROMPT, 'hello\r'],
        ['hello', ''],
        ['\r\n', CTRL_C],
        ['(stopped', ''],
        [PROMPT, CTRL_C],
      ],
    );
    expect(exitCode).toBe(130);
    expect(output).not.toContain(DONE);
  });

  test('Ctrl-C on a begun line clears it; twice on an empty one leaves', async () => {
    const { exitCode } = await session(
      ['chat', model, ...short],
      [
        [PROMPT, 'begun'],
        ['begun', CTRL_C],
        [PROMPT, CTRL_C],
        ['again leaves', ''],
        [PROMPT, CTRL_C],
      ],
    );
    expect(exitCode).toBe(130);
  });

  test('a conversation that outgrows the context says what helps, or forgets when asked to', async () => {
    const grow = Array.from({ length: 6 }, (): [string, string] => [PROMPT, `${'z'.repeat(60)}\r`]);
    const args = ['chat', model, '-c', '256', '-n', '30', '--temperature', '1', '--seed', '3'];
    const strict = await session(args, [...grow, ['/reset starts anew', '/exit\r']]);
    expect([strict.exitCode, strict.output]).toEqual([0, expect.stringContaining('--drop-oldest')]);
    const loose = await session(
      [...args, '--drop-oldest'],
      [...grow, ['oldest turns were dropped', '/exit\r']],
    );
    expect([loose.exitCode, loose.output]).toEqual([0, expect.not.stringContaining('ERR_CONTEXT_LENGTH')]);
  });
});
