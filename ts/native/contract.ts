/**
 * What the native library exports, written by hand so that the TypeScript half can be read and checked without building the other.
 * `__test__/contract.test-d.ts` asserts that the generated declarations fit it.
 */

import type { NativeLaboratory } from './laboratory-contract.ts';
import type { NativeOps } from './ops-contract.ts';
import type { NativeQuantize } from './quantize-contract.ts';
import type { NativeVisionModels } from './vision-contract.ts';

export interface NativeError {
  code: string;
  message: string;
}

export interface NativePiece {
  sample: number;
  id: number;
  text: string;
  logprob?: number;
  top?: { id: number; logprob: number }[];
}

/** One entry of {@link NativeHub.drain}. Which of the optional fields are there follows from `kind`. */
export interface NativeEvent {
  job: number;
  kind: 'progress' | 'pieces' | 'mask' | 'done' | 'error';
  /** progress */
  stage?: string;
  fraction?: number;
  /** pieces: what was generated since the last event, of any sample */
  pieces?: NativePiece[];
  /** mask: the engine waits for the logits of this sample, which has generated these ids so far */
  sample?: number;
  ids?: number[];
  /** done: JSON; ends the job */
  result?: string;
  /** error: ends the job */
  error?: NativeError;
}

export interface NativeHub {
  drain(): NativeEvent[];
  /** Keep the event loop alive. */
  ref(): void;
  unref(): void;
  /** The job ends with `ERR_ABORTED`, unless it has ended already; unknown jobs are ignored. */
  cancel(job: number): void;
  /** Once, after `done` of a load. */
  takeModel(job: number): NativeModel;
  /** Once, after `done` of logits. */
  takeFloats(job: number, out: Float32Array): void;
  /** Once, after `done` of a quantization. */
  takeBytes(job: number, out: Uint8Array): void;
  /** While a `mask` request of this sample is open. */
  readLogits(job: number, sample: number, out: Float32Array): void;
  /** Answers the request. */
  writeLogits(job: number, sample: number, logits: Float32Array): void;
}

export interface NativeLoadOptions {
  path: string;
  threads?: number;
  contextLength?: number;
  kvType?: 'f16' | 'f32' | 'int8';
  isa?: string;
}

export interface NativeGenerateRequest {
  prompt: Uint32Array;
  session?: number;
  maxTokens?: number;
  samples?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  typicalP?: number;
  repetitionPenalty?: number;
  repetitionWindow?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  logitBiasIds?: Uint32Array;
  logitBiasValues?: Float32Array;
  seed?: number;
  stop?: string[];
  logprobs?: number;
  schema?: string;
  maskHook?: boolean;
  ignoreEos?: boolean;
}

export interface NativeModel {
  info(): string;
  tokenize(text: string, special: boolean): number[];
  detokenize(ids: Uint32Array, special: boolean): string;
  renderChat(messagesJson: string, addGenerationPrompt: boolean): string;
  openSession(): number;
  closeSession(session: number): void;
  generate(hub: NativeHub, request: NativeGenerateRequest): number;
  logits(hub: NativeHub, ids: Uint32Array): number;
  perplexity(hub: NativeHub, ids: Uint32Array, contextLength: number, chunks: number): number;
  benchmark(
    hub: NativeHub,
    threads: number,
    promptTokens: number,
    decodeTokens: number,
    repetitions: number,
  ): number;
  /** Safe at any time: running jobs end with `ERR_DISPOSED`. */
  dispose(): void;
}

export interface NativeEncodeOptions {
  rounding?: string;
  randomBits?: number;
  remainder?: 'drop' | 'centre' | 'nearestEven' | 'nearestTiesToOdd';
  overflow?: 'saturate' | 'ieee' | 'wrap';
  nan?: 'throw' | 'zero' | 'max';
  infinityIsNan?: boolean;
  seed?: number;
}

export interface NativeFormat {
  /** JSON: the `FormatDescription` of ts/formats.ts. */
  describe(): string;
  decode(code: number): number;
  encode(value: number, options: NativeEncodeOptions, random: number): number;
  /** Bytes of codes, scales, zero points and selectors, and the number of super-scales. */
  partLengths(rows: number, columns: number): number[];
  /** Where a row begins in each of these; `null` where it does not begin at a byte or shares a group with the row before it. */
  partOffsets(columns: number, row: number): number[] | null;
}

