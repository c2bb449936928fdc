import type { FormatString } from './formats.ts';
import {
  callNative,
  type Format,
  nativeFormat,
  parseFormat,
  ROUNDING_OPTIONS,
  roundingOptions,
} from './formats.ts';
import { native } from './native/load.ts';
import { choiceOption, integerOption, openOptions, optionError } from './options.ts';
import { matrixOf, readAxis, readShape, shapeError, showShape, sizeOf } from './tensor/shape.ts';
import { readNumbers, type TensorSource } from './tensor/source.ts';
import { type ConvertOptions, Tensor } from './tensor.ts';

/** Numbers to be studied: a tensor of any format, typed arrays, or nested arrays. They are taken as f32. */
export type Values = Tensor | TensorSource;

/** Where values are no tensor: what they are a tensor of. */
export interface ShapeOptions {
  /** The lengths of the axes; those of the tensor or of the nested arrays, or the length of the data, unless said. */
  shape?: readonly number[];
  /** The axis along which groups lie and channels run, negative from the last; the last (-1) unless said. */
  axis?: number;
}

/** What rounding did to a set of elements. */
export interface ErrorStats {
  /** The number of elements. */
  count: number;
  /** Signal to quantization noise ratio in decibels: 10 log10(Σ x² / Σ (x - x̂)²). Six decibels are one bit; Infinity where nothing was lost, NaN where there is no signal either. */
  sqnr: number;
  /** Mean squared error. */
  mse: number;
  /** The largest |x - x̂|. */
  maxError: number;
  /** Elements that overflow: beyond the largest magnitude of their group by more than half a step. */
  clipped: number;
  /** Elements that are not zero and became zero. */
  underflowed: number;
}

/** The errors of a format on one tensor. */
export interface FormatErrors extends ErrorStats {
  /** The canonical name of the format. */
  format: string;
  /** Bits of an element with its share of the scales of groups. */
  bitsPerElement: number;
}

/** What {@link analyse} finds. */
export interface Analysis extends FormatErrors {
  /** Of each line along the axis, in order. */
  channels: readonly ErrorStats[];
  /** Of each group that shares a scale; of all elements where there are no scales. */
  groups: readonly ErrorStats[];
}

/** Options of {@link analyse} and {@link compareFormats}: shape, axis, and how values are rounded. */
export interface AnalyseOptions extends ConvertOptions, ShapeOptions {}

/** Which elements share a scale: all, those of a channel, so many neighbours (`'g32'`), or those of a rectangle (`'16x16'`). */
export type Granularity = 'tensor' | 'channel' | `g${number}` | `${number}x${number}`;

const SHAPE_OPTIONS = ['shape', 'axis'] as const;
const STATS = 6;
const MAX_SEED = Number.MAX_SAFE_INTEGER;

/** A matrix whose rows are the lines along an axis. */
interface Matrix {
  values: Float32Array;
  rows: number;
  columns: number;
}

function readMatrix(values: unknown, raw: Readonly<Record<string, unknown>>): Matrix {
  const isTensor = values instanceof Tensor;
  const { values: numbers, shape: found } = isTensor
    ? { values: values.toFloat32(), shape: values.shape }
    : readNumbers(values);
  const shape = readShape(raw.shape ?? found ?? [numbers.length]);
  if (sizeOf(shape) !== numbers.length) {
    throw shapeError(
      `shape: ${showShape(shape)} has ${sizeOf(shape)} elements, the data has ${numbers.length}`,
    );
  }
  const single = numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
  const last = shape.length - 1;
  const axis = raw.axis === undefined ? last : readAxis(raw.axis, shape.length);
  if (axis === last) return { values: single, ...matrixOf(shape) };
  const axes = [...shape.keys()].filter((k) => k !== axis).concat(axis);
  const moved = Tensor.from(single, { format: 'f32', shape }).transpose(axes);
  return { values: moved.toFloat32(), ...matrixOf(moved.shape) };
}

