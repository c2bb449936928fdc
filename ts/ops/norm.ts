import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import type { NativeOperand } from '../native/ops-contract.ts';
import { integerOption, numberOption, openOptions } from '../options.ts';
import { shapeError } from '../tensor/shape.ts';
import { Tensor } from '../tensor.ts';
import { float32, type Operand, outputOf } from './arrays.ts';
import { mapTensor } from './tensors.ts';

/** Options of a normalisation. */
export interface NormOptions {
  /** Keeps rows of zeros from being divided by zero; 1e-5 where absent. */
  epsilon?: number;
  /** Where the result goes, which may be the argument itself; a new array where absent. */
  out?: Float32Array;
}

/** Runs a normalisation with its epsilon. */
type Normalize = (x: NativeOperand, epsilon: number, out: NativeOperand) => void;

/** The rows of an array or a tensor normalised; a row has `rowLength` elements, or all. */
function normalize(
  x: Operand,
  options: NormOptions | undefined,
  name: string,
  rowLength: number | undefined,
  run: Normalize,
): Operand {
  const raw = openOptions(options, name, x instanceof Tensor ? ['epsilon'] : ['epsilon', 'out']);
  const epsilon = numberOption(raw, 'epsilon', 0, Number.MAX_VALUE) ?? 1e-5;
  const elements = x instanceof Tensor ? x.size : float32(x, 'x').length;
  assertRows(elements, rowLength ?? elements);
  const call = (from: NativeOperand, to: NativeOperand) => callNative(() => run(from, epsilon, to));
  if (x instanceof Tensor) return mapTensor(x, call);
  const out = outputOf(raw.out, x.length);
  call(x, out);
  return out;
}

function assertRows(elements: number, rowLength: number): void {
  if (rowLength === 0 ? elements > 0 : elements % rowLength !== 0)
    throw shapeError(`${elements} elements are no whole number of rows of ${rowLength}`);
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
  const [w, b] = [float32(weight, 'weight'), float32(bias, 'bias')];
  return normalize(x, options, 'layerNorm', w.length, (from, epsilon, out) =>
    native().layerNorm(from, w, b, epsilon, out),
  );
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
  const w = float32(weight, 'weight');
  return normalize(x, options, 'rmsNorm', w.length, (from, epsilon, out) =>
    native().rmsNorm(from, w, epsilon, out),
  );
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
  float32(residual, 'residual');
  const raw = openOptions(options, 'addRmsNorm', ['epsilon', 'out']);
  const epsilon = numberOption(raw, 'epsilon', 0, Number.MAX_VALUE) ?? 1e-5;
  const out = outputOf(raw.out, residual.length);
  const [added, w] = [float32(delta, 'delta'), float32(weight, 'weight')];
  assertRows(residual.length, w.length);
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
  const { rowLength: given, ...rest } = openOptions(options, 'l2Norm', ['rowLength', 'epsilon', 'out']);
  const rowLength = integerOption({ rowLength: given }, 'rowLength', 1, 2 ** 32 - 1);
  return normalize(x, rest, 'l2Norm', rowLength, (from, epsilon, out) =>
    native().l2Norm(from, rowLength ?? (x instanceof Tensor ? x.size : x.length), epsilon, out),
  );
}
