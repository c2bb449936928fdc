import { DyadicError } from '../errors.ts';
import { callNative, type Format, nativeFormat } from '../formats.ts';
import type { NativeTensor } from '../native/contract.ts';
import { native } from '../native/load.ts';
import { allocate, type PartNumbers, type Parts, partLengths, partOffsets } from './memory.ts';
import { inverse, isIdentity, matrixOf, permute, showShape, sizeOf, stridesOf } from './shape.ts';

/**
 * Where the elements of a tensor lie. Memory holds a row-major array of `dimensions`; its axis k is axis `order[k]` of the tensor, so that axes
 * are exchanged without moving anything. The last one is that along which groups lie.
 */
export interface Layout {
  readonly format: Format;
  readonly dimensions: readonly number[];
  readonly order: readonly number[];
  readonly parts: Parts;
}

/** The shape of the tensor. */
export function shapeOf(layout: Layout): readonly number[] {
  return permute(layout.dimensions, inverse(layout.order));
}

/** The tensor as native code takes it: the matrix in memory. */
export function matrix(layout: Layout): NativeTensor {
  return { ...matrixOf(layout.dimensions), ...layout.parts };
}

/** Codes of one part, chosen by offset and strides; both count codes. */
interface Selection {
  bits: number;
  offset: number;
  shape: readonly number[];
  strides: readonly number[];
}

/**
 * Copies packed codes.
 * @internal
 */
export function selectCodes(source: Uint8Array, selection: Selection, target: Uint8Array): void {
  if (target.length === 0) return;
  const { bits, offset } = selection;
  const [shape, strides] = [Float64Array.from(selection.shape), Float64Array.from(selection.strides)];
  callNative(() => native().selectCodes(source, bits, offset, shape, strides, target));
}

/** The axes in another order; nothing moves. */
export function transposed(layout: Layout, axes: readonly number[]): Layout {
  const place = inverse(axes);
  return { ...layout, order: permute(place, layout.order) };
}

function groupsError(what: string, layout: Layout): DyadicError {
  const { name } = layout.format;
  return new DyadicError(
    'ERR_GROUPS',
    `${what} would cut groups of ${name} that share a scale. Decode first and round again where that is meant: ` +
      `tensor.to('f32'), then this, then .to('${name}')`,
  );
}

/** How many neighbours along the last axis belong together, 1 where any number can be taken. */
function columnsOfUnit({ format, dimensions }: Layout): number {
  const { record, scale } = format.describe();
  if (record !== null) return record.elements;
  switch (scale?.per) {
    case 'group':
      return scale.size ?? 1;
    case 'block':
      return scale.columns ?? 1;
    case 'channel':
      return dimensions.at(-1) ?? 1;
    default:
      return 1;
  }
}

/** Whether every element stands for itself, or shares its scale with all others: codes can then be put into any order. */
function isUngrouped(format: Format): boolean {
  const { record, scale } = format.describe();
  return record === null && (scale === null || scale.per === 'tensor');
}

/**
 * The same elements in another shape, in row-major order of the tensor: a view where the axes are in the order of memory, else codes are packed
 * anew.
 */
export function reshaped(layout: Layout, shape: readonly number[]): Layout {
  const order = shape.map((_, axis) => axis);
  if (!isIdentity(layout.order)) {
    if (!isUngrouped(layout.format)) throw groupsError('to reshape a transposed tensor', layout);
    return { ...layout, dimensions: shape, order, parts: gathered(layout) };
  }
  const [before, after] = [layout.dimensions.at(-1) ?? 1, shape.at(-1) ?? 1];
  const unit = columnsOfUnit(layout);
  const cuts = before !== after && unit !== 1 && (before % unit !== 0 || after % unit !== 0);
  const { scale } = layout.format.describe();
  if (cuts || (before !== after && (scale?.per === 'channel' || scale?.per === 'block'))) {
    throw groupsError(`reshape to ${showShape(shape)}`, layout);
  }
  return { ...layout, dimensions: shape, order };
}

/** The parts of an ungrouped tensor with its codes in row-major order of the tensor. */
function gathered(layout: Layout): Parts {
  const { format, parts } = layout;
  const shape = shapeOf(layout);
  const { rows, columns } = matrixOf(shape);
  const strides = permute(stridesOf(layout.dimensions), inverse(layout.order));
  const copy = allocate(format, rows, columns);
  selectCodes(parts.codes, { bits: format.bits, offset: 0, shape, strides }, copy.codes);
  copyShared(parts, copy);
  return copy;
}

/** Copies what does not depend on the shape: scales and the like of formats that have one for the tensor. */
function copyShared(source: Parts, target: Parts): void {
  target.scales.set(source.scales);
  target.zeros.set(source.zeros);
  target.selectors.set(source.selectors);
  target.superScales.set(source.superScales);
}

/** Half-open: the elements from `begin` up to `end`. */
export interface Range {
  begin: number;
  end: number;
}

/**
 * Part of a tensor, one range for each of its axes: a view where memory allows, else codes are packed anew. Nothing is rounded.
 */
