import { DyadicError } from '../errors.ts';
import type { FormatString } from '../format-types.ts';
import { callNative, nativeFormat } from '../formats.ts';
import type { NativePackedWeights } from '../native/contract.ts';
import { native } from '../native/load.ts';
import { choiceOption, integerOption, numberOption, openOptions, optionError } from '../options.ts';
import { matrix } from '../tensor/layout.ts';
import { shapeError } from '../tensor/shape.ts';
import { layoutOfTensor, Tensor } from '../tensor.ts';
import { float32, type Operand, outputOf, whileBusy } from './arrays.ts';

const MOST_THREADS = 1024;

/** In the order of the native half. */
const ACTIVATIONS = [
  'f32',
  'int8-g32',
  'int8-g64',
  'int8-per-token',
  'int4-g32',
  'int16',
  'int8-outliers',
  'int8-tables',
  'bipolar1-g32',
  'bipolar2-g32',
  'bipolar3-g32',
  'bipolar4-g32',
] as const;

/**
 * How a product holds its input: as it is; as integers of 8 or 4 bits with a scale for each 32 or 64 columns or for each token; as 16-bit integers with one
 * exponent for each token (dynamic fixed point); or as 8-bit integers beside outliers that stay f32 (LLM.int8()).
 *
 * `int8-tables` keeps it as it is, but multiplies integer weights of 1 to 4 bits by tables of sums of four inputs, rounded to 8 bits (T-MAC): one scale for 64 columns, or
 * for 32 where scales of the weights change within 64. The mean square error is 2 to 7e-5 of that of the result, as of `int8-g32`. Other weights are multiplied as
 * with `f32`. Pack with `kernel: 'int8-tables'`, or weights are rearranged for each product.
 *
 * `bipolar1-g32` to `bipolar4-g32` are odd integers of 1 to 4 bits, -(2^n - 1) to 2^n - 1, with a scale for each 32 columns: the mean magnitude for 1 bit, else the
 * largest one / (2^n - 1). Coarse: for networks that were trained for it. Pack with `kernel: 'bit-planes'` to have such products counted instead of multiplied.
 */
export type Activations = (typeof ACTIVATIONS)[number];

const KERNELS = ['auto', 'dot', 'tables', 'trits', 'int8-tables', 'bit-planes'] as const;

/** How {@link packWeights} packs. */
export interface PackOptions {
  /** Rows (outputs) and columns (inputs); that of a tensor where absent. */
  shape?: readonly [rows: number, columns: number];
  /** What the weights are rounded to, as by {@link Tensor.from}; that of a tensor, else `int8:g32:f16`, where absent. */
  format?: FormatString;
  /**
   * Integer dot products, look-up tables (1 to 4 bits), or what was measured to be faster on CPUs of this kind. `trits` packs five ternary weights that have a
   * scale for each row, or for all, into a byte: a fifth fewer bytes, but more work. `int8-tables` (1 to 4 bits) is for products with the activations of that
   * name, `bit-planes` for those with `bipolar` ones where the product of both widths is at most 8: other products take longer then. Where weights have no such
   * kernels, it is `auto`. The bits of results do not depend on it, but that `trits` are multiplied by `int8-tables` activations as by `f32` ones.
   */
  kernel?: (typeof KERNELS)[number];
  /** Threads that may work at it; all where absent. */
  threads?: number;
}

/** How {@link linear} multiplies. */
export interface LinearOptions {
  /** A number for each row of the weights, added to each token's result. */
  bias?: Operand;
  /** Where the result goes, tokens × rows; a new array where absent. It shares no element with what is read. */
  out?: Float32Array;
  /** How the input is held; `int8-g32` for quantized weights and `f32` for f32, f16 and bf16 weights where absent. */
  activations?: Activations;
  /** For `int8-outliers`: the least magnitude of an outlier; 6 where absent. */
  outlierThreshold?: number;
  /** Threads that may work at it; all where absent. The result does not depend on it. */
  threads?: number;
}

const CONSTRUCT = Symbol('packWeights');

/** A matrix of weights, packed once for the kernels of this CPU. Made by {@link packWeights}. */
export class PackedWeights {
  #native: NativePackedWeights | undefined;
  /** Rows (outputs) and columns (inputs). */
  readonly shape: readonly [rows: number, columns: number];
  /** The name of the number format. */
  readonly format: string;
  /** Bytes that the packed weights take, in native memory. */
  readonly byteLength: number;
  /** The name of the kernel that multiplies them, `op_formats__isa`. */
  readonly kernel: string;
  /** The name of the layout in memory. */
  readonly layout: string;
  /** How products hold their input by default. */
  readonly activations: Activations;

  /** @internal */
  constructor(token: symbol, weights: NativePackedWeights, format: string) {
    if (token !== CONSTRUCT) throw new TypeError('PackedWeights are made by packWeights()');
    const facts = JSON.parse(weights.describe());
    this.#native = weights;
    this.format = format;
    this.shape = [facts.rows, facts.columns];
    this.byteLength = facts.byteLength;
    this.kernel = facts.kernel;
    this.layout = facts.layout;
    this.activations = facts.activations;
  }

