import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { aborted, codeOf, DyadicError, fromFileSystem } from '../errors.ts';
import { byteProgress, type OnProgress } from './progress.ts';

// Record layouts: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END_RECORD = 0x06054b50;
const END_RECORD_BYTES = 22;
const CENTRAL_HEADER_BYTES = 46;
const LOCAL_HEADER_BYTES = 30;
const MAX_COMMENT_BYTES = 0xffff;
/** A wheel has a few thousand files at most; a directory larger than this is not read. */
const MAX_DIRECTORY_BYTES = 16 * 2 ** 20;

interface Member {
  method: 'stored' | 'deflated';
  compressedBytes: number;
  headerOffset: number;
}

const malformed = (archive: string, what: string) =>
  new DyadicError('ERR_DOWNLOAD', `${archive} is not a readable zip file: ${what}`);

async function readAt(handle: FileHandle, archive: string, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await handle.read(buffer, 0, length, offset);
  if (bytesRead !== length) throw malformed(archive, `${length} bytes at ${offset} go beyond its end`);
  return buffer;
}

async function readDirectory(handle: FileHandle, archive: string): Promise<Buffer> {
  const { size } = await handle.stat();
  const tailBytes = Math.min(size, END_RECORD_BYTES + MAX_COMMENT_BYTES);
  const tail = await readAt(handle, archive, size - tailBytes, tailBytes);
  for (let at = tail.length - END_RECORD_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END_RECORD) continue;
    const bytes = tail.readUInt32LE(at + 12);
    const offset = tail.readUInt32LE(at + 16);
    if (bytes > MAX_DIRECTORY_BYTES || offset + bytes > size)
      throw malformed(archive, `directory of ${bytes} bytes at ${offset}`);
    return readAt(handle, archive, offset, bytes);
  }
  throw malformed(archive, 'no end record');
}

async function findMember(handle: FileHandle, archive: string, name: string): Promise<Member> {
  const directory = await readDirectory(handle, archive);
  let at = 0;
  while (at + CENTRAL_HEADER_BYTES <= directory.length && directory.readUInt32LE(at) === CENTRAL_HEADER) {
    const nameEnd = at + CENTRAL_HEADER_BYTES + directory.readUInt16LE(at + 28);
    if (directory.toString('utf8', at + CENTRAL_HEADER_BYTES, nameEnd) === name) {
      const method = directory.readUInt16LE(at + 10);
      if (method !== 0 && method !== 8) throw malformed(archive, `${name} uses compression method ${method}`);
      return {
        method: method === 0 ? 'stored' : 'deflated',
        compressedBytes: directory.readUInt32LE(at + 20),
        headerOffset: directory.readUInt32LE(at + 42),
      };
    }
    at = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  throw malformed(archive, `it has no ${name}`);
}

/** Passes bytes through, hashing and counting them; ends with an error once there are more than `limit`. */
function meter(limit: number, onBytes: (bytes: number) => void): { stream: Transform; digest: () => string } {
  const hash = createHash('sha256');
  let bytes = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      hash.update(chunk);
      onBytes(bytes);
      done(
        bytes > limit
          ? new DyadicError('ERR_CHECKSUM', `more than the ${limit} bytes that were expected`)
          : null,
        chunk,
      );
    },
  });
  return { stream, digest: () => hash.digest('hex') };
}

/**
 * Writes one member of a zip archive (stored or deflated, below 4 GiB) to `target` and returns its SHA-256. The size that the archive
 * states is not trusted: writing stops after `bytes`.
 * @internal
 */
export async function extractMember(
  archive: string,
  name: string,
  target: string,
  bytes: number,
  options: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined } = {},
): Promise<string> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(archive, 'r');
    const member = await findMember(handle, archive, name);
    const header = await readAt(handle, archive, member.headerOffset, LOCAL_HEADER_BYTES);
    if (header.readUInt32LE(0) !== LOCAL_HEADER)
      throw malformed(archive, `no header of ${name} at ${member.headerOffset}`);
    const start =
      member.headerOffset + LOCAL_HEADER_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
    const { stream, digest } = meter(bytes, byteProgress(options.onProgress, 'unpack', bytes));
    const source = createReadStream(archive, {
      start,
      end: start + member.compressedBytes - 1,
      highWaterMark: 2 ** 18,
    });
    const sink = createWriteStream(target);
    if (member.method === 'stored') await pipeline(source, stream, sink, { signal: options.signal });
    else await pipeline(source, createInflateRaw(), stream, sink, { signal: options.signal });
    return digest();
  } catch (error) {
    if (options.signal?.aborted) throw aborted(options.signal);
    if (codeOf(error)?.startsWith('Z_')) throw malformed(archive, `${name} does not inflate`);
    throw fromFileSystem(error, target);
  } finally {
    await handle?.close();
  }
}
