import { native } from '../native/load.ts';
import { integerOption, numberOption, openOptions } from '../options.ts';
import { float32, guarded, outputOf, shapeError } from './arrays.ts';

/** Options of a normalisation. */
export interface NormOptions {
  /** Keeps rows of zeros from being divided by zero; 1e-5 where absent. */
  epsilon?: number;
  /** Where the result goes, which may be the argument itself; a new array where absent. */
  out?: Float32Array;
}

function open(options: NormOptions | undefined, name: string, x: Float32Array) {
  float32(x, 'x');
  const raw = openOptions(options, name, ['epsilon', 'out', 'rowLength']);
  return {
    raw,
    epsilon: numberOption(raw, 'epsilon', 0, Number.MAX_VALUE) ?? 1e-5,
    out: outputOf(raw.out, x.length),
  };
}

function assertRows(x: Float32Array, rowLength: number): void {
  if (rowLength === 0 ? x.length > 0 : x.length % rowLength !== 0)
    throw shapeError(`${x.length} elements are no whole number of rows of ${rowLength}`);
}

/**
 * `(x - mean) / sqrt(variance + epsilon) * weight + bias` of every row; a row is as long as the weight.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function layerNorm(
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array,
  options?: NormOptions,
): Float32Array {
  const { epsilon, out } = open(options, 'layerNorm', x);
  assertRows(x, float32(weight, 'weight').length);
  float32(bias, 'bias');
  guarded(() => native().layerNorm(x, weight, bias, epsilon, out));
  return out;
}

/**
 * `x / sqrt(mean(x^2) + epsilon) * weight` of every row; a row is as long as the weight.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function rmsNorm(x: Float32Array, weight: Float32Array, options?: NormOptions): Float32Array {
  const { epsilon, out } = open(options, 'rmsNorm', x);
  assertRows(x, float32(weight, 'weight').length);
  guarded(() => native().rmsNorm(x, weight, epsilon, out));
  return out;
}

/**
 * `residual += delta`, then {@link rmsNorm} of the residual, each row read once. The residual changes in place.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function addRmsNorm(
  residual: Float32Array,
  delta: Float32Array,
  weight: Float32Array,
  options?: NormOptions,
): Float32Array {
  const { epsilon, out } = open(options, 'addRmsNorm', residual);
  assertRows(residual, float32(weight, 'weight').length);
  float32(delta, 'delta');
  guarded(() => native().addRmsNorm(residual, delta, weight, epsilon, out));
  return out;
}

/**
 * Every row divided by the larger of its length and epsilon; the whole array is one row where no length is given.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function l2Norm(x: Float32Array, options?: NormOptions & { rowLength?: number }): Float32Array {
  const { raw, epsilon, out } = open(options, 'l2Norm', x);
  const rowLength = integerOption(raw, 'rowLength', 1, 2 ** 32 - 1) ?? x.length;
  assertRows(x, rowLength);
  guarded(() => native().l2Norm(x, rowLength, epsilon, out));
  return out;
}