function statsAt(numbers: readonly number[], index: number): ErrorStats {
  const [count = 0, signal = 0, noise = 0, maxError = 0, clipped = 0, underflowed = 0] = numbers.slice(
    index * STATS,
    (index + 1) * STATS,
  );
  const sqnr = 10 * Math.log10(signal / noise);
  return { count, sqnr, mse: noise / count, maxError, clipped, underflowed };
}

function errorsOf(format: Format, matrix: Matrix, raw: Readonly<Record<string, unknown>>, parts: boolean) {
  const { values, rows, columns } = matrix;
  const seed = integerOption(raw, 'seed', 0, MAX_SEED);
  const options = { ...roundingOptions(raw), ...(seed === undefined ? {} : { seed }) };
  return callNative(() => native().analyse(nativeFormat(format), values, rows, columns, options, parts));
}

/**
 * Rounds values into a format and measures what is lost: in all, for each channel (line along the axis) and for each group.
 *
 * A million elements take a few milliseconds where there is a kernel for the format, else some tenths of a second.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_AXIS`, `ERR_FORMAT_SYNTAX`, `ERR_NAN`, `ERR_OPTION`, `ERR_BUFFER`.
 * @example
 * ```ts
 * const { sqnr, clipped, channels } = analyse(weights, 'nvfp4', { shape: [64, 256] });
 * const worst = channels.findIndex((channel) => channel.sqnr < 15);
 * ```
 */
export function analyse(values: Values, format: FormatString | Format, options?: AnalyseOptions): Analysis {
  const raw = openOptions(options, 'analyse', [...ROUNDING_OPTIONS, 'seed', ...SHAPE_OPTIONS]);
  const parsed: Format = parseFormat(format);
  const matrix = readMatrix(values, raw);
  const numbers = errorsOf(parsed, matrix, raw, true);
  const parts = Array.from({ length: numbers.length / STATS - 1 }, (_, i) => statsAt(numbers, i + 1));
  return {
    format: parsed.name,
    bitsPerElement: parsed.bitsPerElement,
    ...statsAt(numbers, 0),
    channels: parts.slice(0, matrix.rows),
    groups: parts.slice(matrix.rows),
  };
}

/**
 * The errors of several formats on the same values, the best ratio first.
 *
 * @throws DyadicError as {@link analyse}.
 * @example
 * ```ts
 * for (const { format, bitsPerElement, sqnr } of compareFormats(weights, ['nvfp4', 'mxfp4', 'int4:g32:f16', 'nf4']))
 *   console.log(format, bitsPerElement, sqnr.toFixed(2));
 * ```
 */
export function compareFormats(
  values: Values,
  formats: readonly (FormatString | Format)[],
  options?: AnalyseOptions,
): FormatErrors[] {
  const raw = openOptions(options, 'compareFormats', [...ROUNDING_OPTIONS, 'seed', ...SHAPE_OPTIONS]);
  if (!Array.isArray(formats)) throw optionError('formats', 'an array of formats', formats);
  const parsed: Format[] = formats.map((format) => parseFormat(format));
  const matrix = readMatrix(values, raw);
  return parsed
    .map((format) => ({
      format: format.name,
      bitsPerElement: format.bitsPerElement,
      ...statsAt(errorsOf(format, matrix, raw, false), 0),
    }))
    .sort((a, b) => b.sqnr - a.sqnr);
}

function granularityOption(raw: Readonly<Record<string, unknown>>): string | undefined {
  const { per } = raw;
  if (per === undefined) return undefined;
  if (typeof per === 'string' && /^(tensor|channel|g[1-9]\d{0,8}|[1-9]\d{0,8}x[1-9]\d{0,8})$/.test(per))
    return per;
  throw optionError('per', "'tensor', 'channel', 'gN' or 'RxC'", per);
}

function bitsOption(raw: Readonly<Record<string, unknown>>, min: number, max: number): number {
  const bits = integerOption(raw, 'bits', min, max);
  if (bits === undefined) throw optionError('bits', `an integer from ${min} to ${max}`, bits);
  return bits;
}

