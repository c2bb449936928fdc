import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import { integerOption, numberOption, openOptions, optionError } from '../options.ts';

/** How a weight is written in digits, of which those that are not 0 cost a partial product each. */
export type DigitEncoding = 'binary' | 'sign-magnitude' | 'booth4' | 'naf';

const ENCODINGS: readonly DigitEncoding[] = ['binary', 'sign-magnitude', 'booth4', 'naf'];
const NUMBERS = 11;

/** The partial products of weights under one encoding. */
export interface PartialProducts {
  /** The mean number of digits that are not 0. */
  mean: number;
  /** How many weights have 0, 1, … 8 of them. */
  counts: readonly number[];
  /** The cycles of a product with the matrix in hardware that makes one partial product a cycle and skips zeros; `lanes` weights of a row wait for each other. */
  cycles: number;
}

/** Options of {@link partialProductStats}. */
export interface PartialProductOptions {
  /** The weights of a row; all of them unless said. */
  columns?: number;
  /** Weights of a row that are multiplied side by side and go on together; 1 unless said. */
  lanes?: number;
}

/**
 * Counts the partial products of 8-bit weights under each encoding: two's complement, sign and magnitude, radix-4 Booth and the non-adjacent form. For
 * weights of a uniform distribution the means are 4, 3.504, 3 and 2.777; trained weights are mostly small and need fewer.
 *
 * @throws DyadicError `ERR_OPTION`.
 * @example
 * ```ts
 * const { booth4, naf } = partialProductStats(Int8Array.of(3, -1, 0, 64));
 * console.log(booth4.mean, naf.mean);
 * ```
 */
export function partialProductStats(
  weights: Int8Array,
  options?: PartialProductOptions,
): Record<DigitEncoding, PartialProducts> {
  if (!(weights instanceof Int8Array)) throw optionError('weights', 'an Int8Array', weights);
  const raw = openOptions(options, 'partialProductStats', ['columns', 'lanes']);
  const columns = integerOption(raw, 'columns', 1, 2 ** 31 - 1) ?? Math.max(weights.length, 1);
  const lanes = integerOption(raw, 'lanes', 1, 2 ** 31 - 1) ?? 1;
  if (weights.length % columns !== 0)
    throw optionError('columns', `a divisor of ${weights.length}, the number of weights`, columns);
  const numbers = callNative(() => native().partialProductStats(weights, columns, lanes));
  const stats = (encoding: DigitEncoding): PartialProducts => {
    const first = ENCODINGS.indexOf(encoding) * NUMBERS;
    const [mean = 0, cycles = 0, ...counts] = numbers.slice(first, first + NUMBERS);
    return { mean, cycles, counts };
  };
  return {
    binary: stats('binary'),
    'sign-magnitude': stats('sign-magnitude'),
    booth4: stats('booth4'),
    naf: stats('naf'),
  };
}

/** What a network costs, or a node of it, for one image. */
export interface Cost {
  /** Multiply-adds of products and of attention, two floating-point operations each. */
  multiplyAdds: number;
  /** Numbers that training has set. */
  parameters: number;
  /** Elements of values, which run time follows more than operations. */
  activations: number;
  /** Bytes of weights. */
  weightBytes: number;
  /** Bytes of values that are read and written. */
  activationBytes: number;
  /** The time of the roofline: of each node the longer of arithmetic and traffic. */
  seconds: number;
}

/** The cost of one node. */
export interface NodeCost extends Cost {
  /** The name of its weights, or of what it does. */
  name: string;
  /** What it does, as `docs/design/integer-only.md` lists them. */
  op: string;
}

/** Options of {@link estimateCost}. */
export interface EstimateCostOptions {
  /** Multiply-adds a second that products reach; 10^10 unless said. */
  multiplyAddsPerSecond?: number;
  /** Bytes a second of the memory that values go through; 10^10 unless said. */
  bytesPerSecond?: number;
  /** What the start of an operation costs; 0 unless said. */
  secondsPerNode?: number;
  /** Bits of a weight; 32 unless said. */
  weightBits?: number;
  /** Bits of an element of a value; 32 unless said. */
  activationBits?: number;
  /** Images that share the reading of weights; 1 unless said. */
  batch?: number;
}