/** The parts of a tensor, in memory of JavaScript. Those that its format does not have are empty. */
export interface NativeTensor {
  rows: number;
  columns: number;
  codes: Uint8Array;
  scales: Uint8Array;
  zeros: Uint8Array;
  selectors: Uint8Array;
  superScales: Float32Array;
}

/** Weights packed for the kernels of this CPU. Threads: 0 means all. */
export interface NativePackedWeights {
  /** JSON: `{rows, columns, byteLength, layout, kernel, activations}`. */
  describe(): string;
  /** `activations`: a number of the table in ts/ops/linear.ts; others mean what the format takes. */
  linear(
    x: Float32Array,
    bias: Float32Array | undefined | null,
    out: Float32Array,
    activations: number,
    outlierThreshold: number,
    threads: number,
  ): void;
  /** Fulfilled with what went wrong, or null. */
  linearAsync(
    x: Float32Array,
    bias: Float32Array | undefined | null,
    out: Float32Array,
    activations: number,
    outlierThreshold: number,
    threads: number,
  ): Promise<NativeError | null>;
  /** Reads every byte once and makes nothing of it: what products are measured against. */
  read(threads: number): void;
  /** Gives the memory back, at once or when running products end. */
  dispose(): void;
}

/** A tensor to be written to a file. */
export interface NativeFileTensor {
  name: string;
  /** By the names of safetensors files. */
  dtype: string;
  shape: number[];
  byteLength: number;
}

/** The header of a file to be written. */
export interface NativeHeader {
  /** Its bytes, one a character. */
  bytes: string;
  /** The order in which the data of the tensors follows. */
  order: number[];
}

export interface NativeBinding extends NativeOps, NativeLaboratory, NativeQuantize, NativeVisionModels {
  Hub: new (wake: () => void) => NativeHub;
  loadModel(hub: NativeHub, options: NativeLoadOptions): number;
  inspect(path: string): string;
  doctor(): string;
  /** JSON: the `Limits` of ts/cli/bench-kernels.ts. */
  machineLimits(threads: number): string;
  NativeFormat: new (text: string) => NativeFormat;
  formatNames(): string[];
  lMul(a: number, b: number, mantissaBits: number, linear: boolean): number;
  lMulArrays(
    a: Float32Array,
    b: Float32Array,
    mantissaBits: number,
    linear: boolean,
    out: Float32Array,
  ): void;
  /** Tells the garbage collector of memory that it does not count; below 0, that it is gone. */
  adjustExternalMemory(bytes: number): void;
  /** Where tensors are `out`, their parts are written; they must be long enough and used by nobody else. */
  quantize(format: NativeFormat, values: Float32Array, options: NativeEncodeOptions, out: NativeTensor): void;
  quantizeF64(
    format: NativeFormat,
    values: Float64Array,
    options: NativeEncodeOptions,
    out: NativeTensor,
  ): void;
  dequantize(format: NativeFormat, tensor: NativeTensor, out: Float32Array): void;
  dequantizeF64(format: NativeFormat, tensor: NativeTensor, out: Float64Array): void;
  tensorValue(format: NativeFormat, tensor: NativeTensor, index: number): number;
  scaleValues(format: NativeFormat, tensor: NativeTensor, out: Float32Array): void;
  zeroValues(format: NativeFormat, tensor: NativeTensor, out: Float32Array): void;
  lowerPrecision(format: NativeFormat, tensor: NativeTensor, bits: number, out: NativeTensor): void;
  lowerPrecisionFormat(format: NativeFormat, bits: number): string;
  selectCodes(
    source: Uint8Array,
    bits: number,
    offset: number,
    shape: Float64Array,
    strides: Float64Array,
    target: Uint8Array,
  ): void;
  checkTensor(format: NativeFormat, tensor: NativeTensor): void;
  /** `kernel`: 0 what was measured to be faster, 1 dot products, 2 tables, 3 five ternary weights in a byte. */
  packWeights(
    format: NativeFormat,
    tensor: NativeTensor,
    kernel: number,
    threads: number,
  ): NativePackedWeights;
  /** `bytes` are the beginning of a file of `fileBytes` bytes; JSON. */
  readSafetensorsHeader(path: string, bytes: Uint8Array, fileBytes: number): string;
  /** Keys and texts of the metadata by turns. */
  safetensorsHeader(metadata: string[], tensors: NativeFileTensor[]): NativeHeader;
  readNpyHeader(path: string, bytes: Uint8Array, fileBytes: number): string;
  npyHeader(tensor: NativeFileTensor): NativeHeader;
}
