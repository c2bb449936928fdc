/** The operations over arrays of the native library. Codes of algorithms and functions: ts/ops. Threads: 0 means all. */

import type { NativeError } from './contract.ts';

export interface NativeSoftmax {
  rowLength: number;
  inner: number;
  code: number;
  threads: number;
  scale: number;
  softCap?: number;
  sink?: number;
  /** Of one row or of all. */
  additive?: Float32Array;
  keep?: Uint8Array;
  lengths?: Uint32Array;
  queries?: number;
  causalOffset?: number;
}

export interface NativeAttention {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
  softCap?: number;
  sinks?: Float32Array;
  causalOffset?: number;
  window?: number;
  precision: number;
  mantissaBits?: number;
  linear?: boolean;
}

/** `x` and `out` are one array or have no element in common, else the call throws `ERR_OVERLAP`. */
export interface NativeOps {
  softmaxRows(x: Float32Array, out: Float32Array, rowLength: number, code: number, threads: number): void;
  softmaxAxisOf(x: Float32Array, out: Float32Array, options: NativeSoftmax): void;
  /** Fulfilled with what went wrong, or null. */
  softmaxAsync(x: Float32Array, out: Float32Array, options: NativeSoftmax): Promise<NativeError | null>;
  /** The best of some calls on one row, in seconds. */
  timeSoftmax(
    x: Float32Array,
    out: Float32Array,
    code: number,
    isa: string,
    threads: number,
    calls: number,
  ): number;
  logSumExp(x: Float32Array, rowLength: number, out: Float64Array): void;
  crossEntropy(logits: Float32Array, targets: Uint32Array, out: Float64Array): void;
  topK(x: Float32Array, out: Uint32Array): void;
  applyFunction(code: number, x: Float32Array, out: Float32Array): void;
  layerNorm(
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array,
    epsilon: number,
    out: Float32Array,
  ): void;
  rmsNorm(x: Float32Array, weight: Float32Array, epsilon: number, out: Float32Array): void;
  l2Norm(x: Float32Array, rowLength: number, epsilon: number, out: Float32Array): void;
  addRmsNorm(
    residual: Float32Array,
    delta: Float32Array,
    weight: Float32Array,
    epsilon: number,
    out: Float32Array,
  ): void;
  rope(
    x: Float32Array,
    positions: Uint32Array,
    headDim: number,
    rotaryDim: number,
    base: number,
    factor: number,
    interleaved: boolean,
  ): void;
  attention(
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    out: Float32Array,
    options: NativeAttention,
  ): void;
  lMulDot(a: Float32Array, b: Float32Array, mantissaBits: number, linear: boolean): number;
  logBessel(second: boolean, v: Float64Array, x: Float64Array, out: Float64Array): void;
  fitVonMisesFisher(samples: Float32Array, mean: Float64Array): number;
  vonMisesFisherLogDensity(mean: Float64Array, kappa: number, x: Float32Array, out: Float64Array): void;
}
