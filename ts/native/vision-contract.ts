/** Vision models of integers, of the native library. */

import type { NativeError } from './contract.ts';

/** A path, or pixels with their sizes. */
export interface NativeImage {
  path?: string;
  data?: Uint8Array;
  width: number;
  height: number;
  channels: number;
}

export interface NativeVision {
  /** Those of the images one after another, or what went wrong. */
  logits(images: NativeImage[]): Promise<number[] | NativeError>;
  /** JSON: the `VisionDescription` of ts/vision/types.ts. */
  describe(): string;
  /** Safe at any time: running calls end with `ERR_DISPOSED`. */
  dispose(): void;
}

export interface NativeVisionModels {
  /** Threads: 0 means all. */
  loadVision(path: string, threads: number, isa?: string | null): Promise<NativeVision | NativeError>;
  /** JSON; null where the file is of another kind. */
  inspectVision(path: string): string | null | NativeError;
}
