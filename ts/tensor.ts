import { inspect } from 'node:util';
import { DyadicError } from './errors.ts';
import type { DataOf, FormatString, TensorData } from './format-types.ts';
import {
  callNative,
  type Format,
  nativeFormat,
  parseFormat,
  ROUNDING_OPTIONS,
  type RoundingOptions,
  roundingOptions,
} from './formats.ts';
import type { NativeEncodeOptions, NativeFormat, NativeTensor } from './native/contract.ts';
import { native } from './native/load.ts';
import { integerOption, openOptions, optionError, show } from './options.ts';
import { inspectTensor } from './tensor/inspect.ts';
import {
  type Layout,
  lowered,
  matrix,
  type Range,
  reshaped,
  selectCodes,
  shapeOf,
  sliced,
  transposed,
} from './tensor/layout.ts';
import { allocate, byteLengthOf, typedView } from './tensor/memory.ts';
import { readMessage, type TensorMessage, writeMessage } from './tensor/message.ts';
import {
  inverse,
  isIdentity,
  matrixOf,
  permute,
  readAxis,
  readShape,
  shapeError,
  showShape,
  sizeOf,
  stridesOf,
} from './tensor/shape.ts';
import { checkBuffer, type NestedNumbers, readNumbers, type TensorSource } from './tensor/source.ts';

/** How values become codes. */
export interface ConvertOptions extends RoundingOptions {
  /** Of the random modes: an integer from 0 to 2^53 - 1 (0). Equal seeds give equal codes on every machine and any number of threads. */
  seed?: number;
  /** The axis along which groups lie, negative from the last; the last (-1) unless said. Each "row" of a format is one line along it. */
  axis?: number;
}

/** Options of {@link Tensor.from}. */
export interface TensorOptions<F extends string = string> extends ConvertOptions {
  /** A format string, or a parsed format. */
  format: F | Format<F>;
  /** The lengths of the axes; those of the nested arrays, or the length of the data, unless said. */
  shape?: readonly number[];
}

/** Elements from `begin` up to `end` along one axis, as in `Array.prototype.slice`; `null` for all. */
export type SliceRange = readonly [begin?: number, end?: number] | null;

const CONSTRUCT = Symbol('Tensor');
let layoutOf: (tensor: Tensor) => Layout;

/**
 * Numbers in a low-bit format, with their shape.
 *
 * A tensor owns its memory: packed codes, scales and zero points lie in one SharedArrayBuffer, so a worker can be handed a tensor without a copy
 * ({@link toMessage}). It never changes; methods return new tensors, which share its memory where they can.
 *
 * @typeParam F - the format string it was made with
 * @typeParam D - the type of {@link data}, which follows from it
 * @example
 * ```ts
 * const weights = Tensor.from(Float32Array.from({ length: 32 }, (_, i) => Math.sin(i)), { format: 'nvfp4', shape: [2, 16] });
 * console.log(weights); // Tensor nvfp4 [2, 16], …
 * weights.bitsPerElement; // 4.5
 * weights.toFloat32(); // what the codes stand for
 * weights.to('int4:g16:f16').at(1, 3);
 * ```
 */