/**
 * Estimates what a vision model of floats (`models/<name>/model.safetensors`) costs on a machine.
 *
 * @throws DyadicError `ERR_OPTION`, `ERR_FILE_NOT_FOUND`, `ERR_SAFETENSORS_*`, `ERR_VISION_*`.
 * @example
 * ```ts
 * const { total, nodes } = estimateCost('models/fashion-cnn/model.safetensors', { weightBits: 8, activationBits: 8 });
 * console.log(total.multiplyAdds / 1e6, 'M', total.seconds);
 * ```
 */
export function estimateCost(
  model: string,
  options?: EstimateCostOptions,
): { total: Cost; nodes: readonly NodeCost[] } {
  if (typeof model !== 'string') throw optionError('model', 'a path', model);
  const raw = openOptions(options, 'estimateCost', [
    'multiplyAddsPerSecond',
    'bytesPerSecond',
    'secondsPerNode',
    'weightBits',
    'activationBits',
    'batch',
  ]);
  const nodes = callNative(() =>
    native().estimateCost(model, {
      multiplyAddsPerSecond: numberOption(raw, 'multiplyAddsPerSecond', 1, 1e18) ?? 1e10,
      bytesPerSecond: numberOption(raw, 'bytesPerSecond', 1, 1e18) ?? 1e10,
      secondsPerNode: numberOption(raw, 'secondsPerNode', 0, 1) ?? 0,
      weightBits: numberOption(raw, 'weightBits', 1, 64) ?? 32,
      activationBits: numberOption(raw, 'activationBits', 1, 64) ?? 32,
      batch: integerOption(raw, 'batch', 1, 2 ** 31 - 1) ?? 1,
    }),
  );
  const sum = (key: keyof Cost) => nodes.reduce((total, node) => total + node[key], 0);
  const total: Cost = {
    multiplyAdds: sum('multiplyAdds'),
    parameters: sum('parameters'),
    activations: sum('activations'),
    weightBytes: sum('weightBytes'),
    activationBytes: sum('activationBytes'),
    seconds: sum('seconds'),
  };
  return { total, nodes };
}

/** By how much a network grows in each direction. */
export interface ModelScaling {
  /** Layers. */
  depth: number;
  /** Channels. */
  width: number;
  /** Pixels of a side. */
  resolution: number;
  /** Activations of convolutions. */
  activations: number;
  /** Parameters. */
  parameters: number;
}

/** Options of {@link scaleModel}. */
export interface ScaleModelOptions {
  /** The growth of the operations. */
  s: number;
  /** The part of the growth that goes into width: 0.8 unless said, "fast" scaling. */
  alpha?: number;
}

/**
 * How to scale a network so that its operations grow `s` times while its activations, and so its run time, grow as little as is good for its accuracy
 * ("Fast and Accurate Model Scaling", Dollár et al. 2021).
 *
 * @throws DyadicError `ERR_OPTION`.
 * @example
 * ```ts
 * const { width, depth, activations } = scaleModel({ s: 4 }); // activations grow 2.3 times, with depth alone 4 times
 * ```
 */
export function scaleModel(options: ScaleModelOptions): ModelScaling {
  const raw = openOptions(options, 'scaleModel', ['s', 'alpha']);
  const s = numberOption(raw, 's', 1e-6, 1e6);
  if (s === undefined) throw optionError('s', 'a number from 0.000001 to 1000000', s);
  const alpha = numberOption(raw, 'alpha', 0, 1) ?? 0.8;
  const [depth = 1, width = 1, resolution = 1, activations = 1, parameters = 1] = callNative(() =>
    native().scaleModel(alpha, s),
  );
  return { depth, width, resolution, activations, parameters };
}
