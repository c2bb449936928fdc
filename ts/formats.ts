import { inspect } from 'node:util';
import { DyadicError, fromNative } from './errors.ts';
import type { FormatName, FormatString } from './format-types.ts';
import type { NativeEncodeOptions, NativeFormat } from './native/contract.ts';
import { native } from './native/load.ts';
import {
  booleanOption,
  choiceOption,
  functionOption,
  integerOption,
  openOptions,
  optionError,
} from './options.ts';

const ROUNDING_MODES = [
  'nearestEven',
  'towardPositive',
  'towardNegative',
  'towardZero',
  'stochastic',
  'stochasticEqual',
  'nearestTiesToZero',
  'nearestTiesAway',
  'nearestTiesToOdd',
  'toOdd',
  'randomDirected',
] as const;
const REMAINDERS = ['drop', 'centre', 'nearestEven', 'nearestTiesToOdd'] as const;

/** How a value between two neighbours of a format becomes one of them. */
export type RoundingMode = (typeof ROUNDING_MODES)[number];

/** Stochastic rounding with few random bits, as hardware does it. */
export interface StochasticRounding {
  mode: 'stochastic';
  /** Random bits that are compared: 1 to 32 (32). */
  bits?: number;
  /** What becomes of the part of the distance that the bits do not resolve ('drop': biased toward zero by up to 2^-bits). */
  remainder?: (typeof REMAINDERS)[number];
}

/** A rounding mode by its name, or stochastic rounding with its details. */
export type Rounding = RoundingMode | StochasticRounding;

/** What rounding into a format does where the format leaves a choice. */
export interface RoundingOptions {
  /** 'nearestEven' unless said. */
  rounding?: Rounding;
  /**
   * Values beyond the largest: become it ('saturate'); become infinity or NaN as IEEE 754 says ('ieee'); wrap around as integers do ('wrap'). Floats of
   * 16 bits and more overflow as IEEE 754 says unless told otherwise, all other formats saturate.
   */
  overflow?: 'saturate' | 'ieee' | 'wrap';
  /** NaN in a format without NaN: `ERR_NAN` ('throw', the default), the code nearest to zero, or the largest number of its sign. */
  nan?: 'throw' | 'zero' | 'max';
  /** Whether an infinity that would saturate becomes NaN instead, as ONNX asks of e4m3fnuz. */
  infinityIsNan?: boolean;
}

/** Options of {@link Format.encode}. */
export interface EncodeOptions extends RoundingOptions {
  /** The random number in [0, 1) of the random modes; `Math.random` unless given. */
  random?: () => number;
}

/** Which elements share a scale. */
export interface ScaleDescription {
  /** Its format. */
  format: string;
  bits: number;
  per: 'tensor' | 'channel' | 'group' | 'block';
  /** The elements of a group. */
  size?: number;
  /** The rows and columns of a block. */
  rows?: number;
  columns?: number;
}

/** What {@link describe} tells. */
export interface FormatDescription {
  /** The canonical name. */
  name: string;
  /** The name of its element format: what one code means. */
  element: string;
  family: string;
  /** Bits of a code. */
  bits: number;
  /** Bits of an element with its share of the scales of groups. */
  bitsPerElement: number;
  /** The fields of a code, from the most significant bit. */
  fields: readonly { name: string; bits: number }[];
  /** The smallest and the largest finite value, before scaling. */
  range: readonly [number, number];
  /** The smallest value above 0. */
  minPositive: number;
  /** The smallest normal number; `null` for formats that are no floats. */
  minNormal: number | null;
  /** The distance from 1 to the next larger value; `null` where 1 is no value or the largest. */
  epsilon: number | null;
  /** The number of codes: 2^bits. */
  codes: number;
  /** The number of distinct finite values. */
  distinctValues: number;
  nanCodes: number;
  infinityCodes: number;
  /** Every value with its code, rising; `null` where there are more than 64. */
  values: readonly { value: number; code: number }[] | null;
  /** The scales in words; empty where there are none. */
  scales: string;
  scale: ScaleDescription | null;
  superScale: ScaleDescription | null;
  /** What moves codes off zero. */
  zeroPoint:
    | { kind: 'constant'; value: number }
    | { kind: 'point' | 'minimum'; format: string; bits: number }
    | null;
  /** Bits that choose a code book for each group. */
  selectorBits: number;
  /** The elements and bytes of a record, for formats such as those of GGUF that are stored as records. */
  record: { elements: number; bytes: number } | null;
  /** Whether the records are those of GGUF files. */
  isGguf: boolean;
}

/** @internal */
export const ROUNDING_OPTIONS = ['rounding', 'overflow', 'nan', 'infinityIsNan'] as const;

/**
 * Reads the options that say how values are rounded.
 * @internal
 */