export function sliced(layout: Layout, ranges: readonly Range[]): Layout {
  const { format, dimensions, order } = layout;
  const stored = permute(ranges, order);
  const lengths = stored.map(({ begin, end }) => end - begin);
  const result = { format, dimensions: lengths, order };
  if (lengths.every((length, k) => length === dimensions[k])) return { ...result, parts: layout.parts };
  if (sizeOf(lengths) === 0) return { ...result, parts: allocate(format, ...pair(lengths)) };
  const parts = rowsView(layout, stored) ?? cut(layout, stored);
  return { ...result, parts };
}

function pair(dimensions: readonly number[]): [rows: number, columns: number] {
  const { rows, columns } = matrixOf(dimensions);
  return [rows, columns];
}

/** The run of rows that ranges choose, where it is one: whole rows, without gaps. */
function runOfRows(
  dimensions: readonly number[],
  ranges: readonly Range[],
): { first: number; count: number } | undefined {
  let [first, count, open] = [0, 1, true];
  for (const [k, { begin, end }] of ranges.entries()) {
    const length = dimensions[k] ?? 1;
    const isWhole = end - begin === length;
    if (k === ranges.length - 1) return isWhole ? { first, count } : undefined;
    // Axes before the first that is longer than one element may be cut, and that one; those after it must be whole.
    if (!open && !isWhole) return undefined;
    first = first * length + begin;
    count *= end - begin;
    if (end - begin > 1) open = false;
  }
  return { first, count };
}

function rowsView(layout: Layout, ranges: readonly Range[]): Parts | undefined {
  const run = runOfRows(layout.dimensions, ranges);
  if (run === undefined) return undefined;
  const { format, parts } = layout;
  const { rows, columns } = matrixOf(layout.dimensions);
  const at = partOffsets(format, columns, run.first);
  const { scale } = format.describe();
  const end = run.first + run.count;
  // A block of rows must end where the run ends.
  const isWhole = scale?.per !== 'block' || end === rows || end % (scale.rows ?? 1) === 0;
  if (at === undefined || !isWhole) return undefined;
  const lengths = partLengths(format, run.count, columns);
  const part = (k: keyof PartNumbers & number): [number, number] => {
    const begin = Number(at[k]);
    return [begin, begin + Number(lengths[k])];
  };
  return {
    codes: parts.codes.subarray(...part(0)),
    scales: parts.scales.subarray(...part(1)),
    zeros: parts.zeros.subarray(...part(2)),
    selectors: parts.selectors.subarray(...part(3)),
    superScales: parts.superScales.subarray(...part(4)),
  };
}

/** The parts of a slice that is no run of rows, packed anew. */
function cut(layout: Layout, ranges: readonly Range[]): Parts {
  const { format, dimensions, parts } = layout;
  const { record, scale, superScale, zeroPoint, selectorBits } = format.describe();
  const { columns } = matrixOf(dimensions);
  const along = ranges.at(-1) ?? { begin: 0, end: 1 };
  const unit = scale?.per === 'channel' ? 1 : columnsOfUnit(layout);
  const fits = along.begin % unit === 0 && (along.end % unit === 0 || along.end === columns);
  const sharesMore =
    scale?.per === 'block' || (superScale !== null && superScale.per !== 'tensor' && record === null);
  if (!fits || sharesMore) throw groupsError('this slice', layout);

  const lengths = ranges.map(({ begin, end }) => end - begin);
  const target = allocate(format, ...pair(lengths));
  /** Codes of a part of which each row of the matrix has `perRow`, `from` up to `to` of them chosen. */
  const copy = (
    source: Uint8Array,
    to: Uint8Array,
    bits: number,
    perRow: number,
    first: number,
    count: number,
  ): void => {
    const strides = stridesOf([...dimensions.slice(0, -1), perRow]);
    const offset = ranges.slice(0, -1).reduce((sum, { begin }, k) => sum + begin * (strides[k] ?? 0), first);
    selectCodes(source, { bits, offset, shape: [...lengths.slice(0, -1), count], strides }, to);
  };
  const width = along.end - along.begin;
  if (record !== null) {
    const bytes = (elements: number) => (elements / record.elements) * record.bytes;
    copy(parts.codes, target.codes, 8, bytes(columns), bytes(along.begin), bytes(width));
    return target;
  }
  copy(parts.codes, target.codes, format.bits, columns, along.begin, width);
  if (scale === null || scale.per === 'tensor') {
    copyShared(parts, target);
    return target;
  }
  const groups = (elements: number) => (scale.per === 'channel' ? 1 : Math.ceil(elements / unit));
  const first = scale.per === 'channel' ? 0 : along.begin / unit;
  const each = (source: Uint8Array, to: Uint8Array, bits: number) =>
    copy(source, to, bits, groups(columns), first, groups(width));
  each(parts.scales, target.scales, scale.bits);
  if (zeroPoint !== null && 'bits' in zeroPoint) each(parts.zeros, target.zeros, zeroPoint.bits);
  if (selectorBits > 0) each(parts.selectors, target.selectors, selectorBits);
  target.superScales.set(parts.superScales);
  return target;
}

/** The tensor with integer codes of fewer bits. */
export function lowered(layout: Layout, bits: number, format: Format): Layout {
  const parts = allocate(format, ...pair(layout.dimensions));
  const source = nativeFormat(layout.format);
  const target = { ...matrixOf(layout.dimensions), ...parts };
  callNative(() => native().lowerPrecision(source, matrix(layout), bits, target));
  return { ...layout, format, parts };
}
