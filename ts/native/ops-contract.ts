/** The operations over arrays of the native library. Codes of algorithms and functions: ts/ops. Threads: 0 means all. */

import type { NativeError } from './contract.ts';

/** Numbers in the memory of a tensor. */
export interface NativeElements {
  bytes: Uint8Array;
  /** 0: f32, 1: f16, 2: bf16, 3: integers of 8 bits, signed where they are read, unsigned where they are written. */
  kind: number;
  /** What integers are multiplied by. */
  scale: number;
}

export type NativeOperand = Float32Array | NativeElements;

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
  softmaxRows(x: NativeOperand, out: NativeOperand, rowLength: number, code: number, threads: number): void;
  softmaxAxisOf(x: NativeOperand, out: NativeOperand, options: NativeSoftmax): void;
  /** Fulfilled with what went wrong, or null. */
  softmaxAsync(x: NativeOperand, out: NativeOperand, options: NativeSoftmax): Promise<NativeError | null>;
  /** The best of some calls on one row, in seconds. */
  timeSoftmax(
    x: Float32Array,
    out: Float32Array,
    code: number,
    isa: string,
    threads: number,
    calls: number,
  ): number;
  logSumExp(x: NativeOperand, rowLength: number, out: Float64Array): void;
  crossEntropy(logits: NativeOperand, targets: Uint32Array, out: Float64Array): void;
  topK(x: Float32Array, out: Uint32Array): void;
  applyFunction(code: number, x: NativeOperand, out: NativeOperand): void;
  layerNorm(
    x: NativeOperand,
    weight: Float32Array,
    bias: Float32Array,
    epsilon: number,
    out: NativeOperand,
  ): void;
  rmsNorm(x: NativeOperand, weight: Float32Array, epsilon: number, out: NativeOperand): void;
  l2Norm(x: NativeOperand, rowLength: number, epsilon: number, out: NativeOperand): void;
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
