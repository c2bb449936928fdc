import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { codeOf, DyadicError, fromFileSystem } from '../errors.ts';

/** The system reads and writes at most 2 GiB at once. */
const CHUNK = 1 << 30;

function fileError(error: unknown, what: string, path: string): DyadicError {
  if (error instanceof DyadicError) return error;
  switch (codeOf(error)) {
    case 'ENOENT':
      return new DyadicError('ERR_FILE_NOT_FOUND', `${path}: no such file`, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EISDIR':
    case 'ENOTDIR':
      return new DyadicError('ERR_FILE_ACCESS', `${path}: cannot ${what}`, { cause: error });
    default:
      return fromFileSystem(error, `${path}: cannot ${what}`);
  }
}

/** A regular file that is open for reading. */
export class ReadableFile {
  readonly path: string;
  /** Its length when it was opened. */
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /** Opens a file, lets `use` read it, and closes it. */
  static async with<T>(path: string, use: (file: ReadableFile) => Promise<T>): Promise<T> {
    let handle: FileHandle | undefined;
    try {
      // Asked before opening: to open a named pipe would wait for a writer.
      const status = await stat(path);
      if (!status.isFile()) {
        const what = status.isDirectory() ? 'a directory' : 'no regular file';
        throw new DyadicError('ERR_FILE_ACCESS', `${path}: cannot open: it is ${what}`);
      }
      handle = await open(path, 'r');
      return await use(new ReadableFile(path, status.size, handle));
    } catch (error) {
      throw fileError(error, 'read', path);
    } finally {
      await handle?.close();
    }
  }

  /** Fills `target` from a place in the file. */
  async fill(target: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const part = target.subarray(done, done + CHUNK);
      const { bytesRead } = await this.#handle.read(part, 0, part.length, position + done);
      if (bytesRead === 0) {
        throw new DyadicError(
          'ERR_IO',
          `${this.path}: the file ended at ${position + done}, expected ${position + target.length} bytes: it was shortened meanwhile`,
        );
      }
      done += bytesRead;
    }
  }

  /** The first bytes, fewer where the file is shorter. */
  async head(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.min(length, this.size));
    await this.fill(bytes, 0);
    return bytes;
  }
}

/** Writes a file in one step: whoever reads it sees the old one or the whole new one. */
export async function writeParts(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx');
    try {
      for (const part of parts) {
        for (let done = 0; done < part.length; ) {
          const chunk = part.subarray(done, done + CHUNK);
          done += (await handle.write(chunk, 0, chunk.length)).bytesWritten;
        }
      }
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw fileError(error, 'write', path);
  }
}
