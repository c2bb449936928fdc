import { createHash } from 'node:crypto';

export const sha256Of = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

/** Bytes that do not compress and do not repeat. */
export function noise(bytes: number, seed = 1): Buffer {
  const out = Buffer.alloc(bytes);
  let state = seed;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}
