import { DyadicError, fromNative } from '../errors.ts';
import { callNative, parseFormat } from '../formats.ts';
import { native } from '../native/load.ts';
import type { NativeOperand, NativeSoftmax } from '../native/ops-contract.ts';
import { choiceOption, integerOption, numberOption, openOptions, optionError } from '../options.ts';
import { shapeError } from '../tensor/shape.ts';
import { Tensor } from '../tensor.ts';
import { axisOf, float32, integers, type Operand, outputOf, whileBusy } from './arrays.ts';
import { nativeOperand, probabilities, resultOf } from './tensors.ts';

/** The algorithms of {@link softmax}, by the numbers that the native half knows them by. */
export const SOFTMAX_ALGORITHMS = ['auto', 'twoPass', 'recompute', 'reload', 'online'] as const;

/**
 * How a row is computed:
 *
 * - `'twoPass'` keeps exponentials as pairs of mantissa and exponent, subtracts no maximum, and moves 3 n elements: the most accurate
 *   (1e-6 relative), and the fastest for rows that no cache holds.
 * - `'reload'` stores the exponentials once: 5 n elements, the fastest in a cache.
 * - `'recompute'` computes them twice: 4 n. The same bits as `'reload'`.
 * - `'online'` keeps a running maximum: 3 n.
 * - `'auto'` chooses by the length of the row alone, so that results do not depend on the machine.
 */
export type SoftmaxAlgorithm = (typeof SOFTMAX_ALGORITHMS)[number];

/** Options of {@link softmax} and {@link logSoftmax}. */
export interface SoftmaxOptions {
  /** Of the array; without it, the whole array is one row. */
  shape?: readonly number[];
  /** The axis along which elements compete; -1, the last, where absent. */
  axis?: number;
  /** `'auto'` where absent. */
  algorithm?: SoftmaxAlgorithm;
  /** What elements are multiplied by first. */
  scale?: number;
  /** Then they become `cap * tanh(x / cap)`. */
  softCap?: number;
  /**
   * Then the mask applies: a Float32Array is added (-Infinity hides an element, and so does -3.4e38), of a Uint8Array 0 hides. It has the shape
   * of the array, or that of one row.
   */
  mask?: Float32Array | Uint8Array;
  /**
   * Causal attention: the axis before the last counts queries, and query i sees the first `i + 1 + causalOffset` elements of the last axis. The
   * others become 0.
   */
  causalOffset?: number;
  /** How many of its first elements count in each row. */
  lengths?: ArrayLike<number>;
  /** A further logit that takes part in the denominator only. */
  sink?: number;
  /** What a row without elements above -Infinity becomes: zeros where absent; PyTorch gives NaN. */
  emptyRow?: 'zeros' | 'nan' | 'uniform';
  /** What a row with elements of +Infinity becomes: NaN where absent; `'oneHot'` shares it among them. */
  infiniteRow?: 'nan' | 'oneHot';
  /** Where the result goes, which may be `x` itself; a new array where absent. */
  out?: Float32Array;
  /** The most threads; all of the process where absent. The bits do not depend on it. */
  threads?: number;
}

const TENSOR_OPTIONS = [
  'axis',
  'algorithm',
  'scale',
  'softCap',
  'mask',
  'causalOffset',
  'lengths',
  'sink',
  'emptyRow',
  'infiniteRow',
  'threads',
];
const OPTIONS = ['shape', 'out', ...TENSOR_OPTIONS];
const EMPTY_ROWS = ['zeros', 'nan', 'uniform'] as const;
const INFINITE_ROWS = ['nan', 'oneHot'] as const;
const LOGARITHM = 1 << 3;
const MOST_THREADS = 1024;
const MOST_INDEX = 2 ** 32 - 1;
const LARGEST = 3.4028234663852886e38;

/** A checked call. `full` is there where it asks for more than the rows themselves. */
interface Call {
  rowLength: number;
  code: number;
  threads: number;
  full: NativeSoftmax | undefined;
}

/** Options that only the full call knows. */
const FULL = ['scale', 'softCap', 'mask', 'causalOffset', 'lengths', 'sink'] as const;

