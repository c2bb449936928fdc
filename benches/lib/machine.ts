import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The folder of the project. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a figure depends on besides the code. */
export interface Machine {
  cpu: string;
  /** Cores that this process may use. */
  cores: number;
  node: string;
}

/** When a figure was taken, of which code, and how busy the machine was. */
export interface Run {
  date: string;
  /** `-dirty` is added where the working tree differs. */
  commit: string;
  /** Instruction set of the kernels. */
  isa: string;
  /** Mean number of programs that wanted to run over the last minute, before and after: above the number of cores, figures are noise. */
  load: { before: number; after: number };
}

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? process.arch,
    cores: availableParallelism(),
    node: process.version,
  };
}

export const load = (): number => Number((loadavg()[0] ?? 0).toFixed(2));

export function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!benches/results');
    return git('rev-parse', '--short', 'HEAD') + (changed === '' ? '' : '-dirty');
  } catch {
    return 'unknown';
  }
}
