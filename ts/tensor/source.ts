import { DyadicError } from '../errors.ts';
import { optionError, show } from '../options.ts';

/** Numbers in nested arrays, all of one length at each depth. */
export type NestedNumbers = readonly number[] | readonly NestedNumbers[];

/** What a tensor can be made of. Numbers are taken as the f64 that they are. */
export type TensorSource =
  | NestedNumbers
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | Float16ArrayLike;

/** The Float16Array of newer runtimes, by its shape: older declarations do not know it. */
export interface Float16ArrayLike extends Iterable<number>, ArrayBufferView {
  readonly [Symbol.toStringTag]: 'Float16Array';
  readonly length: number;
}

/** Numbers that native code reads, and the shape that nested arrays have. */
export interface Numbers {
  values: Float32Array | Float64Array;
  shape: readonly number[] | undefined;
}

/** Arrays whose numbers are all f32. */
const F32_ARRAYS = new Set([
  'Float32Array',
  'Float16Array',
  'Int8Array',
  'Int16Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Uint16Array',
]);
const F64_ARRAYS = new Set(['Float64Array', 'Int32Array', 'Uint32Array']);

const EXPECTED = 'an array of numbers, nested or not, or a typed array';

/**
 * Reads numbers that somebody gave.
 * @internal
 */
export function readNumbers(data: unknown): Numbers {
  if (Array.isArray(data)) return readNested(data);
  if (!ArrayBuffer.isView(data)) throw optionError('data', EXPECTED, data);
  // By name: test runners and vm contexts have typed arrays of their own.
  const type = String(Reflect.get(data, Symbol.toStringTag));
  if (!F32_ARRAYS.has(type) && !F64_ARRAYS.has(type)) {
    const hint = type.startsWith('Big') ? '; convert BigInts to numbers first' : '';
    throw new DyadicError('ERR_OPTION', `data: expected ${EXPECTED}, got a ${type}${hint}`);
  }
  const array = data as ArrayBufferView & Iterable<number> & ArrayLike<number>;
  checkBuffer(array);
  const wide = F64_ARRAYS.has(type);
  // Native code reads f32 and f64 where they are, unless their length can change or another thread writes to them.
  if (isFixed(array.buffer)) {
    if (array instanceof Float32Array || array instanceof Float64Array)
      return { values: array, shape: undefined };
  }
  return { values: wide ? Float64Array.from(array) : Float32Array.from(array), shape: undefined };
}

/**
 * Refuses a typed array whose buffer was transferred, or shrunk so that the array lies outside it: its length reads as 0.
 * @internal
 */
export function checkBuffer(array: ArrayBufferView, what = 'data'): void {
  try {
    // Any method of typed arrays checks that.
    Uint8Array.prototype.keys.call(array);
  } catch (cause) {
    throw new DyadicError(
      'ERR_BUFFER',
      `${what}: the buffer of this ${Reflect.get(array, Symbol.toStringTag)} was detached (transferred) or shrunk`,
      { cause },
    );
  }
}

/** Whether nobody can resize a buffer, nor write to it during a call. */
function isFixed(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && Reflect.get(buffer, 'resizable') !== true;
}

/** Deeper nesting is a mistake, or a cycle. */
const MAX_DEPTH = 64;

function readNested(data: readonly unknown[]): Numbers {
  const shape: number[] = [];
  for (let level: unknown = data; Array.isArray(level); level = level[0]) {
    if (shape.length === MAX_DEPTH) throw optionError('data', `at most ${MAX_DEPTH} levels of arrays`, data);
    shape.push(level.length);
  }
  const values: number[] = [];
  const visit = (item: unknown, depth: number): void => {
    if (depth === shape.length) {
      if (typeof item !== 'number') throw optionError(`data[${values.length}]`, 'a number', item);
      values.push(item);
      return;
    }
    if (!Array.isArray(item) || item.length !== shape[depth]) {
      throw new DyadicError(
        'ERR_SHAPE',
        `data: expected arrays of ${shape[depth]} at depth ${depth}, as the first is, got ${show(item)}`,
      );
    }
    // By index: `forEach` would pass over holes.
    for (let i = 0; i < item.length; i++) visit(item[i], depth + 1);
  };
  visit(data, 0);
  return { values: Float64Array.from(values), shape };
}
