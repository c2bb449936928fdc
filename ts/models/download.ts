import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { aborted, codeOf, DyadicError, fromFileSystem, throwIfAborted } from '../errors.ts';
import { fileSize, requireSpace } from './cache.ts';
import { rejectChecksum, sha256 } from './hash.ts';
import { get, type RequestOptions, type Response } from './http.ts';
import { byteProgress, type OnProgress } from './progress.ts';

/** Attempts without a byte that none before had brought, before the transfer is given up. */
const MAX_FRUITLESS_ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
const IDLE_TIMEOUT_MS = 30_000;

/** What a server says of a file: enough to tell whether the rest of a partial one belongs to the same file. */
export interface RemoteFile {
  /** Size in bytes. */
  bytes: number;
  /** Entity tag without quotes; of the linked file where the server names it. */
  etag: string | null;
  /** SHA-256, where the entity tag is one (Hugging Face's large files). */
  sha256: string | null;
}

/** @internal */
export interface DownloadOptions {
  token?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
  idleTimeoutMs?: number;
  firstBackoffMs?: number;
}

/** A failure that may pass by itself. */
class Transient extends Error {
  /** Seconds that the server asked for, or 0. */
  readonly retryAfter: number;

  constructor(message: string, retryAfter = 0, options?: ErrorOptions) {
    super(message, options);
    this.retryAfter = retryAfter;
  }
}

const first = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value;

/** Total size from `Content-Range: bytes 5-9/10`, checked to begin where it was asked to. */
function rangeTotal(response: Response, offset: number): number | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers['content-range'] ?? '');
  return match !== null && Number(match[1]) === offset ? Number(match[2]) : undefined;
}

function describeRemote(response: Response, bytes: number): RemoteFile {
  // Hugging Face redirects to a store with tags of its own; the linked tag, in the redirect, names the file itself.
  const linked = response.via
    .map((headers) => first(headers['x-linked-etag']))
    .find((tag) => tag !== undefined);
  const etag = (linked ?? response.headers.etag ?? '').replace(/^W\//, '').replaceAll('"', '') || null;
  return {
    bytes,
    etag,
    sha256: linked !== undefined && etag !== null && /^[0-9a-f]{64}$/.test(etag) ? etag : null,
  };
}

function statusError(url: URL, response: Response): Error {
  const { status } = response;
  const retryAfter = Number(response.headers['retry-after'] ?? 0);
  if (status === 408 || status === 429 || status >= 500) {
    return new Transient(`HTTP status ${status}`, Number.isFinite(retryAfter) ? retryAfter : 0);
  }
  const hints: Record<number, string> = {
    401: 'the repository is private or gated, or does not exist: set HF_TOKEN to a token that may read it',
    403: 'the token in HF_TOKEN may not read it, or its licence has to be accepted on the site first',
    404: 'no such repository, revision or file',
    407: 'the proxy wants credentials: http_proxy=http://USER:PASSWORD@HOST:PORT',
  };
  return new DyadicError(
    'ERR_HTTP_STATUS',
    `${url.href}: HTTP status ${status}${hints[status] ? ` (${hints[status]})` : ''}`,
  );
}

async function readRemote(file: string): Promise<RemoteFile | undefined> {
  try {
    const parsed: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (
      typeof parsed === 'object' &&
      parsed !== null &&
      'bytes' in parsed &&
      'etag' in parsed &&
      'sha256' in parsed
    ) {
      const { bytes, etag, sha256 } = parsed;
      if (
        typeof bytes === 'number' &&
        (etag === null || typeof etag === 'string') &&
        (sha256 === null || typeof sha256 === 'string')
      ) {
        return { bytes, etag, sha256 };
      }
    }
  } catch {
    // None yet, or cut off when the process ended: the transfer starts anew.
  }
  return undefined;
}

/** One attempt: asks for what is missing of `partial` and appends it. Returns once the file is whole. */
async function attempt(
  url: URL,
  partial: string,
  options: DownloadOptions,
  onBytes: (bytes: number) => void,
): Promise<RemoteFile> {
  const description = `${partial}.json`;
  const known = await readRemote(description);
  let offset = known === undefined ? 0 : ((await fileSize(partial)) ?? 0);
  if (known !== undefined && offset > known.bytes) offset = 0;
  const request: RequestOptions = {
    token: options.token,
    signal: options.signal,
    idleTimeoutMs: options.idleTimeoutMs ?? IDLE_TIMEOUT_MS,
    // The last byte is asked for again when all are there, so that a whole partial file is confirmed by the same answer.
    ...(offset > 0 ? { headers: { range: `bytes=${known?.bytes === offset ? --offset : offset}-` } } : {}),
  };
  const response = await get(url, request);
  const { status, body } = response;
  try {
    if (status === 416) {
      await rm(partial, { force: true });
      throw new Transient('the server has a different file now');
    }
    if (status !== 200 && status !== 206) throw statusError(url, response);
    const total =
      status === 206
        ? rangeTotal(response, offset)
        : Number(response.headers['content-length'] ?? Number.NaN);
    if (total === undefined || !Number.isSafeInteger(total))
      throw new DyadicError('ERR_DOWNLOAD', `${url.host} does not tell the size of the file`);
    const remote = describeRemote(response, total);
    if (
      status === 206 &&
      (known === undefined || remote.bytes !== known.bytes || remote.etag !== known.etag)
    ) {
      await rm(partial, { force: true });
      throw new Transient('the file has changed on the server');
    }
    if (status === 200) offset = 0;
    await requireSpace(partial.replace(/[^/\\]*$/, ''), total - offset);
    await writeFile(description, JSON.stringify(remote));
    const report = byteProgress(options.onProgress, 'download', total);
    let bytes = offset;
    const sink = await open(partial, 'a');
    try {
      await sink.truncate(offset);
      for await (const chunk of body) {
        await sink.appendFile(chunk);
        bytes += chunk.length;
        onBytes(bytes);
        report(bytes);
      }
    } finally {
      await sink.close();
    }
    if (bytes !== total) throw new Transient(`the transfer ended after ${bytes} of ${total} bytes`);
    return remote;
  } finally {
    body.destroy();
  }
}

/** Errors of the operating system that mean that this machine reaches nothing. */
const UNREACHABLE = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ECONNREFUSED',
  'ENETDOWN',
]);
const isFileSystemError = (error: unknown) => error instanceof Error && 'path' in error;

