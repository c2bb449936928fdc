import { DyadicError } from '../errors.ts';
import type { Float16Data, TensorData } from '../format-types.ts';
import { callNative, type Format, nativeFormat } from '../formats.ts';
import type { NativeTensor } from '../native/contract.ts';
import { native } from '../native/load.ts';

/** The parts of a tensor: views of one SharedArrayBuffer. Those that its format does not have are empty. */
export type Parts = Omit<NativeTensor, 'rows' | 'columns'>;

/** Every part begins at a multiple of this: a cache line. */
const ALIGNMENT = 64;

/** Bytes of the codes, scales, zero points and selectors, and the number of super-scales. */
export type PartNumbers = readonly [number, number, number, number, number];

function partNumbers(numbers: readonly number[]): PartNumbers {
  const [codes = 0, scales = 0, zeros = 0, selectors = 0, superScales = 0] = numbers;
  return [codes, scales, zeros, selectors, superScales];
}

/** How long the parts of a matrix are. */
export function partLengths(format: Format, rows: number, columns: number): PartNumbers {
  return partNumbers(callNative(() => nativeFormat(format).partLengths(rows, columns)));
}

/** Where a row begins in each part, or `undefined` where it does not begin at a byte or shares a group with the row before it. */
export function partOffsets(format: Format, columns: number, row: number): PartNumbers | undefined {
  const offsets = callNative(() => nativeFormat(format).partOffsets(columns, row));
  return offsets === null ? undefined : partNumbers(offsets);
}

/** Views of the parts that lie at these offsets of a buffer. */
export function partsAt(buffer: SharedArrayBuffer, offsets: PartNumbers, lengths: PartNumbers): Parts {
  const bytes = (k: 0 | 1 | 2 | 3) => new Uint8Array(buffer, offsets[k], lengths[k]);
  return {
    codes: bytes(0),
    scales: bytes(1),
    zeros: bytes(2),
    selectors: bytes(3),
    superScales: new Float32Array(buffer, offsets[4], lengths[4]),
  };
}

/** The garbage collector hears of so many bytes at once: a call for each small tensor would cost more than the tensor. */
const REPORTED_BYTES = 2 ** 18;
let unreported = 0;

function report(bytes: number): void {
  unreported += bytes;
  if (Math.abs(unreported) < REPORTED_BYTES) return;
  native().adjustExternalMemory(unreported);
  unreported = 0;
}

const collected = new FinalizationRegistry<number>((byteLength) => report(-byteLength));

/** A zeroed buffer that threads can share. */
export function sharedBytes(byteLength: number): SharedArrayBuffer {
  try {
    const buffer = new SharedArrayBuffer(byteLength);
    report(byteLength);
    collected.register(buffer, byteLength);
    return buffer;
  } catch (cause) {
    throw new DyadicError('ERR_OUT_OF_MEMORY', `no memory for a tensor of ${byteLength} bytes`, { cause });
  }
}

/** Memory for a matrix. */
export function allocate(format: Format, rows: number, columns: number): Parts {
  const lengths = partLengths(format, rows, columns);
  const offsets: [number, number, number, number, number] = [0, 0, 0, 0, 0];
  let end = 0;
  lengths.forEach((length, k) => {
    offsets[k] = end;
    end = Math.ceil((end + length * (k === 4 ? 4 : 1)) / ALIGNMENT) * ALIGNMENT;
  });
  return partsAt(sharedBytes(end), offsets, lengths);
}

/** The bytes of all parts. */
export function byteLengthOf(parts: Parts): number {
  const { codes, scales, zeros, selectors, superScales } = parts;
  return (
    codes.byteLength + scales.byteLength + zeros.byteLength + selectors.byteLength + superScales.byteLength
  );
}

/** Makes a typed array over some bytes. */
interface ArrayType {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorData;
  readonly BYTES_PER_ELEMENT: number;
}

/** The runtime's Float16Array, if it has one: from Node 24 on. */
export const FLOAT16_ARRAY: (ArrayType & { new (buffer: ArrayBufferLike): Float16Data }) | undefined =
  Reflect.get(globalThis, 'Float16Array');

/** The typed arrays of elements whose codes are machine numbers; all others are packed bytes. */
const ARRAY_TYPES: Readonly<Record<string, ArrayType>> = {
  f32: Float32Array,
  f16: FLOAT16_ARRAY ?? Uint16Array,
  bf16: Uint16Array,
  int8: Int8Array,
  int8full: Int8Array,
  int16: Int16Array,
  int16full: Int16Array,
  int32: Int32Array,
  int32full: Int32Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};

/** The bytes of codes of an element format as the typed array of their machine numbers, without copying. */
export function typedView(element: string, bytes: Uint8Array): TensorData {
  const type = ARRAY_TYPES[element];
  if (type === undefined) return bytes;
  return new type(bytes.buffer, bytes.byteOffset, bytes.byteLength / type.BYTES_PER_ELEMENT);
}

/** The size of the machine numbers of an element format; 1 for packed bytes. */
export function machineBytes(element: string): number {
  return ARRAY_TYPES[element]?.BYTES_PER_ELEMENT ?? 1;
}
