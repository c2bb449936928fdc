import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import { integerOption, numberOption, openOptions } from '../options.ts';
import { shapeError } from '../tensor/shape.ts';
import { Tensor } from '../tensor.ts';
import { float32, likeTensor, type Operand, outputOf } from './arrays.ts';

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
  weight: Operand,
  bias: Operand,
  options?: NormOptions,
): Float32Array;
/** Of a tensor: a tensor of the same format. */
export function layerNorm<F extends string>(
  x: Tensor<F>,
  weight: Operand,
  bias: Operand,
  options?: Omit<NormOptions, 'out'>,
): Tensor<F>;
export function layerNorm(x: Operand, weight: Operand, bias: Operand, options?: NormOptions): Operand {
  if (x instanceof Tensor) return likeTensor(x, layerNorm(x.toFloat32(), weight, bias, options));
  const { epsilon, out } = open(options, 'layerNorm', x);
  const [w, b] = [float32(weight, 'weight'), float32(bias, 'bias')];
  assertRows(x, w.length);
  callNative(() => native().layerNorm(x, w, b, epsilon, out));
  return out;
}

/**
 * `x / sqrt(mean(x^2) + epsilon) * weight` of every row; a row is as long as the weight.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function rmsNorm(x: Float32Array, weight: Operand, options?: NormOptions): Float32Array;
/** Of a tensor: a tensor of the same format. */
export function rmsNorm<F extends string>(
  x: Tensor<F>,
  weight: Operand,
  options?: Omit<NormOptions, 'out'>,
): Tensor<F>;
export function rmsNorm(x: Operand, weight: Operand, options?: NormOptions): Operand {
  if (x instanceof Tensor) return likeTensor(x, rmsNorm(x.toFloat32(), weight, options));
  const { epsilon, out } = open(options, 'rmsNorm', x);
  const w = float32(weight, 'weight');
  assertRows(x, w.length);
  callNative(() => native().rmsNorm(x, w, epsilon, out));
  return out;
}

/**
 * `residual += delta`, then {@link rmsNorm} of the residual, each row read once. The residual changes in place.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function addRmsNorm(
  residual: Float32Array,
  delta: Operand,
  weight: Operand,
  options?: NormOptions,
): Float32Array {
  const { epsilon, out } = open(options, 'addRmsNorm', residual);
  const [added, w] = [float32(delta, 'delta'), float32(weight, 'weight')];
  assertRows(residual, w.length);
  callNative(() => native().addRmsNorm(residual, added, w, epsilon, out));
  return out;
}

/**
 * Every row divided by the larger of its length and epsilon; the whole array is one row where no length is given.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function l2Norm(x: Float32Array, options?: NormOptions & { rowLength?: number }): Float32Array;
/** Of a tensor: a tensor of the same format. */
export function l2Norm<F extends string>(
  x: Tensor<F>,
  options?: { epsilon?: number; rowLength?: number },
): Tensor<F>;
export function l2Norm(x: Operand, options?: NormOptions & { rowLength?: number }): Operand {
  if (x instanceof Tensor) return likeTensor(x, l2Norm(x.toFloat32(), options));
  const { raw, epsilon, out } = open(options, 'l2Norm', x);
  const rowLength = integerOption(raw, 'rowLength', 1, 2 ** 32 - 1) ?? x.length;
  assertRows(x, rowLength);
  callNative(() => native().l2Norm(x, rowLength, epsilon, out));
  return out;
}
