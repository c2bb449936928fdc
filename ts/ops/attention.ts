import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import type { NativeAttention } from '../native/ops-contract.ts';
import {
  booleanOption,
  choiceOption,
  integerOption,
  numberOption,
  openOptions,
  optionError,
} from '../options.ts';
import { shapeError } from '../tensor/shape.ts';
import { Tensor } from '../tensor.ts';
import { float32, integers, likeTensor, type Operand, outputOf, shapeOf } from './arrays.ts';

/** How many heads there are, and how long they are. */
const MOST_HEADS = 2 ** 20;
const LARGEST = 3.4028234663852886e38;
/** From 2^30 radians on no angle can be reduced exactly. */
const MOST_POSITION = 2 ** 30 - 1;
const KV_PRECISIONS = ['f32', 'f16', 'int8'] as const;
const VARIANTS = ['carry', 'linear'] as const;

/**
 * L-Mul, which replaces the product of two mantissas by a constant: an emulation of hardware that adds where others multiply (Luo and Sun 2024).
 * On a CPU it is slower than a multiplication.
 */
export interface LMulOptions {
  /** To which operands are rounded first, 1 to 23; 23 where absent. */
  mantissaBits?: number;
  /** What an adder does, whose carry goes into the exponent, where absent; `'linear'`: the formula of the paper. */
  variant?: 'carry' | 'linear';
}

function lMulOf(options: unknown, name: string): { mantissaBits: number; linear: boolean } {
  const raw = openOptions(options, name, ['mantissaBits', 'variant']);
  return {
    mantissaBits: integerOption(raw, 'mantissaBits', 1, 23) ?? 23,
    linear: choiceOption(raw, 'variant', VARIANTS) === 'linear',
  };
}

/**
 * The sum of the L-Mul products `a[i] * b[i]` in f32, in order.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`.
 */
export function lMulDot(a: Operand, b: Operand, options?: LMulOptions): number {
  const { mantissaBits, linear } = lMulOf(options, 'lMulDot');
  const [x, y] = [float32(a, 'a'), float32(b, 'b')];
  return callNative(() => native().lMulDot(x, y, mantissaBits, linear));
}

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** Query heads. */
  heads: number;
  /** Key-value heads, of which `heads` is a multiple: neighbouring query heads share one. As many as `heads` where absent. */
  kvHeads?: number;
  /** Elements of a head. */
  headDim: number;
  /** What scores are multiplied by; `1 / sqrt(headDim)` where absent. */
  scale?: number;
  /** Scores become `cap * tanh(score / cap)`. */
  softCap?: number;
  /** A logit of each query head that takes part in the denominator only. */
  sinks?: Float32Array;
  /** The last query sees all keys, each one before it one key less. */
  causal?: boolean;
  /** Causal, with so many keys before the first query. */
  causalOffset?: number;
  /** Only so many of the last visible keys. */
  window?: number;
  /** What keys and values are rounded to first; `'f32'`, not at all, where absent. `'int8'` has a scale for each key and value of a head. */
  kv?: 'f32' | 'f16' | 'int8';
  /** Multiplies by L-Mul, slowly. */
  lMul?: LMulOptions;
  /** Where the result goes; a new array where absent. */
  out?: Float32Array;
}

const OPTIONS = [
  'heads',
  'kvHeads',
  'headDim',
  'scale',
  'softCap',
  'sinks',
  'causal',
  'causalOffset',
  'window',
  'kv',
  'lMul',
  'out',
];

/**
 * Attention: `softmax(scale * q·k) · v` for each query and head. `q` is `[queries][heads][headDim]`, `k` and `v` are `[keys][kvHeads][headDim]`, the
 * result is like `q`.
 *
 * A query's result depends on nothing but itself and the keys that it sees, so any way of cutting queries into calls gives the same bits.
 *
 * @example
 * ```ts
 * attention(q, k, v, { heads: 9, kvHeads: 3, headDim: 64, causal: true });
 * ```
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_OVERLAP`.
 */
