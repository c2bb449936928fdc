import { mkdir, stat, statfs } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { codeOf, DyadicError, fromFileSystem } from '../errors.ts';

/**
 * The folder that models are kept in, by the convention of the platform, for the current user:
 * `$DYADIC_CACHE`, else `%LOCALAPPDATA%\dyadic\Cache` on Windows, `~/Library/Caches/dyadic` on macOS, `$XDG_CACHE_HOME/dyadic` or
 * `~/.cache/dyadic` elsewhere. It need not exist.
 */
export function cacheDirectory(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  if (env.DYADIC_CACHE) return path.resolve(env.DYADIC_CACHE);
  if (platform === 'win32') {
    return path.join(env.LOCALAPPDATA || path.join(homedir(), 'AppData', 'Local'), 'dyadic', 'Cache');
  }
  if (platform === 'darwin') return path.join(homedir(), 'Library', 'Caches', 'dyadic');
  // The XDG specification: a relative path is invalid and to be ignored.
  const xdg = env.XDG_CACHE_HOME;
  return path.join(xdg && path.isAbsolute(xdg) ? xdg : path.join(homedir(), '.cache'), 'dyadic');
}

/**
 * Size of a regular file in bytes, or `undefined` when there is none of that name.
 * @internal
 */
export async function fileSize(file: string): Promise<number | undefined> {
  try {
    const found = await stat(file);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw fromFileSystem(error, file);
  }
}

/** @internal */
export async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
  } catch (error) {
    throw fromFileSystem(error, `the model cache ${directory} cannot be made (DYADIC_CACHE chooses another)`);
  }
}

/** @internal */
export const mebibytes = (bytes: number): string =>
  `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;

/**
 * Throws `ERR_NO_SPACE` before a byte is fetched when the file cannot fit.
 * @internal
 */
export async function requireSpace(directory: string, bytes: number): Promise<void> {
  let free: number;
  try {
    const disk = await statfs(directory);
    free = disk.bavail * disk.bsize;
  } catch {
    // Some file systems do not tell; writing will.
    return;
  }
  if (free < bytes) {
    throw new DyadicError(
      'ERR_NO_SPACE',
      `${directory}: ${mebibytes(bytes)} are needed and ${mebibytes(free)} are free. Free some space, or set DYADIC_CACHE to a folder on another disk.`,
    );
  }
}
