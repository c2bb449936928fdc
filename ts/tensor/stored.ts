import { DyadicError } from '../errors.ts';
import { parseFormat } from '../formats.ts';
import { adopt, layoutOfTensor, Tensor } from '../tensor.ts';
import { FORMAT_OF_DTYPE, WIDE_DTYPES } from './dtypes.ts';
import type { ReadableFile } from './file.ts';
import { type Layout, reshaped, shapeOf } from './layout.ts';
import { allocate } from './memory.ts';
import { isIdentity, matrixOf, readShape, sizeOf } from './shape.ts';

/** Where an array lies in a file, as the header says. */
export interface StoredArray {
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
  /** Whether the first axis is that of neighbouring elements. */
  fortranOrder?: boolean;
}

/** The numbers of an array as they are in the file. */
export interface RawArray {
  /** The type, by its name in safetensors files. */
  dtype: string;
  shape: readonly number[];
  /** Bytes as they are in the file. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** Reads an array without interpreting it. */
export async function readRaw(file: ReadableFile, array: StoredArray): Promise<RawArray> {
  const bytes = new Uint8Array(array.end - array.begin);
  await file.fill(bytes, array.begin);
  return { dtype: array.dtype, shape: Object.freeze([...array.shape]), bytes };
}

/** Reads an array as a tensor, straight into its memory where the file has its codes. */
export async function readTensor(file: ReadableFile, array: StoredArray, what: string): Promise<Tensor> {
  const shape = readShape(array.shape, what);
  const axes = shape.map((_, axis) => axis);
  // Neighbours along the first axis: the array of the reversed shape, with its axes reversed.
  const [dimensions, order] = array.fortranOrder
    ? [[...shape].reverse(), [...axes].reverse()]
    : [shape, axes];
  const wide = WIDE_DTYPES[array.dtype];
  if (wide !== undefined) {
    const { bytes } = await readRaw(file, array);
    const numbers = exactNumbers(wide.read(bytes.buffer), wide.format, what);
    const { parts } = layoutOfTensor(Tensor.from(numbers, { format: wide.format, shape: dimensions }));
    return adopt({ format: parseFormat(wide.format), dimensions, order, parts });
  }
  const name = FORMAT_OF_DTYPE[array.dtype];
  if (name === undefined) {
    throw new DyadicError(
      'ERR_FORMAT_UNSUPPORTED',
      `${what}: elements of ${array.dtype} are no tensor; their bytes can be read as they are`,
    );
  }
  const format = parseFormat(name);
  const { rows, columns } = matrixOf(dimensions);
  const parts = allocate(format, rows, columns);
  if (array.dtype === 'BOOL') packBooleans((await readRaw(file, array)).bytes, parts.codes, what);
  else await file.fill(parts.codes, array.begin);
  return adopt({ format, dimensions, order, parts });
}

/** f64 of numbers of 64 bits; integers must be those of the format. */
function exactNumbers(
  numbers: Float64Array | BigInt64Array | BigUint64Array,
  format: string,
  what: string,
): Float64Array {
  if (numbers instanceof Float64Array) return numbers;
  const [min, max] = parseFormat(format).describe().range;
  return Float64Array.from(numbers, (integer, index) => {
    const number = Number(integer);
    if (number < min || number > max) {
      throw new DyadicError(
        'ERR_OUT_OF_RANGE',
        `${what}: element ${index} is ${integer}, beyond integers of 32 bits; read the array as it is`,
      );
    }
    return number;
  });
}

/** Bytes that are 0 or 1 as single bits. */
function packBooleans(bytes: Uint8Array, codes: Uint8Array, what: string): void {
  bytes.forEach((byte, index) => {
    if (byte > 1) {
      throw new DyadicError('ERR_OUT_OF_RANGE', `${what}: element ${index} is the byte ${byte}, no boolean`);
    }
    const place = index >> 3;
    codes[place] = (codes[place] ?? 0) | (byte << (index & 7));
  });
}

/** The bytes of codes of one type in row-major order of the tensor. */
export function plainBytes(layout: Layout, dtype: string): Uint8Array {
  const shape = shapeOf(layout);
  const { codes } = (isIdentity(layout.order) ? layout : reshaped(layout, shape)).parts;
  if (dtype !== 'BOOL') return codes;
  return Uint8Array.from({ length: sizeOf(shape) }, (_, i) => ((codes[i >> 3] ?? 0) >> (i & 7)) & 1);
}
