import { types } from 'node:util';
import { DyadicError } from '../errors.ts';
import { parseFormat } from '../formats.ts';
import { show } from '../options.ts';
import type { Layout } from './layout.ts';
import { machineBytes, type PartNumbers, partLengths, partsAt } from './memory.ts';
import { matrixOf, readShape } from './shape.ts';

/** A tensor as it goes from one thread to another: plain data and one SharedArrayBuffer, which structured cloning shares. */
export interface TensorMessage {
  readonly type: 'dyadic.tensor';
  readonly version: 1;
  /** The name of the format. */
  readonly format: string;
  /** The lengths of the axes in the order of memory. */
  readonly dimensions: readonly number[];
  /** The axis of the tensor that each of these is. */
  readonly order: readonly number[];
  /** Where codes, scales, zero points, selectors and super-scales begin, in bytes. */
  readonly offsets: readonly number[];
  readonly buffer: SharedArrayBuffer;
}

/** The longest format string that is read. */
const MAX_FORMAT = 256;

export function writeMessage(layout: Layout): TensorMessage {
  const { format, dimensions, order, parts } = layout;
  const { codes, scales, zeros, selectors, superScales } = parts;
  return {
    type: 'dyadic.tensor',
    version: 1,
    format: format.name,
    dimensions: [...dimensions],
    order: [...order],
    offsets: [codes, scales, zeros, selectors, superScales].map((part) => part.byteOffset),
    // Parts are only ever made over shared memory.
    buffer: codes.buffer as unknown as SharedArrayBuffer,
  };
}

function messageError(expected: string, value: unknown): DyadicError {
  return new DyadicError('ERR_MESSAGE', `a message of a tensor: expected ${expected}, got ${show(value)}`);
}

/** The tensor of a message, which may come from anywhere. */
export function readMessage(message: unknown): Layout {
  if (typeof message !== 'object' || message === null) throw messageError('an object of toMessage', message);
  const {
    type,
    version,
    format: name,
    dimensions,
    order,
    offsets,
    buffer,
  }: Partial<Record<keyof TensorMessage, unknown>> = message;
  if (type !== 'dyadic.tensor') throw messageError("type 'dyadic.tensor'", type);
  if (version !== 1) throw messageError('version 1', version);
  if (typeof name !== 'string' || name.length > MAX_FORMAT) throw messageError('a format string', name);
  const format = parseFormat(name);
  const lengths = readShape(dimensions, 'dimensions of a message');
  if (!isPermutation(order, lengths.length)) {
    throw messageError(`order: a permutation of ${lengths.length} axes`, order);
  }
  if (!types.isSharedArrayBuffer(buffer)) throw messageError('buffer: a SharedArrayBuffer', buffer);
  if (Reflect.get(buffer, 'growable') === true) throw messageError('a buffer of fixed length', buffer);
  const { rows, columns } = matrixOf(lengths);
  const byteLengths = partLengths(format, rows, columns);
  const { element, scale } = format.describe();
  const alignments = [machineBytes(element), machineBytes(scale?.format ?? ''), 1, 1, 4];
  const begins = byteLengths.map((length, k): number => {
    const begin: unknown = Array.isArray(offsets) ? offsets[k] : undefined;
    const end = buffer.byteLength - length * (k === 4 ? 4 : 1);
    if (typeof begin !== 'number' || !Number.isInteger(begin) || begin < 0 || begin > end) {
      throw messageError(`offsets[${k}]: a number of bytes up to ${end} of ${buffer.byteLength}`, begin);
    }
    const alignment = alignments[k] ?? 1;
    if (begin % alignment !== 0) throw messageError(`offsets[${k}]: a multiple of ${alignment}`, begin);
    return begin;
  });
  const [codes = 0, scales = 0, zeros = 0, selectors = 0, superScales = 0] = begins;
  const at: PartNumbers = [codes, scales, zeros, selectors, superScales];
  return { format, dimensions: lengths, order: [...order], parts: partsAt(buffer, at, byteLengths) };
}

/** Whether a value is a permutation of so many axes. */
export function isPermutation(value: unknown, count: number): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length === count &&
    Array.from({ length: count }, (_, k) => k).every((k) => value.includes(k))
  );
}