/** A float format with the ratio that it reaches. */
export interface FloatSplit {
  /** The format, with its scales: every code of it is a number, so that splits can be compared. */
  format: string;
  exponentBits: number;
  mantissaBits: number;
  /** In decibels, as in {@link ErrorStats}. */
  sqnr: number;
}

/** Options of {@link recommendFloatFormat}. */
export interface RecommendOptions extends ShapeOptions {
  /** The width: 3 to 16 bits, the sign among them. */
  bits: number;
  tensor: Values;
  /** Which elements share an f32 scale ('tensor'). Small groups need less range, so fewer exponent bits. */
  per?: Granularity;
}

/**
 * The split of a width into exponent and mantissa bits that keeps most of a tensor, by measuring all of them.
 *
 * For training, the scaling law of "Scaling Laws for Floating Point Quantization Training" (2025) finds E2M1, E4M3 and E8M7 best at 4, 8 and 16 bits, exponent
 * bits being worth a little more than mantissa bits; for storing one given tensor under a scale, the answer depends on its tails and on the size of groups, which is
 * why it is measured here.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_AXIS`, `ERR_NAN`, `ERR_OPTION`, `ERR_BUFFER`.
 * @example
 * ```ts
 * recommendFloatFormat({ bits: 4, tensor: weights, per: 'g16' }).format; // 'e1m2:g16' on a bell curve
 * ```
 */
export function recommendFloatFormat(
  options: RecommendOptions,
): FloatSplit & { splits: readonly FloatSplit[] } {
  const raw = openOptions(options, 'recommendFloatFormat', ['bits', 'tensor', 'per', ...SHAPE_OPTIONS]);
  const bits = bitsOption(raw, 3, 16);
  const per = granularityOption(raw) ?? 'tensor';
  const { values, rows, columns } = readMatrix(raw.tensor, raw);
  const found = callNative(() => native().compareFloatSplits(bits, values, rows, columns, per));
  const splits = found.map(({ format, sqnr }) => {
    const fields = parseFormat(format).describe().fields;
    const width = (name: string) => fields.find((field) => field.name === name)?.bits ?? 0;
    return { format, exponentBits: width('exponent'), mantissaBits: width('mantissa'), sqnr };
  });
  const [best] = splits;
  if (best === undefined) throw optionError('bits', 'a width with more than one split', bits);
  return { ...best, splits };
}

/** What a search found. */
export interface Fitted {
  /** The format string. */
  format: string;
  /** In decibels, as in {@link ErrorStats}. */
  sqnr: number;
}

/**
 * The fixed-point format whose binary point loses least: the best balance of clipping and rounding.
 *
 * @param options - `bits`: the width, 2 to 32, the sign among them
 * @throws DyadicError `ERR_NAN`, `ERR_OPTION`, `ERR_BUFFER`.
 * @example
 * ```ts
 * searchBinaryPoint(weights, { bits: 8 }); // { format: 'q3.5s', fractionBits: 5, sqnr: 40.4 }
 * ```
 */
export function searchBinaryPoint(
  values: Values,
  options: { bits: number },
): Fitted & { fractionBits: number } {
  const bits = bitsOption(openOptions(options, 'searchBinaryPoint', ['bits']), 2, 32);
  const matrix = readMatrix(values, {});
  const { format, sqnr } = callNative(() => native().searchBinaryPoint(bits, matrix.values));
  return { format, fractionBits: Number(/\.(-?\d+)/.exec(format)?.[1]), sqnr };
}

/** Options of {@link fitPower}. */
export interface FitPowerOptions extends ShapeOptions {
  /** The width: 2 to 16 bits. */
  bits: number;
  /** Which elements share an f16 scale ('tensor'). */
  per?: Granularity;
}