export class Tensor<F extends string = string, D extends TensorData = DataOf<F>>
  implements Iterable<number>, Disposable
{
  /** The format; its name is `tensor.format.name`. */
  readonly format: Format<F>;
  /** The lengths of the axes. */
  readonly shape: readonly number[];
  /** The number of elements. */
  readonly size: number;
  #layout: Layout | undefined;

  static {
    layoutOf = (tensor) => tensor.#open();
  }

  /** @internal */
  constructor(key: typeof CONSTRUCT, format: Format<F>, layout: Layout) {
    if (key !== CONSTRUCT) throw new TypeError('tensors are made by Tensor.from');
    this.format = format;
    this.shape = Object.freeze(shapeOf(layout));
    this.size = sizeOf(this.shape);
    this.#layout = layout;
  }

  /**
   * Rounds numbers into a format. f64 (plain arrays and Float64Array) go straight into formats without scales, so nothing is rounded twice; under
   * scales the arithmetic is that of f32.
   *
   * Synchronous, on all threads of the pool: a million elements take one to ten milliseconds where there is a kernel for the format, else some tenths
   * of a second.
   *
   * @throws DyadicError `ERR_SHAPE`, `ERR_AXIS`, `ERR_FORMAT_SYNTAX`, `ERR_NAN`, `ERR_BUFFER` (the data's buffer was detached), `ERR_OPTION`.
   * @example
   * ```ts
   * Tensor.from([[1, 2], [3, 4]], { format: 'e4m3fn' });
   * Tensor.from(values, { format: 'int4:g128:f16', shape: [64, 256], rounding: 'stochastic', seed: 1 });
   * ```
   */
  static from<const F extends FormatString>(data: TensorSource, options: TensorOptions<F>): Tensor<F> {
    const raw = openOptions(options, 'Tensor.from', [...ROUNDING_OPTIONS, 'seed', 'axis', 'format', 'shape']);
    if (data instanceof Tensor) {
      throw new DyadicError('ERR_OPTION', 'data: this is a tensor already; tensor.to(format) converts it');
    }
    const { values, shape: found } = readNumbers(data);
    const shape = raw.shape === undefined ? readShape(found ?? [values.length]) : readShape(raw.shape);
    if (sizeOf(shape) !== values.length) {
      throw shapeError(
        `shape: ${showShape(shape)} has ${sizeOf(shape)} elements, the data has ${values.length}`,
      );
    }
    const format: Format<F> = parseFormat(options.format);
    return encode(format, values, shape, orderOf(raw.axis, shape.length), convertOptions(raw, format));
  }

  /**
   * The tensor of a message of {@link toMessage}, in the same memory. Messages are checked: a wrong one is an error, never a wrong access.
   *
   * @throws DyadicError `ERR_MESSAGE` where it is no such message; `ERR_SHAPE`, `ERR_FORMAT_SYNTAX` where its parts do not fit.
   */
  static fromMessage(message: unknown): Tensor {
    const layout = readMessage(message);
    return new Tensor(CONSTRUCT, layout.format, layout);
  }

  #open(): Layout {
    if (this.#layout === undefined) {
      throw new DyadicError('ERR_DISPOSED', `the tensor ${this} was disposed`);
    }
    return this.#layout;
  }

  /** Another tensor of the same format. */
  #with(layout: Layout): Tensor<F, D> {
    return new Tensor(CONSTRUCT, this.format, layout);
  }

  /** The axis along which groups of elements share a scale. */
  get axis(): number {
    return this.#open().order.at(-1) ?? 0;
  }

  /**
   * The codes, without copying, in the order of memory: row-major with {@link axis} moved to the end. Where a code is a machine number (f32, f16,
   * bf16, integers of 8, 16 and 32 bits) an array of these, f16 as Float16Array where the runtime has it, else as Uint16Array of bit patterns;
   * for all other formats the packed {@link bytes}.
   */
  get data(): D {
    return this.#view(this.format.describe().element, this.bytes) as D;
  }

  #view(element: string, bytes: Uint8Array): TensorData {
    return this.format.describe().record === null ? typedView(element, bytes) : bytes;
  }

  /** The packed codes, without copying: code i has the bits i × {@link Format.bits} and up, least significant first; or records, as in GGUF files. */
  get bytes(): Uint8Array {
    return this.#open().parts.codes;
  }

  /** The scales as they are stored, one for each group, without copying; `undefined` where there are none. {@link scaleValues} decodes them. */
  get scales(): TensorData | undefined {
    const { scale, record } = this.format.describe();
    const { scales } = this.#open().parts;
    return scale === null || record !== null ? undefined : typedView(scale.format, scales);
  }

  /** The packed zero points or minimums, one for each group, without copying; `undefined` where there are none. */
  get zeroPoints(): TensorData | undefined {
    const { zeroPoint, record } = this.format.describe();
    const { zeros } = this.#open().parts;
    if (zeroPoint === null || zeroPoint.kind === 'constant' || record !== null) return undefined;
    return typedView(zeroPoint.format, zeros);
  }

  /** The packed numbers of the code books that groups chose, without copying; `undefined` where there is no choice. */
  get selectors(): Uint8Array | undefined {
    const { selectors } = this.#open().parts;
    return this.format.describe().selectorBits > 0 ? selectors : undefined;
  }

  /** The scales of the scales, without copying; `undefined` where there are none. */
  get superScales(): Float32Array | undefined {
    const { superScale, record } = this.format.describe();
    const { superScales } = this.#open().parts;
    return superScale === null || record !== null ? undefined : superScales;
  }

  /** Bits of an element with its share of the scales of groups; scales of rows and of the whole tensor count nothing. */
  get bitsPerElement(): number {
    return this.format.bitsPerElement;
  }

  /** The bytes that the tensor takes, scales and all. Tensors that share memory count it each. */
  get byteLength(): number {
    return byteLengthOf(this.#open().parts);
  }

  /** Whether {@link dispose} was called. */
  get disposed(): boolean {
    return this.#layout === undefined;
  }

  /**
   * The values, in row-major order.
   *
   * @param out - where they go, of exactly {@link size} elements; a new array unless given
   */
  toFloat32(out?: Float32Array): Float32Array {
    const layout = this.#open();
    if (out !== undefined) {
      if (!(out instanceof Float32Array)) throw optionError('out', 'a Float32Array', out);
      checkBuffer(out, 'out');
      if (out.length !== this.size)
        throw shapeError(`out: expected ${this.size} elements, got ${out.length}`);
    }
    const target = out ?? new Float32Array(this.size);
    return this.#inOrder(layout, target, (stored) => {
      callNative(() => native().dequantize(nativeFormat(this.format), matrix(layout), stored));
    });
  }

  /** The values, in row-major order: exact where f32 is not, as for integers of 32 bits; else those of {@link toFloat32}. */
  toFloat64(): Float64Array {
    const layout = this.#open();
    return this.#inOrder(layout, new Float64Array(this.size), (stored) => {
      callNative(() => native().dequantizeF64(nativeFormat(this.format), matrix(layout), stored));
    });
  }

  /** Fills `out` by way of a function that writes in the order of memory. */
  #inOrder<A extends Float32Array | Float64Array>(layout: Layout, out: A, decode: (stored: A) => void): A {
    if (isIdentity(layout.order)) {
      decode(out);
      return out;
    }
    const stored = (
      out instanceof Float32Array ? new Float32Array(out.length) : new Float64Array(out.length)
    ) as A;
    decode(stored);
    const back = inverse(layout.order);
    moveNumbers(stored, this.shape, permute(stridesOf(layout.dimensions), back), out);
    return out;
  }

  /** The scale of each group as decoding uses it, with its super-scale; empty where there are none. */
  scaleValues(): Float32Array {
    return this.#ofGroups(this.scales, (format, tensor, out) => native().scaleValues(format, tensor, out));
  }

  /** The zero point or minimum of each group; empty where there are none. */
  zeroPointValues(): Float32Array {
    return this.#ofGroups(this.zeroPoints, (format, tensor, out) => native().zeroValues(format, tensor, out));
  }

  #ofGroups(
    part: TensorData | undefined,
    read: (format: NativeFormat, tensor: NativeTensor, out: Float32Array) => void,
  ): Float32Array {
    const layout = this.#open();
    const { scale } = this.format.describe();
    const out = new Float32Array(
      part === undefined || scale === null ? 0 : Math.floor((layout.parts.scales.length * 8) / scale.bits),
    );
    if (out.length > 0) callNative(() => read(nativeFormat(this.format), matrix(layout), out));
    return out;
  }

  /**
   * The tensor in another format: decoded, and rounded as the options say.
   *
   * @throws DyadicError as {@link Tensor.from}.
   */
  to<const G extends FormatString>(format: G | Format<G>, options?: ConvertOptions): Tensor<G> {
    const layout = this.#open();
    const raw = openOptions(options, 'to', [...ROUNDING_OPTIONS, 'seed', 'axis']);
    const target: Format<G> = parseFormat(format);
    const rounding = convertOptions(raw, target);
    if (raw.axis !== undefined) {
      return encode(target, this.#numbers(), this.shape, orderOf(raw.axis, this.shape.length), rounding);
    }
    // In the order of memory: axes stay where they are.
    const flat = this.#with({ ...layout, order: layout.dimensions.map((_, k) => k) });
    const { dimensions, order } = layout;
    const parts = encodeMatrix(target, flat.#numbers(), dimensions, rounding);
    return new Tensor(CONSTRUCT, target, { format: target, dimensions, order, parts });
  }

  /** The values without loss. */
  #numbers(): Float32Array | Float64Array {
    const { scale, bits, family, record } = this.format.describe();
    const isWide = scale === null && record === null && bits > 16 && family !== 'float';
    return isWide ? this.toFloat64() : this.toFloat32();
  }

  /**
   * One element, by one index for each axis; negative indices count from the end.
   *
   * @throws DyadicError `ERR_INDEX`.
   */
  at(...indices: number[]): number {
    const layout = this.#open();
    if (indices.length !== this.shape.length) {
      throw new DyadicError(
        'ERR_INDEX',
        `at: expected ${this.shape.length} indices into ${showShape(this.shape)}, got ${indices.length}`,
      );
    }
    const strides = permute(stridesOf(layout.dimensions), inverse(layout.order));
    let index = 0;
    for (const [axis, length] of this.shape.entries()) {
      const given = indices[axis] ?? Number.NaN;
      if (!Number.isInteger(given) || given < -length || given >= length) {
        throw new DyadicError(
          'ERR_INDEX',
          `at: expected an integer from ${-length} to ${length - 1} for axis ${axis}, got ${show(given)}`,
        );
      }
      index += (given < 0 ? given + length : given) * (strides[axis] ?? 0);
    }
    return callNative(() => native().tensorValue(nativeFormat(this.format), matrix(layout), index));
  }

  /**
   * Part of the tensor, one range for each axis; those left out are whole. Nothing is rounded: whole rows are a view of the same memory, other
   * parts get codes packed anew with the scales that they have.
   *
   * @throws DyadicError `ERR_GROUPS` where it would cut a group that shares a scale.
   * @example
   * ```ts
   * tensor.slice([0, 2]); // the first two rows
   * tensor.slice(null, [-32]); // the last 32 columns
   * ```
   */
  slice(...ranges: SliceRange[]): Tensor<F, D> {
    if (ranges.length > this.shape.length) {
      throw new DyadicError(
        'ERR_AXIS',
        `slice: got ${ranges.length} ranges for the ${this.shape.length} axes of ${showShape(this.shape)}`,
      );
    }
    const resolved = this.shape.map((length, axis) => readRange(ranges[axis], length, axis));
    return this.#with(sliced(this.#open(), resolved));
  }

  /**
   * The axes in another order, the reverse one unless said: `shape[k]` of the result is `shape[axes[k]]` of this tensor. A view: nothing moves, and
   * groups lie along the same elements as before ({@link axis}).
   *
   * @throws DyadicError `ERR_AXIS` where `axes` is no permutation.
   */
  transpose(axes?: readonly number[]): Tensor<F, D> {
    const count = this.shape.length;
    const order =
      axes === undefined
        ? this.shape.map((_, axis) => count - 1 - axis)
        : Array.from(axes, (axis) => readAxis(axis, count, 'axes'));
    if (order.length !== count || new Set(order).size !== count) {
      throw new DyadicError('ERR_AXIS', `axes: expected each of the ${count} axes once, got ${show(axes)}`);
    }
    return this.#with(transposed(this.#open(), order));
  }

  /**
   * The same elements, in row-major order, in another shape; one length may be -1 and follows from the others. A view where the axes are in the order
   * of memory. Formats with groups keep them: the last axis must stay as long as it is, or hold whole groups before and after.
   *
   * @throws DyadicError `ERR_SHAPE` where the number of elements differs; `ERR_GROUPS` where groups that share a scale would be cut.
   */
  reshape(shape: readonly number[]): Tensor<F, D> {
    return this.#with(reshaped(this.#open(), resolveShape(shape, this.size)));
  }

  /**
   * An integer tensor with fewer bits, each code derived from the stored one alone ("double rounding": store int8 once, run any lower precision):
   * clamp(⌊code / 2^d + 1/2⌋) for d bits dropped, scales grown by 2^d.
   *
   * @throws DyadicError `ERR_FORMAT_UNSUPPORTED` where the codes are not signed integers with scales and at least as many bits.
   * @example
   * ```ts
   * const stored = Tensor.from(weights, { format: 'int8:g32:f16', shape: [64, 64] });
   * stored.view(4).format.name; // 'int4full:g32:f16'
   * ```
   */
  view(bits: number): Tensor {
    const layout = this.#open();
    const wanted = integerOption({ bits }, 'bits', 1, 32);
    if (wanted === undefined) throw optionError('bits', 'an integer from 1 to 32', bits);
    const name = callNative(() => native().lowerPrecisionFormat(nativeFormat(this.format), wanted));
    const format: Format = parseFormat(name);
    return new Tensor(CONSTRUCT, format, lowered(layout, wanted, format));
  }

  /** The values in row-major order. */
  [Symbol.iterator](): IterableIterator<number> {
    return this.#numbers()[Symbol.iterator]();
  }

  /**
   * What a worker needs to have the same tensor without a copy: post it, and call {@link Tensor.fromMessage} there. Both sides then use one memory.
   *
   * @example
   * ```ts
   * worker.postMessage(tensor.toMessage());
   * // in the worker
   * parentPort.on('message', (message) => console.log(Tensor.fromMessage(message)));
   * ```
   */
  toMessage(): TensorMessage {
    return writeMessage(this.#open());
  }

  /** Lets go of the memory, which is freed when no other tensor and no worker uses it. Every later use throws `ERR_DISPOSED`. May be called again. */
  dispose(): void {
    this.#layout = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `Tensor(${this.format.name}, ${showShape(this.shape)})`;
  }
}

// A method by its name would need a type that `isolatedDeclarations` cannot give it.
Object.defineProperty(Tensor.prototype, inspect.custom, {
  value(this: Tensor) {
    return inspectTensor(this);
  },
});

/** The order of memory of a tensor whose groups lie along an axis. */
function orderOf(axis: unknown, count: number): readonly number[] {
  const all = Array.from({ length: count }, (_, k) => k);
  if (axis === undefined || (count === 0 && axis === -1)) return all;
  const last = readAxis(axis, count);
  return [...all.filter((k) => k !== last), last];
}

function convertOptions(raw: Readonly<Record<string, unknown>>, format: Format): NativeEncodeOptions {
  const options = roundingOptions(raw, format);
  const seed = integerOption(raw, 'seed', 0, Number.MAX_SAFE_INTEGER);
  if (seed !== undefined) options.seed = seed;
  return options;
}

/** Rounds values in row-major order of `shape` into memory of that order. */
function encode<F extends string>(
  format: Format<F>,
  values: Float32Array | Float64Array,
  shape: readonly number[],
  order: readonly number[],
  options: NativeEncodeOptions,
): Tensor<F> {
  const dimensions = permute(shape, order);
  let stored = values;
  if (!isIdentity(order)) {
    stored =
      values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
    moveNumbers(values, dimensions, permute(stridesOf(shape), order), stored);
  }
  const parts = encodeMatrix(format, stored, dimensions, options);
  return new Tensor(CONSTRUCT, format, { format, dimensions, order, parts });
}

function encodeMatrix(
  format: Format,
  values: Float32Array | Float64Array,
  dimensions: readonly number[],
  options: NativeEncodeOptions,
) {
  const { rows, columns } = matrixOf(dimensions);
  const parts = allocate(format, rows, columns);
  const out = { rows, columns, ...parts };
  callNative(() => {
    if (values instanceof Float32Array) native().quantize(nativeFormat(format), values, options, out);
    else native().quantizeF64(nativeFormat(format), values, options, out);
  });
  return parts;
}

/** Copies numbers: those of `source` at the strides, in row-major order of `shape`. */
function moveNumbers<A extends Float32Array | Float64Array>(
  source: A,
  shape: readonly number[],
  strides: readonly number[],
  target: A,
): void {
  const bytes = (array: A) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  // An f64 moves as two codes of 32 bits.
  const selection =
    source instanceof Float32Array
      ? { shape, strides }
      : { shape: [...shape, 2], strides: [...strides.map((stride) => 2 * stride), 1] };
  selectCodes(bytes(source), { bits: 32, offset: 0, ...selection }, bytes(target));
}

function readRange(range: SliceRange | undefined, length: number, axis: number): Range {
  if (range === null || range === undefined) return { begin: 0, end: length };
  if (!Array.isArray(range) || range.length > 2) {
    throw optionError(`the range of axis ${axis}`, '[begin, end], or null for all', range);
  }
  const place = (value: unknown, fallback: number): number => {
    if (value === undefined) return fallback;
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      throw optionError(`the range of axis ${axis}`, 'integers', value);
    }
    return value < 0 ? Math.max(0, length + value) : Math.min(value, length);
  };
  const begin = place(range[0], 0);
  return { begin, end: Math.max(begin, place(range[1], length)) };
}

