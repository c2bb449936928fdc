import { DyadicError } from '../errors.ts';
import { show } from '../options.ts';

/** As NumPy: more axes are a mistake. */
const MAX_AXES = 64;
/** Indices are 32-bit numbers in native code. */
const MAX_SIZE = 2 ** 32 - 1;

/** @internal */
export function shapeError(message: string): DyadicError {
  return new DyadicError('ERR_SHAPE', message);
}

/** The number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, length) => size * length, 1);
}

/** `[2, 16]` as people read it. */
export function showShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/**
 * A shape that somebody gave: whole numbers, of which the product, without zeros, stays below 2^32.
 * @internal
 */
export function readShape(value: unknown, what = 'shape'): readonly number[] {
  if (!Array.isArray(value) || value.length > MAX_AXES) {
    throw shapeError(`${what}: expected an array of at most ${MAX_AXES} lengths, got ${show(value)}`);
  }
  const shape: number[] = [];
  let size = 1;
  for (const length of value) {
    if (!Number.isInteger(length) || length < 0) {
      throw shapeError(`${what}: expected whole numbers from 0, got ${show(length)} in ${show(value)}`);
    }
    shape.push(length);
    if (length > 0) size *= length;
  }
  if (size > MAX_SIZE) {
    throw shapeError(`${what}: ${showShape(shape)} has ${size} elements; expected at most ${MAX_SIZE}`);
  }
  return Object.freeze(shape);
}

/**
 * A number of one of `count` axes; negative ones count from the last.
 * @internal
 */
export function readAxis(value: unknown, count: number, what = 'axis'): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= -count && value < count) {
    return value < 0 ? value + count : value;
  }
  throw new DyadicError(
    'ERR_AXIS',
    `${what}: expected an integer from ${-count} to ${count - 1}, the axes of the tensor, got ${show(value)}`,
  );
}

/**
 * How far apart neighbours along each axis are in row-major order.
 * @internal
 */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis] ?? 1;
  }
  return strides;
}

/** An array whose element k is `list[order[k]]`. */
export function permute<T>(list: readonly T[], order: readonly number[]): T[] {
  return order.map((axis) => {
    const item = list[axis];
    if (item === undefined) throw new RangeError(`no axis ${axis}`);
    return item;
  });
}

/** The permutation that undoes `order`. */
export function inverse(order: readonly number[]): number[] {
  const result = new Array<number>(order.length);
  order.forEach((axis, k) => {
    result[axis] = k;
  });
  return result;
}

/** Whether a permutation leaves everything where it is. */
export function isIdentity(order: readonly number[]): boolean {
  return order.every((axis, k) => axis === k);
}

/** The matrix that a tensor counts as: its columns are the last axis, in the order of memory. */
export function matrixOf(dimensions: readonly number[]): { rows: number; columns: number } {
  const columns = dimensions.at(-1) ?? 1;
  return { rows: sizeOf(dimensions.slice(0, -1)), columns };
}
