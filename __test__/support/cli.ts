import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { Interrupts } from '../../ts/cli/interrupts.ts';
import { main } from '../../ts/cli/program.ts';

const MAIN = path.join(import.meta.dirname, '../../dist/cli/main.js');

/** How a run of the program ended. */
export interface Outcome {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Options of {@link dyadic}. */
export interface CliOptions {
  input?: string;
  env?: Record<string, string>;
  /** Sees the process right after it was started. */
  onStart?: (child: ChildProcessWithoutNullStreams) => void;
}

/** Runs the built program in a process of its own, with pipes instead of a terminal. */
export function dyadic(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, ...options.env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    options.onStart?.(child);
  });
}

const interrupts = new Interrupts();

/** The same in this process, for what needs neither stdin nor signals: a process of its own takes longer. */
export async function dyadicHere(
  args: readonly string[],
  terminal = false,
): Promise<Omit<Outcome, 'signal'>> {
  const output = () =>
    Object.assign(new PassThrough({ encoding: 'utf8', highWaterMark: 2 ** 24 }), {
      isTTY: terminal,
      columns: 120,
    });
  const [stdout, stderr] = [output(), output()] as const;
  const exitCode = await main(args, interrupts, stdout, stderr);
  return { exitCode, stdout: stdout.read() ?? '', stderr: stderr.read() ?? '' };
}