/**
 * The power-law format sign(q) (|q| / max)^(1/a) whose exponent a in [0.3, 1] loses least (PowerQuant; NUPES). 1 is the uniform grid; the heavier the tails, the lower.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_AXIS`, `ERR_NAN`, `ERR_OPTION`, `ERR_BUFFER`.
 * @example
 * ```ts
 * fitPower(weights, { bits: 4, per: 'g128' }); // { format: 'power4a0.772:g128:f16', exponent: 0.772, sqnr: 19.4 }
 * ```
 */
export function fitPower(values: Values, options: FitPowerOptions): Fitted & { exponent: number } {
  const raw = openOptions(options, 'fitPower', ['bits', 'per', ...SHAPE_OPTIONS]);
  const bits = bitsOption(raw, 2, 16);
  const per = granularityOption(raw) ?? 'tensor';
  const matrix = readMatrix(values, raw);
  const { format, sqnr } = callNative(() =>
    native().fitPower(bits, matrix.values, matrix.rows, matrix.columns, per),
  );
  return { format, exponent: Number(/a([\d.]+)/.exec(format)?.[1]), sqnr };
}

/**
 * The first Wasserstein distance of two samples, in the unit of the values: the area between their cumulative distributions. What climate models in low
 * precision are judged by.
 *
 * @returns NaN where a sample is empty
 * @throws DyadicError `ERR_NAN` where a value is not finite; `ERR_OPTION`, `ERR_BUFFER`.
 * @example
 * ```ts
 * wasserstein1([0, 1, 3], [5, 6, 8]); // 5
 * ```
 */
export function wasserstein1(a: Values, b: Values): number {
  const [first, second] = [a, b].map((values) => {
    const numbers = values instanceof Tensor ? values.toFloat64() : readNumbers(values).values;
    return numbers instanceof Float64Array ? numbers : Float64Array.from(numbers);
  });
  return callNative(() => native().wasserstein1(first ?? new Float64Array(), second ?? new Float64Array()));
}

/** Options of {@link pqtNoise}. */
export interface PqtNoiseOptions extends Pick<ShapeOptions, 'shape'> {
  /** The bits whose rounding is imitated: 2 to 16. */
  bits: number;
  /** Which weights share a step ('32x32'). */
  per?: Granularity;
  /** 'gaussian': N(0, 1) / 2 rounded to a whole number of steps, so most weights get none and the noise is exact in bfloat16; 'uniform': up to half a step. */
  noise?: 'gaussian' | 'uniform';
  /** Equal seeds give equal noise on every machine: an integer from 0 to 2^53 - 1 (0). */
  seed?: number;
}

/**
 * Noise for pseudo-quantization training ("Gaussian Weight Sampling", 2025): what to add to weights so that training learns to live with rounding to so many
 * bits. The step of a block is its largest magnitude times 2^(1 - bits), rounded to bfloat16.
 *
 * @returns the noise, in row-major order
 * @throws DyadicError `ERR_SHAPE`, `ERR_AXIS`, `ERR_NAN`, `ERR_OPTION`, `ERR_BUFFER`.
 * @example
 * ```ts
 * const noise = pqtNoise(weights, { bits: 4, shape: [256, 256], seed: step });
 * const noisy = weights.map((weight, i) => weight + noise[i]);
 * ```
 */
export function pqtNoise(weights: Values, options: PqtNoiseOptions): Float32Array {
  const raw = openOptions(options, 'pqtNoise', ['bits', 'per', 'noise', 'seed', 'shape']);
  const bits = bitsOption(raw, 2, 16);
  const per = granularityOption(raw) ?? '32x32';
  const uniform = choiceOption(raw, 'noise', ['gaussian', 'uniform']) === 'uniform';
  const seed = integerOption(raw, 'seed', 0, MAX_SEED) ?? 0;
  const { values, rows, columns } = readMatrix(weights, raw);
  const out = new Float32Array(values.length);
  callNative(() => native().pqtNoise(values, rows, columns, { bits, per, uniform, seed }, out));
  return out;
}