  /** @internal */
  static open(weights: unknown): NativePackedWeights {
    if (!(weights instanceof PackedWeights)) throw optionError('weights', 'PackedWeights', weights);
    if (weights.#native === undefined)
      throw new DyadicError('ERR_DISPOSED', 'the packed weights were disposed');
    return weights.#native;
  }

  /** Whether {@link dispose} was called. */
  get disposed(): boolean {
    return this.#native === undefined;
  }

  /** Gives the native memory back at once; running products end first. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Packs a matrix, rows × columns, for products by {@link linear}: in any format of up to 8 bits its codes stay codes and are multiplied in their own
 * width; wider ones become f16, bf16 or f32.
 *
 * @example
 * ```ts
 * const weights = packWeights(array, { shape: [4096, 4096], format: 'int4:g128:f16' });
 * const y = linear(x, weights); // x: tokens × 4096, y: tokens × 4096
 * ```
 * @throws DyadicError `ERR_SHAPE`, `ERR_AXIS`, `ERR_FORMAT_SYNTAX`, `ERR_OPTION`, `ERR_OUT_OF_MEMORY`, and as {@link Tensor.from}.
 */
export function packWeights(weights: Operand, options?: PackOptions): PackedWeights {
  const raw = openOptions(options, 'packWeights', ['shape', 'format', 'kernel', 'threads']);
  const kernel = choiceOption(raw, 'kernel', KERNELS) ?? 'auto';
  const threads = integerOption(raw, 'threads', 1, MOST_THREADS) ?? 0;
  const tensor = asMatrix(weights, options ?? {});
  const layout = layoutOfTensor(tensor);
  if (layout.order.some((axis, position) => axis !== position)) {
    throw new DyadicError(
      'ERR_AXIS',
      'weights: products read rows, so groups must lie along the last axis, the columns; tensor.to("f32") first, then packWeights with a format',
    );
  }
  const packed = callNative(() =>
    native().packWeights(nativeFormat(tensor.format), matrix(layout), KERNELS.indexOf(kernel), threads),
  );
  return new PackedWeights(CONSTRUCT, packed, tensor.format.name);
}

function asMatrix(weights: Operand, { shape, format }: PackOptions): Tensor {
  if (!(weights instanceof Tensor)) {
    const values = float32(weights, 'weights');
    if (shape === undefined) throw optionError('shape', '[rows, columns]', shape);
    assertMatrix(shape);
    return Tensor.from(values, { shape, format: format ?? 'int8:g32:f16' });
  }
  const shaped = shape === undefined ? weights : weights.reshape(shape);
  assertMatrix(shaped.shape);
  return format === undefined || format === shaped.format.name ? shaped : shaped.to(format);
}

function assertMatrix(shape: readonly number[]): void {
  if (!Array.isArray(shape) || shape.length !== 2)
    throw shapeError(`weights are a matrix of shape [rows, columns], not [${shape}]`);
}

interface Product {
  weights: NativePackedWeights;
  x: Float32Array;
  bias: Float32Array | undefined;
  out: Float32Array;
  numbers: [activations: number, outlierThreshold: number, threads: number];
}

function prepare(
  x: Operand,
  packed: PackedWeights,
  options: LinearOptions | undefined,
  call: string,
): Product {
  const weights = PackedWeights.open(packed);
  const raw = openOptions(options, call, ['bias', 'out', 'activations', 'outlierThreshold', 'threads']);
  const values = float32(x, 'x');
  const [rows, columns] = packed.shape;
  if (values.length % columns !== 0)
    throw shapeError(`x: ${values.length} elements are no whole number of tokens of ${columns} columns`);
  const bias = raw.bias === undefined ? undefined : float32(raw.bias, 'bias');
  if (bias !== undefined && bias.length !== rows)
    throw shapeError(`bias: expected ${rows} elements, one for each row, got ${bias.length}`);
  const activations = choiceOption(raw, 'activations', ACTIVATIONS);
  return {
    weights,
    x: values,
    bias,
    out: outputOf(raw.out, (values.length / columns) * rows),
    numbers: [
      activations === undefined ? ACTIVATIONS.length : ACTIVATIONS.indexOf(activations),
      numberOption(raw, 'outlierThreshold', 0, Number.MAX_VALUE) ?? 6,
      integerOption(raw, 'threads', 1, MOST_THREADS) ?? 0,
    ],
  };
}

/**
 * `out = x · weightsᵀ + bias`: x is tokens × columns, the result tokens × rows, both row-major. A token's result depends on nothing but its input and the weights:
 * not on the other tokens, the threads or the CPU.
 *
 * Synchronous: one token times 4096 × 4096 weights of 4 bits takes some 400 µs. See {@link linearAsync}.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`, `ERR_BUSY`, `ERR_DISPOSED`.
 */
export function linear(x: Operand, weights: PackedWeights, options?: LinearOptions): Float32Array {
  const product = prepare(x, weights, options, 'linear');
  if (product.x.length > 0)
    callNative(() => product.weights.linear(product.x, product.bias, product.out, ...product.numbers));
  return product.out;
}

/**
 * {@link linear} without blocking the event loop. Until the promise is settled `x`, `bias` and `out` must be left alone: other calls that are given them
 * throw `ERR_BUSY`.
 *
 * @throws DyadicError as {@link linear}.
 */
export async function linearAsync(
  x: Operand,
  weights: PackedWeights,
  options?: LinearOptions,
): Promise<Float32Array> {
  const { weights: packed, x: values, bias, out, numbers } = prepare(x, weights, options, 'linearAsync');
  if (values.length === 0) return out;
  const arrays = bias === undefined ? [values, out] : [values, bias, out];
  await whileBusy(arrays, () => callNative(() => packed.linearAsync(values, bias, out, ...numbers)));
  return out;
}
