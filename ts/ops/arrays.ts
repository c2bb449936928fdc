import { DyadicError } from '../errors.ts';
import type { NativeError } from '../native/contract.ts';
import { optionError } from '../options.ts';
import { shapeError } from '../tensor/shape.ts';
import { Tensor, type TensorOptions } from '../tensor.ts';

/** The native half counts elements of an axis in 32 bits. */
const MOST_ELEMENTS = 2 ** 32 - 1;

/** Buffers that an asynchronous call reads or writes: nobody else may. */
const busy = new WeakSet<ArrayBufferLike>();
let pending = 0;

/** Numbers that an operation takes: single precision, or a tensor of any format, which is decoded. */
export type Operand = Float32Array | Tensor;

/**
 * The result of an operation on the values of a tensor as a tensor of the same format and shape.
 * @internal
 */
export function likeTensor<F extends string>(tensor: Tensor<F>, values: Float32Array): Tensor<F> {
  return Tensor.from(values, {
    format: tensor.format,
    shape: tensor.shape,
  } as TensorOptions<string>) as Tensor<F>;
}

/**
 * The argument `name`: a Float32Array that no asynchronous call uses, or the values of a tensor.
 * @internal
 */
export function float32(value: unknown, name: string): Float32Array {
  if (value instanceof Tensor) return value.toFloat32();
  if (!(value instanceof Float32Array)) throw optionError(name, 'a Float32Array or a Tensor', value);
  if (pending > 0 && busy.has(value.buffer)) {
    throw new DyadicError('ERR_BUSY', `${name}: an asynchronous call that has not finished uses this array`);
  }
  return value;
}

/**
 * The option `out`, or a new array of this length.
 * @internal
 */
export function outputOf(out: unknown, length: number): Float32Array {
  if (out === undefined) return new Float32Array(length);
  if (!(out instanceof Float32Array)) throw optionError('out', 'a Float32Array', out);
  const array = float32(out, 'out');
  if (array.length !== length)
    throw shapeError(`out: expected ${length} elements, got an array of ${array.length}`);
  return array;
}

/**
 * Keeps arrays from being used by other calls until the promise is settled.
 * @internal
 */
export async function whileBusy(
  arrays: readonly Float32Array[],
  work: () => Promise<NativeError | null>,
): Promise<void> {
  const buffers = new Set(arrays.map((array) => array.buffer));
  for (const buffer of buffers) busy.add(buffer);
  pending++;
  try {
    const error = await work();
    if (error !== null) throw new DyadicError(error.code, error.message);
  } finally {
    pending--;
    for (const buffer of buffers) busy.delete(buffer);
  }
}

/** An axis of an array: its length, and how many elements lie between its neighbours. */
export interface Axis {
  length: number;
  inner: number;
  /** The axis before it, where there is one and the axis is the last. */
  queries: number | undefined;
}

/**
 * The axis of an array of `length` elements; without a shape the whole array is one row.
 * @internal
 */
export function axisOf(length: number, shape: unknown, axis: number | undefined): Axis {
  const dimensions = shape === undefined ? [length] : shapeOf(shape, length);
  const rank = dimensions.length;
  const index = axis === undefined || axis < 0 ? rank + (axis ?? -1) : axis;
  const size = dimensions[index];
  if (size === undefined) throw optionError('axis', `an integer from ${-rank} to ${rank - 1}`, axis);
  if (size > MOST_ELEMENTS) throw shapeError(`an axis of ${size} elements is too long`);
  const inner = dimensions.slice(index + 1).reduce((product, next) => product * next, 1);
  return { length: size, inner, queries: index === rank - 1 ? dimensions[rank - 2] : undefined };
}

/**
 * A shape of so many elements.
 * @internal
 */
export function shapeOf(shape: unknown, length: number): number[] {
  if (
    !Array.isArray(shape) ||
    shape.length === 0 ||
    !shape.every((size) => Number.isInteger(size) && size >= 0)
  ) {
    throw optionError('shape', 'an array of one or more integers of 0 and more', shape);
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  if (elements !== length)
    throw shapeError(`shape: [${shape.join(', ')}] has ${elements} elements, the array ${length}`);
  return shape;
}

/**
 * Integers from 0 to `most`, copied.
 * @internal
 */
export function integers(values: unknown, name: string, most: number): Uint32Array {
  const list: ArrayLike<unknown> | undefined =
    Array.isArray(values) || (ArrayBuffer.isView(values) && !(values instanceof DataView))
      ? (values as ArrayLike<unknown> & typeof values)
      : undefined;
  if (list === undefined) throw optionError(name, 'an array of integers', values);
  return Uint32Array.from(list, (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most)
      throw optionError(name, `integers from 0 to ${most}`, value);
    return value;
  });
}