/** The call on so many elements. */
function prepare(elements: number, raw: Readonly<Record<string, unknown>>, code: number): Call {
  const axis = axisOf(elements, raw.shape, integerOption(raw, 'axis', -32, 31));
  const index = (choices: readonly string[], choice: string | undefined) =>
    choice === undefined ? 0 : choices.indexOf(choice);
  const call: Call = {
    rowLength: axis.length,
    code:
      code |
      index(SOFTMAX_ALGORITHMS, choiceOption(raw, 'algorithm', SOFTMAX_ALGORITHMS)) |
      (index(EMPTY_ROWS, choiceOption(raw, 'emptyRow', EMPTY_ROWS)) << 4) |
      (index(INFINITE_ROWS, choiceOption(raw, 'infiniteRow', INFINITE_ROWS)) << 6),
    threads: integerOption(raw, 'threads', 1, MOST_THREADS) ?? 0,
    full: undefined,
  };
  if (axis.inner === 1 && FULL.every((option) => raw[option] === undefined)) return call;
  call.full = {
    rowLength: call.rowLength,
    inner: axis.inner,
    code: call.code,
    threads: call.threads,
    scale: numberOption(raw, 'scale', -LARGEST, LARGEST) ?? 1,
  };
  const softCap = numberOption(raw, 'softCap', Number.MIN_VALUE, LARGEST);
  if (softCap !== undefined) call.full.softCap = softCap;
  const sink = numberOption(raw, 'sink', Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
  if (sink !== undefined) call.full.sink = sink;
  if (raw.lengths !== undefined) call.full.lengths = integers(raw.lengths, 'lengths', axis.length);
  const causalOffset = integerOption(raw, 'causalOffset', 0, MOST_INDEX);
  if (causalOffset !== undefined) {
    if (axis.queries === undefined)
      throw shapeError('causalOffset: needs a shape of two axes or more, and the last of them as axis');
    call.full.queries = axis.queries;
    call.full.causalOffset = causalOffset;
  }
  const { mask } = raw;
  if (mask instanceof Float32Array) call.full.additive = float32(mask, 'mask');
  else if (mask instanceof Uint8Array) call.full.keep = mask;
  else if (mask !== undefined) throw optionError('mask', 'a Float32Array or a Uint8Array', mask);
  return call;
}

function compute(x: NativeOperand, out: NativeOperand, { rowLength, code, threads, full }: Call): void {
  callNative(() =>
    full === undefined
      ? native().softmaxRows(x, out, rowLength, code, threads)
      : native().softmaxAxisOf(x, out, full),
  );
}

/** Whether nothing but `out` is given: such a call of 1000 elements takes 1 µs, half of which the full check would cost again. */
function onlyOut(options: object): boolean {
  for (const key in options) if (key !== 'out') return false;
  return true;
}

/** Formats that a result may have beside that of the tensor. */
export type SoftmaxFormat = 'f32' | 'f16' | 'bf16' | 'uint8';

const LOGARITHM_FORMATS = ['f32', 'f16', 'bf16'] as const;
const FORMATS = [...LOGARITHM_FORMATS, 'uint8'] as const;

/** Options of a call on a tensor, which has a shape of its own and gives a new tensor. */
export interface TensorSoftmaxOptions<G extends string = string>
  extends Omit<SoftmaxOptions, 'shape' | 'out'> {
  /**
   * The format of the result; that of the tensor where absent. `'uint8'` holds the nearest multiples of 1/255, and is not for logarithms. f16, bf16 and
   * 8-bit integers with at most one scale are read, and these formats written, in registers.
   */
  format?: G & SoftmaxFormat;
}

function prepareTensor(x: Tensor, options: TensorSoftmaxOptions | undefined, name: string, code: number) {
  const raw = openOptions(options, name, [...TENSOR_OPTIONS, 'format']);
  const format = choiceOption(raw, 'format', code === LOGARITHM ? LOGARITHM_FORMATS : FORMATS);
  const call = prepare(x.size, { ...raw, shape: x.shape }, code);
  const result =
    format === 'uint8'
      ? probabilities(x.shape, parseFormat(format))
      : resultOf(x.shape, format === undefined ? x.format : parseFormat(format));
  return { from: nativeOperand(x, 'x'), call, ...result };
}

function run(x: Operand, options: SoftmaxOptions | undefined, name: string, code: number): Operand {
  if (x instanceof Tensor) {
    const { from, out, call, tensor } = prepareTensor(x, options, name, code);
    compute(from, out, call);
    return tensor();
  }
  float32(x, 'x');
  if (x.length <= MOST_INDEX && (options === undefined || onlyOut(options))) {
    const out = outputOf(options?.out, x.length);
    try {
      native().softmaxRows(x, out, x.length, code, 0);
    } catch (error) {
      throw fromNative(error);
    }
    return out;
  }
  const raw = openOptions(options, name, OPTIONS);
  const out = outputOf(raw.out, x.length);
  compute(x, out, prepare(x.length, raw, code));
  return out;
}

/**
 * Softmax along an axis: `e^x / sum e^x`. The same bits on every machine and for any number of threads.
 *
 * Synchronous: 16 million elements take about 10 ms. See {@link softmaxAsync}.
 *
 * @example
 * ```ts
 * softmax(Float32Array.of(1, 2, 3)); // 0.09, 0.245, 0.665
 * softmax(scores, { shape: [heads, queries, keys], scale: 1 / Math.sqrt(64), causalOffset: 0, out: scores });
 * ```
 * @throws DyadicError `ERR_OPTION`, `ERR_SHAPE`, `ERR_OVERLAP`, `ERR_BUSY`.
 */
export function softmax(x: Float32Array, options?: SoftmaxOptions): Float32Array;
/** Of a tensor: a tensor. */
export function softmax<F extends string, G extends string = F>(
  x: Tensor<F>,
  options?: TensorSoftmaxOptions<G>,
): Tensor<G>;
export function softmax(x: Operand, options?: SoftmaxOptions): Operand {
  return run(x, options, 'softmax', 0);
}

/**
 * The logarithm of {@link softmax}: `x - ln(sum e^x)`. Hidden elements become -Infinity.
 *
 * @throws DyadicError as {@link softmax}.
 */
export function logSoftmax(x: Float32Array, options?: SoftmaxOptions): Float32Array;
/** Of a tensor: a tensor. */
export function logSoftmax<F extends string, G extends string = F>(
  x: Tensor<F>,
  options?: TensorSoftmaxOptions<G>,
): Tensor<G>;
export function logSoftmax(x: Operand, options?: SoftmaxOptions): Operand {
  return run(x, options, 'logSoftmax', LOGARITHM);
}

/**
 * {@link softmax} without blocking the event loop. Until the promise is settled, `x`, `out` and a mask must be left alone: other calls that are given
 * them throw `ERR_BUSY`, and their buffers must not be transferred. A round trip takes some 20 µs, so this is for arrays of 100 000 elements and more.
 *
 * @throws DyadicError as {@link softmax}.
 */
export async function softmaxAsync(x: Float32Array, options?: SoftmaxOptions): Promise<Float32Array>;
/** Of a tensor: a tensor. */
export async function softmaxAsync<F extends string, G extends string = F>(
  x: Tensor<F>,
  options?: TensorSoftmaxOptions<G>,
): Promise<Tensor<G>>;
export async function softmaxAsync(operand: Operand, options: SoftmaxOptions = {}): Promise<Operand> {
  if (operand instanceof Tensor) {
    const { from, out, call, tensor } = prepareTensor(operand, options, 'softmaxAsync', 0);
    await computeAsync(from, out, call);
    return tensor();
  }
  const x = float32(operand, 'x');
  const raw = openOptions(options, 'softmaxAsync', OPTIONS);
  const out = outputOf(raw.out, x.length);
  const overlap =
    x.buffer === out.buffer &&
    x.byteOffset < out.byteOffset + out.byteLength &&
    out.byteOffset < x.byteOffset + x.byteLength;
  if (overlap && x.byteOffset !== out.byteOffset)
    throw new DyadicError(
      'ERR_OVERLAP',
      'x and out overlap: they must be the same array, or have no element in common',
    );
  await computeAsync(x, out, prepare(x.length, raw, 0));
  return out;
}

async function computeAsync(x: NativeOperand, out: NativeOperand, call: Call): Promise<void> {
  const { rowLength, code, threads } = call;
  const full = call.full ?? { rowLength, inner: 1, code, threads, scale: 1 };
  const arrays = [x, out, full.additive].filter((array) => array instanceof Float32Array);
  await whileBusy(arrays, () => native().softmaxAsync(x, out, full));
}

/** `ln(sum e^x)` of a whole array: read once, nothing written. NaN where an element is NaN or +Infinity. */
export function logSumExp(x: Operand): number;
/** Of each row of the last axis. */
export function logSumExp(x: Operand, options: { shape: readonly number[] }): Float64Array;
export function logSumExp(operand: Operand, options?: { shape: readonly number[] }): number | Float64Array {
  const x = nativeOperand(operand, 'x');
  const elements = operand instanceof Tensor ? operand.size : operand.length;
  const raw = openOptions(options, 'logSumExp', ['shape']);
  const { length } = axisOf(elements, raw.shape, -1);
  const out = new Float64Array(raw.shape === undefined ? 1 : elements / Math.max(length, 1));
  if (length > 0) callNative(() => native().logSumExp(x, length, out));
  else out.fill(Number.NEGATIVE_INFINITY);
  return raw.shape === undefined ? (out[0] ?? Number.NaN) : out;
}

/**
 * `-ln softmax(logits)[target]` in nats: the logits are read once, nothing is written.
 *
 * @throws DyadicError `ERR_SHAPE` where the target is no index of the logits.
 */
export function crossEntropy(logits: Operand, target: number): number;
/** One row of `logits` for each target. */
export function crossEntropy(logits: Operand, targets: ArrayLike<number>): Float64Array;
export function crossEntropy(operand: Operand, target: number | ArrayLike<number>): number | Float64Array {
  const logits = nativeOperand(operand, 'logits');
  const elements = operand instanceof Tensor ? operand.size : operand.length;
  const targets = integers(typeof target === 'number' ? [target] : target, 'target', MOST_INDEX);
  if (targets.length === 0 ? elements > 0 : elements % targets.length !== 0)
    throw shapeError(`${elements} logits are not ${targets.length} rows`);
  const out = new Float64Array(targets.length);
  callNative(() => native().crossEntropy(logits, targets, out));
  return typeof target === 'number' ? (out[0] ?? Number.NaN) : out;
}

/**
 * The `k` largest elements without sorting the rest, the largest first, of equals the first; NaN is smaller than everything. All of
 * them where there are fewer.
 */
export function topK(operand: Operand, k: number): { indices: Uint32Array; values: Float32Array } {
  const x = float32(operand, 'x');
  const count = integerOption({ k }, 'k', 0, MOST_INDEX) ?? 0;
  const indices = new Uint32Array(Math.min(count, x.length));
  callNative(() => native().topK(x, indices));
  return { indices, values: Float32Array.from(indices, (index) => x[index] ?? Number.NaN) };
}