/**
 * Brings `url` to `target`: resumes what an earlier call left in `target + '.partial'` if the server still has the same file, retries
 * with growing pauses, checks size and, where the server names one, SHA-256, and renames at the end, so that `target` is whole or absent.
 * The caller holds the lock of `target`.
 *
 * @throws DyadicError `ERR_DOWNLOAD`, `ERR_HTTP_STATUS`, `ERR_OFFLINE`, `ERR_CHECKSUM`, `ERR_NO_SPACE`, `ERR_ABORTED`.
 * @internal
 */
export async function download(url: URL, target: string, options: DownloadOptions): Promise<RemoteFile> {
  const { signal } = options;
  const partial = `${target}.partial`;
  let backoff = options.firstBackoffMs ?? FIRST_BACKOFF_MS;
  let fruitless = 0;
  let best = 0;
  for (;;) {
    throwIfAborted(signal);
    try {
      const remote = await attempt(url, partial, options, (bytes) => {
        if (bytes <= best) return;
        best = bytes;
        fruitless = 0;
        backoff = options.firstBackoffMs ?? FIRST_BACKOFF_MS;
      });
      if (remote.sha256 !== null) {
        const found = await sha256(partial, options);
        if (found !== remote.sha256) await rejectChecksum(partial, url.href, found, remote.sha256);
      }
      await rename(partial, target);
      await rm(`${partial}.json`, { force: true });
      return remote;
    } catch (error) {
      if (signal?.aborted) throw aborted(signal);
      if (error instanceof DyadicError) throw error;
      if (isFileSystemError(error)) throw fromFileSystem(error, target);
      const message = error instanceof Error ? error.message || codeOf(error) : String(error);
      if (++fruitless >= MAX_FRUITLESS_ATTEMPTS) {
        const code = UNREACHABLE.has(codeOf(error) ?? '') ? 'ERR_OFFLINE' : 'ERR_DOWNLOAD';
        throw new DyadicError(
          code,
          `${url.href}: ${message} (given up after ${fruitless} attempts; what came is kept, pull again to go on)`,
          {
            cause: error,
          },
        );
      }
      const asked = error instanceof Transient ? error.retryAfter * 1000 : 0;
      const pause = Math.min(MAX_BACKOFF_MS, Math.max(asked, backoff * (0.75 + Math.random() / 2)));
      backoff *= 2;
      await delay(pause, undefined, { signal }).catch(() => {
        throw aborted(signal);
      });
    }
  }
}
