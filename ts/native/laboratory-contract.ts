import type { NativeEncodeOptions, NativeFormat } from './contract.ts';

export interface NativeCandidate {
  format: string;
  sqnr: number;
}

export interface NativeEmulator {
  /** Operands have the length of `out`, which is none of their memory, or one element. */
  apply(operation: string, a: Float32Array, b: Float32Array, c: Float32Array, out: Float32Array): void;
  round(value: number): number;
  sum(values: Float32Array): number;
  dot(a: Float32Array, b: Float32Array, fused: boolean): number;
}

/** The format laboratory. */
export interface NativeLaboratory {
  /** `[count, signal, noise, max error, clipped, underflowed]` of all elements; with `parts` also of each row and of each group. */
  analyse(
    format: NativeFormat,
    values: Float32Array,
    rows: number,
    columns: number,
    options: NativeEncodeOptions,
    parts: boolean,
  ): number[];
  compareFloatSplits(
    bits: number,
    values: Float32Array,
    rows: number,
    columns: number,
    per: string,
  ): NativeCandidate[];
  searchBinaryPoint(bits: number, values: Float32Array): NativeCandidate;
  fitPower(bits: number, values: Float32Array, rows: number, columns: number, per: string): NativeCandidate;
  wasserstein1(a: Float64Array, b: Float64Array): number;
  pqtNoise(
    weights: Float32Array,
    rows: number,
    columns: number,
    noise: { bits: number; per: string; uniform: boolean; seed: number },
    out: Float32Array,
  ): void;
  NativeEmulator: new (format: NativeFormat, options: NativeEncodeOptions) => NativeEmulator;
}