export function attention(q: Float32Array, k: Operand, v: Operand, options: AttentionOptions): Float32Array;
/** Of a tensor of queries: a tensor of the same format. */
export function attention<F extends string>(
  q: Tensor<F>,
  k: Operand,
  v: Operand,
  options: Omit<AttentionOptions, 'out'>,
): Tensor<F>;
export function attention(
  queries: Operand,
  keys: Operand,
  values: Operand,
  options: AttentionOptions,
): Operand {
  if (queries instanceof Tensor)
    return likeTensor(queries, attention(queries.toFloat32(), keys, values, options));
  const [q, k, v] = [float32(queries, 'q'), float32(keys, 'k'), float32(values, 'v')];
  const raw = openOptions(options, 'attention', OPTIONS);
  const heads = integerOption(raw, 'heads', 1, MOST_HEADS);
  const headDim = integerOption(raw, 'headDim', 1, MOST_HEADS);
  if (heads === undefined) throw optionError('heads', 'the number of query heads', heads);
  if (headDim === undefined) throw optionError('headDim', 'the elements of a head', headDim);
  const kvHeads = integerOption(raw, 'kvHeads', 1, heads) ?? heads;
  const native_: NativeAttention = {
    heads,
    kvHeads,
    headDim,
    scale: numberOption(raw, 'scale', -LARGEST, LARGEST) ?? 1 / Math.sqrt(headDim),
    precision: KV_PRECISIONS.indexOf(choiceOption(raw, 'kv', KV_PRECISIONS) ?? 'f32'),
  };
  const softCap = numberOption(raw, 'softCap', Number.MIN_VALUE, LARGEST);
  if (softCap !== undefined) native_.softCap = softCap;
  const window = integerOption(raw, 'window', 1, 2 ** 32 - 1);
  if (window !== undefined) native_.window = window;
  if (raw.sinks !== undefined) native_.sinks = float32(raw.sinks, 'sinks');
  const offset = integerOption(raw, 'causalOffset', 0, 2 ** 32 - 1);
  if (offset !== undefined) native_.causalOffset = offset;
  else if (booleanOption(raw, 'causal') === true) {
    const before = k.length / (kvHeads * headDim) - q.length / (heads * headDim);
    if (before < 0) throw shapeError('causal: there are fewer keys than queries');
    native_.causalOffset = before;
  }
  if (raw.lMul !== undefined) Object.assign(native_, lMulOf(raw.lMul, 'lMul'));
  const out = outputOf(raw.out, q.length);
  callNative(() => native().attention(q, k, v, out, native_));
  return out;
}

/** Options of {@link rope}. */
export interface RopeOptions {
  /** `[positions, heads, headDim]` of the array; that of a tensor where absent. */
  shape?: readonly [number, number, number];
  /** The position of each; 0, 1, 2, … where absent. */
  positions?: ArrayLike<number>;
  /** 10000 where absent. */
  base?: number;
  /** How many elements of a head are turned; all where absent. */
  rotaryDim?: number;
  /** By which frequencies are divided; 1 where absent. */
  factor?: number;
  /** Which elements are turned together: `'halves'`, `(i, i + rotaryDim / 2)`, where absent; `'interleaved'`: `(2 i, 2 i + 1)`. */
  pairing?: 'halves' | 'interleaved';
  /** Where the result goes, which may be the argument itself; a new array where absent. */
  out?: Float32Array;
}

/**
 * Rotary position embedding: turns pairs of elements of each head by angles that grow with the position.
 *
 * @throws DyadicError `ERR_SHAPE`, `ERR_OPTION`, `ERR_ROPE`.
 */
export function rope(x: Float32Array, options: RopeOptions): Float32Array;
/** Of a tensor: a tensor of the same format. */
export function rope<F extends string>(x: Tensor<F>, options?: Omit<RopeOptions, 'out'>): Tensor<F>;
export function rope(x: Operand, options?: RopeOptions): Operand {
  if (x instanceof Tensor) {
    const [positions = 0, heads = 0, headDim = 0] = x.shape;
    return likeTensor(x, rope(x.toFloat32(), { shape: [positions, heads, headDim], ...options }));
  }
  float32(x, 'x');
  const raw = openOptions(options, 'rope', [
    'shape',
    'positions',
    'base',
    'rotaryDim',
    'factor',
    'pairing',
    'out',
  ]);
  const [count = 0, , headDim = 0, ...rest] = shapeOf(raw.shape, x.length);
  if (headDim === 0 || rest.length > 0) throw optionError('shape', '[positions, heads, headDim]', raw.shape);
  const positions =
    raw.positions === undefined
      ? Uint32Array.from({ length: count }, (_, i) => i)
      : integers(raw.positions, 'positions', MOST_POSITION);
  if (positions.length !== count)
    throw shapeError(`positions: expected ${count} of them, got ${positions.length}`);
  const rotaryDim = integerOption(raw, 'rotaryDim', 0, headDim) ?? headDim;
  const base = numberOption(raw, 'base', Number.MIN_VALUE, Number.MAX_VALUE) ?? 10_000;
  const factor = numberOption(raw, 'factor', Number.MIN_VALUE, Number.MAX_VALUE) ?? 1;
  const interleaved = choiceOption(raw, 'pairing', ['halves', 'interleaved']) === 'interleaved';
  const out = outputOf(raw.out, x.length);
  if (out !== x) out.set(x);
  callNative(() => native().rope(out, positions, headDim, rotaryDim, base, factor, interleaved));
  return out;
}