export function roundingOptions(
  options: Readonly<Record<string, unknown>>,
  format?: Format,
): NativeEncodeOptions {
  const result: NativeEncodeOptions = {};
  const { rounding } = options;
  if (typeof rounding === 'object' && rounding !== null) {
    const details = openOptions(rounding, 'rounding', ['mode', 'bits', 'remainder']);
    result.rounding = choiceOption(details, 'mode', ['stochastic']) ?? 'stochastic';
    const bits = integerOption(details, 'bits', 1, 32);
    if (bits !== undefined) result.randomBits = bits;
    const remainder = choiceOption(details, 'remainder', REMAINDERS);
    if (remainder !== undefined) result.remainder = remainder;
  } else {
    const mode = choiceOption(options, 'rounding', ROUNDING_MODES);
    if (mode !== undefined) result.rounding = mode;
  }
  const overflow = choiceOption(options, 'overflow', ['saturate', 'ieee', 'wrap']);
  if (overflow !== undefined) result.overflow = overflow;
  else if (format !== undefined && hasUsualInfinities(format)) result.overflow = 'ieee';
  const nan = choiceOption(options, 'nan', ['throw', 'zero', 'max']);
  if (nan !== undefined) result.nan = nan;
  const infinityIsNan = booleanOption(options, 'infinityIsNan');
  if (infinityIsNan !== undefined) result.infinityIsNan = infinityIsNan;
  return result;
}

/** f16, bf16, tf32, f32 and the like, which overflow to infinity everywhere else; formats of fewer bits are for saturating arithmetic. */
function hasUsualInfinities(format: Format): boolean {
  const { family, bits, infinityCodes, scale } = format.describe();
  return family === 'float' && bits >= 16 && infinityCodes > 0 && scale === null;
}

/**
 * Calls native code and names its errors.
 * @internal
 */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}

const CONSTRUCT = Symbol('Format');
let nativeOf: (format: Format) => NativeFormat;

/**
 * A number format as a value. Made by {@link parseFormat}; immutable, and free to be shared.
 *
 * @example
 * ```ts
 * const e4m3 = parseFormat('e4m3fn');
 * e4m3.encode(0.3); // 42
 * e4m3.decode(42); // 0.3125
 * e4m3.encode(1000); // 126, the code of 448; with { overflow: 'ieee' } 127, NaN
 * ```
 */
export class Format<F extends string = string> {
  /** The canonical name: `parseFormat(format.name)` is the same format. */
  readonly name: string;
  /** Bits of a code. */
  readonly bits: number;
  /** Bits of an element with its share of the scales of groups. */
  readonly bitsPerElement: number;
  readonly #native: NativeFormat;
  readonly #description: FormatDescription;
  /** The string that it was made of, for types only. */
  declare protected readonly literal: F;

  static {
    nativeOf = (format) => format.#native;
  }

  /** @internal */
  constructor(key: typeof CONSTRUCT, format: NativeFormat) {
    if (key !== CONSTRUCT) throw new TypeError('formats are made by parseFormat');
    const description: FormatDescription = JSON.parse(format.describe());
    this.#native = format;
    this.#description = deepFreeze(description);
    this.name = description.name;
    this.bits = description.bits;
    this.bitsPerElement = description.bitsPerElement;
    Object.freeze(this);
  }

  /**
   * The value of a code, without scale.
   *
   * @param code - 0 to 2^bits - 1
   */
  decode(code: number): number {
    if (!Number.isInteger(code) || code < 0 || code >= this.#description.codes) {
      throw optionError('code', `an integer from 0 to ${this.#description.codes - 1}`, code);
    }
    return this.#native.decode(code);
  }

  /**
   * The code of a value, rounded once from the f64 that it is, without scale.
   *
   * @throws DyadicError `ERR_NAN` for NaN where the format has none and `nan` is 'throw'.
   */
  encode(value: number, options?: EncodeOptions): number {
    if (typeof value !== 'number') throw optionError('value', 'a number', value);
    const raw = openOptions(options, 'encode', [...ROUNDING_OPTIONS, 'random']);
    const draw = functionOption<() => number>(raw, 'random') ?? Math.random;
    const rounding = roundingOptions(raw, this);
    let random = 0;
    if (rounding.rounding?.startsWith('stochastic') || rounding.rounding === 'randomDirected') {
      const drawn = draw();
      if (!(drawn >= 0 && drawn < 1))
        throw optionError('random', 'a function that returns numbers in [0, 1)', drawn);
      random = Math.floor(drawn * 2 ** 32);
    }
    return callNative(() => this.#native.encode(value, rounding, random));
  }

  /** The facts about this format. */
  describe(): FormatDescription {
    return this.#description;
  }

  toString(): string {
    return this.name;
  }
}

// A method by its name would need a type that `isolatedDeclarations` cannot give it.
Object.defineProperty(Format.prototype, inspect.custom, {
  value(this: Format) {
    return `Format(${this.name})`;
  },
});

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}