function resolveShape(given: unknown, size: number): readonly number[] {
  const free = Array.isArray(given) ? given.indexOf(-1) : -1;
  if (!Array.isArray(given) || free < 0) {
    const shape = readShape(given);
    if (sizeOf(shape) !== size) {
      throw shapeError(`reshape: ${showShape(shape)} has ${sizeOf(shape)} elements, the tensor has ${size}`);
    }
    return shape;
  }
  const others = readShape(given.filter((_, axis) => axis !== free));
  const rest = size / sizeOf(others);
  if (!Number.isInteger(rest)) {
    throw shapeError(`reshape: ${size} elements are no whole number of ${showShape(others)}`);
  }
  return readShape(given.with(free, rest));
}

/**
 * Where the elements of a tensor lie.
 *
 * @throws DyadicError `ERR_DISPOSED`.
 * @internal
 */
export function layoutOfTensor(tensor: Tensor): Layout {
  return layoutOf(tensor);
}

/**
 * A tensor of parts that were read from elsewhere.
 *
 * @throws DyadicError `ERR_SHAPE` where they do not fit.
 * @internal
 */
export function adopt(layout: Layout): Tensor {
  callNative(() => native().checkTensor(nativeFormat(layout.format), matrix(layout)));
  return new Tensor(CONSTRUCT, layout.format, layout);
}

export type { DataOf, NestedNumbers, TensorData, TensorMessage, TensorSource };
