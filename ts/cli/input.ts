import { readFile } from 'node:fs/promises';
import { fromFileSystem } from '../errors.ts';

/** All of stdin as text, byte for byte: neither a byte order mark nor a last line end is taken off. */
export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** The text of a file, or of stdin for `-`. */
export async function readText(file: string): Promise<string> {
  if (file === '-') return readStdin();
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw fromFileSystem(error, file);
  }
}