/** Formats by the string that they were made of: programs name the same few again and again. */
const known = new Map<string, Format>();
const KNOWN_LIMIT = 256;

/**
 * Reads a format string: `element[:gN|channel|tensor|RxC][:scale][:zp]`, or a named block format such as `nvfp4`, `mxfp4` or `q4_k` with any
 * of these parts behind it.
 *
 * Elements are integers (`int4`, symmetric; `uint3`; `int8full`, with -128), floats (`e4m3fn`, `e5m2`, `e2m1`, `bf16`, … any `eXmY`), fixed
 * point (`q4.4`), code books (`nf4`), posits, ternary, binary and more; the long names of ml_dtypes (`float8_e4m3fn`) are understood. A scale is
 * `f32`, `f16`, `bf16`, `e8m0`, `e4m3fn`, `ue4m3`, `ue5m3` or `none`; `zp` gives integers a zero point, `min` a minimum.
 *
 * @throws DyadicError `ERR_FORMAT_SYNTAX`; the message says what was understood and what was expected.
 * @example
 * ```ts
 * parseFormat('int4:g128:f16').bitsPerElement; // 4.125
 * ```
 */
export function parseFormat<const F extends FormatString>(format: F | Format<F>): Format<F>;
export function parseFormat(format: string | Format): Format {
  if (format instanceof Format) return format;
  if (typeof format !== 'string') throw optionError('format', 'a format string', format);
  let parsed = known.get(format);
  if (parsed === undefined) {
    const { NativeFormat } = native();
    parsed = new Format(
      CONSTRUCT,
      callNative(() => new NativeFormat(format)),
    );
    if (known.size >= KNOWN_LIMIT) known.clear();
    known.set(format, parsed);
  }
  return parsed;
}

/**
 * What is known of a format: bit layout, bits per element, range, smallest values, number of codes, all values where there are few.
 *
 * @example
 * ```ts
 * describe('e2m1').values?.map(({ value }) => value); // [-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6]
 * ```
 */
export function describe(format: FormatString | Format): FormatDescription {
  return parseFormat(format).describe();
}

/** The names of all listed formats. Any other string of the grammar is a format too. */
export function formatNames(): string[] {
  return callNative(() => native().formatNames());
}

/** @internal */
export function nativeFormat(format: Format): NativeFormat {
  return nativeOf(format);
}

/** Options of {@link lMul}. */
export interface LMulOptions {
  /** Mantissa bits, to which operands are rounded first: 1 to 23 (23). */
  mantissaBits?: number;
  /** What happens where the mantissas add up to 2: the 'carry' goes into the exponent as in an integer adder, or the paper's formula as it stands. */
  variant?: 'carry' | 'linear';
}

/**
 * L-Mul: a multiplication made of one integer addition (Luo and Sun, "Addition is All You Need", 2024), in f32. An emulation for studies of
 * accuracy: it is slower than a multiplication.
 *
 * @param out - where the products of arrays go; a new array unless given
 * @throws DyadicError `ERR_SHAPE` where arrays have different lengths.
 * @example
 * ```ts
 * lMul(1.5, 2.5); // 4.125 instead of 3.75
 * lMul(Float32Array.of(1, 2), Float32Array.of(3, 4), { mantissaBits: 3 });
 * ```
 */
export function lMul(a: number, b: number, options?: LMulOptions): number;
export function lMul(
  a: Float32Array,
  b: Float32Array,
  options?: LMulOptions,
  out?: Float32Array,
): Float32Array;
export function lMul(
  a: number | Float32Array,
  b: number | Float32Array,
  options?: LMulOptions,
  out?: Float32Array,
): number | Float32Array {
  const raw = openOptions(options, 'lMul', ['mantissaBits', 'variant']);
  const bits = integerOption(raw, 'mantissaBits', 1, 23) ?? 23;
  const linear = choiceOption(raw, 'variant', ['carry', 'linear']) === 'linear';
  if (typeof a === 'number' && typeof b === 'number') {
    return callNative(() => native().lMul(a, b, bits, linear));
  }
  if (!(a instanceof Float32Array)) throw optionError('a', 'a number or a Float32Array, as b', a);
  if (!(b instanceof Float32Array)) throw optionError('b', 'a number or a Float32Array, as a', b);
  const target = out ?? new Float32Array(a.length);
  if (a.length !== b.length || a.length !== target.length) {
    throw new DyadicError(
      'ERR_SHAPE',
      `lMul: arrays of ${a.length} and ${b.length} elements into one of ${target.length}; expected equal lengths`,
    );
  }
  callNative(() => native().lMulArrays(a, b, bits, linear, target));
  return target;
}

export type { FormatName, FormatString };
