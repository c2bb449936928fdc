import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { aborted, DyadicError, fromFileSystem } from '../errors.ts';
import { fileSize } from './cache.ts';
import { byteProgress, type OnProgress } from './progress.ts';

/**
 * SHA-256 of a file in hexadecimal.
 * @internal
 */
export async function sha256(
  file: string,
  options: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined } = {},
): Promise<string> {
  const hash = createHash('sha256');
  const report = byteProgress(options.onProgress, 'verify', (await fileSize(file)) ?? 0);
  let bytes = 0;
  try {
    // 1 MiB a read: the event loop is held for about 0.5 ms at a time.
    for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20, signal: options.signal })) {
      hash.update(chunk);
      bytes += chunk.length;
      report(bytes);
    }
  } catch (error) {
    if (options.signal?.aborted) throw aborted(options.signal);
    throw fromFileSystem(error, file);
  }
  return hash.digest('hex');
}

/**
 * Deletes a file that is not what it should be and throws `ERR_CHECKSUM`.
 * @internal
 */
export async function rejectChecksum(
  file: string,
  what: string,
  found: string,
  expected: string,
): Promise<never> {
  await rm(file, { force: true });
  throw new DyadicError(
    'ERR_CHECKSUM',
    `${what}: SHA-256 is ${found}, expected ${expected}. The file was deleted; pull again, and if it happens again something between you and the server alters it.`,
  );
}
