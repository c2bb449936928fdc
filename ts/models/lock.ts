import { randomUUID } from 'node:crypto';
import { readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { aborted, codeOf, DyadicError, fromFileSystem, throwIfAborted } from '../errors.ts';

/** How often the holder renews the time of its lock file, in ms. */
const HEARTBEAT_MS = 1000;
/** A lock that was not renewed for so long is abandoned, whoever held it. */
const STALE_MS = 30_000;
/** The same when the holder ran on this machine and its process is gone. A few heartbeats, in case process ids are of another container. */
const STALE_DEAD_MS = 5000;
const POLL_MS = 200;

interface Holder {
  pid: number;
  host: string;
  token: string;
}

/** @internal */
export interface LockOptions {
  signal?: AbortSignal | undefined;
  /** Called once, when another process holds the lock. */
  onWait?: (() => void) | undefined;
  /** Longest wait for another process in ms. */
  timeoutMs?: number;
}

function processIsAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** Creates the file with `content` unless it exists; whether it was created. */
async function create(file: string, content: string): Promise<boolean> {
  try {
    await writeFile(file, content, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw fromFileSystem(error, file);
  }
}

async function readHolder(file: string): Promise<Partial<Holder>> {
  try {
    const parsed: unknown = JSON.parse(await readFile(file, 'utf8'));
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    // Gone, or its holder died between creating and writing it.
    return {};
  }
}

async function ageOf(file: string): Promise<number | undefined> {
  try {
    return Date.now() - (await stat(file)).mtimeMs;
  } catch {
    return undefined;
  }
}

async function isStale(file: string): Promise<boolean> {
  const age = await ageOf(file);
  if (age === undefined) return false;
  if (age > STALE_MS) return true;
  if (age < STALE_DEAD_MS) return false;
  const { pid, host } = await readHolder(file);
  return pid !== undefined && host === hostname() && !processIsAlive(pid);
}

/**
 * Removes a stale lock. Two processes may find the same lock stale; without the guard the slower one would remove the new lock of the
 * faster. Under the guard the lock is judged anew.
 */
async function removeStale(file: string): Promise<void> {
  const guard = `${file}.takeover`;
  if (!(await create(guard, ''))) {
    const age = await ageOf(guard);
    if (age !== undefined && age > STALE_MS) await rm(guard, { force: true });
    return;
  }
  try {
    if (await isStale(file)) await rm(file, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

/**
 * Runs `body` while no other process (nor another call in this one) runs a body under the same lock file. A holder that died is found
 * out by its heartbeat and its lock taken over.
 *
 * @throws DyadicError `ERR_LOCK_TIMEOUT` when others hold it for too long, `ERR_ABORTED`.
 * @internal
 */
export async function withLock<T>(file: string, options: LockOptions, body: () => Promise<T>): Promise<T> {
  const { signal, onWait, timeoutMs = 3_600_000 } = options;
  const holder: Holder = { pid: process.pid, host: hostname(), token: randomUUID() };
  const deadline = performance.now() + timeoutMs;
  let waited = false;
  throwIfAborted(signal);
  while (!(await create(file, JSON.stringify(holder)))) {
    if (!waited) onWait?.();
    waited = true;
    if (await isStale(file)) {
      await removeStale(file);
      continue;
    }
    if (performance.now() > deadline) {
      const { pid, host } = await readHolder(file);
      throw new DyadicError(
        'ERR_LOCK_TIMEOUT',
        `${file} is held by process ${pid ?? '?'} on ${host ?? '?'}; if that is not so, delete the file`,
      );
    }
    await delay(POLL_MS, undefined, { signal }).catch(() => {
      throw aborted(signal);
    });
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {
      // The file was deleted by hand: there is nothing to renew, and the final rename is atomic all the same.
    });
  }, HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await body();
  } finally {
    clearInterval(heartbeat);
    if ((await readHolder(file)).token === holder.token) await rm(file, { force: true });
  }
}
