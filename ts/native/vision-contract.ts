/** Vision models, of the native library. */

import type { NativeError } from './contract.ts';

/** A path, the bytes of a picture file, or pixels: with their sizes, or without as the model reads them. */
export interface NativeImage {
  path?: string;
  file?: Uint8Array;
  data?: Uint8Array;
  width?: number;
  height?: number;
  channels?: number;
}

/** Ends the calls that it was given to, soon after. */
export interface NativeStop {
  stop(): void;
}

export interface NativeVision {
  /** Those of the images one after another, or what went wrong: `ERR_ABORTED` where it was stopped. */
  logits(images: NativeImage[], stop: NativeStop): Promise<number[] | NativeError>;
  /** JSON: the `VisionDescription` of ts/vision/types.ts. */
  describe(): string;
  /** Safe at any time: running calls go on, unless they are stopped. */
  dispose(): void;
}

export interface NativeVisionModels {
  NativeStop: new () => NativeStop;
  /** Threads: 0 means all. */
  loadVision(
    path: string,
    floats: boolean,
    threads: number,
    isa?: string | null,
  ): Promise<NativeVision | NativeError>;
  /** JSON; null where the file is of another kind. */
  inspectVision(path: string): string | null | NativeError;
}
