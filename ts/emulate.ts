import { inspect } from 'node:util';
import { DyadicError } from './errors.ts';
import {
  callNative,
  type Format,
  type FormatString,
  nativeFormat,
  parseFormat,
  ROUNDING_OPTIONS,
  type RoundingOptions,
  roundingOptions,
} from './formats.ts';
import type { NativeEmulator } from './native/laboratory-contract.ts';
import { native } from './native/load.ts';
import { integerOption, openOptions, optionError } from './options.ts';
import { checkBuffer } from './tensor/source.ts';

/** Options of {@link emulate}. Overflow is that of IEEE 754 ('ieee') unless said. */
export interface EmulateOptions extends RoundingOptions {
  /** Of the random modes: an integer from 0 to 2^53 - 1 (0). */
  seed?: number;
}

/** A number, or one for each element of the result. */
export type Operand = number | Float32Array;

/** An array where one of the operands is one, else a number. */
export type Broadcast<T extends Operand> = [T] extends [number] ? number : Float32Array;

const CONSTRUCT = Symbol('Emulator');
const NONE = new Float32Array(0);

/**
 * Numeric code in a format: every result is that of exact arithmetic, rounded once. Made by {@link emulate}.
 *
 * Operands are f32 and are taken as they are: {@link chop} what the emulated machine would hold in the format. With random modes each operation draws
 * bits of its own, and a program gives the same results each time.
 */
export class Emulator {
  /** The format. */
  readonly format: Format;
  readonly #native: NativeEmulator;

  /** @internal */
  constructor(key: typeof CONSTRUCT, format: Format, emulator: NativeEmulator) {
    if (key !== CONSTRUCT) throw new TypeError('emulators are made by emulate');
    this.format = format;
    this.#native = emulator;
  }

  /** Rounds each element. `out` may be the array itself; a new array unless given. */
  chop<T extends Operand>(a: T, out?: Float32Array): Broadcast<T> {
    return this.#apply('chop', [a], out);
  }

  /** a + b. */
  add<A extends Operand, B extends Operand>(a: A, b: B, out?: Float32Array): Broadcast<A | B> {
    return this.#apply('add', [a, b], out);
  }

  /** a - b. */
  subtract<A extends Operand, B extends Operand>(a: A, b: B, out?: Float32Array): Broadcast<A | B> {
    return this.#apply('subtract', [a, b], out);
  }

  /** a × b. */
  multiply<A extends Operand, B extends Operand>(a: A, b: B, out?: Float32Array): Broadcast<A | B> {
    return this.#apply('multiply', [a, b], out);
  }

  /** a ÷ b. */
  divide<A extends Operand, B extends Operand>(a: A, b: B, out?: Float32Array): Broadcast<A | B> {
    return this.#apply('divide', [a, b], out);
  }

  /** √a. */
  sqrt<T extends Operand>(a: T, out?: Float32Array): Broadcast<T> {
    return this.#apply('sqrt', [a], out);
  }

  /** a × b + c, rounded once. */
  fma<A extends Operand, B extends Operand, C extends Operand>(
    a: A,
    b: B,
    c: C,
    out?: Float32Array,
  ): Broadcast<A | B | C> {
    return this.#apply('fma', [a, b, c], out);
  }

  /** Rounds one number straight from f64. */
  round(value: number): number {
    if (typeof value !== 'number') throw optionError('value', 'a number', value);
    return callNative(() => this.#native.round(value));
  }

  /** The sum from the first to the last element, each partial sum rounded. */
  sum(values: Float32Array): number {
    return callNative(() => this.#native.sum(array('values', values)));
  }

  /** The dot product, in order, each product and each partial sum rounded; with `fused` only the sums. */
  dot(a: Float32Array, b: Float32Array, options?: { fused?: boolean }): number {
    const raw = openOptions(options, 'dot', ['fused']);
    return callNative(() => this.#native.dot(array('a', a), array('b', b), raw.fused === true));
  }

  #apply<T extends Operand>(
    operation: string,
    operands: readonly Operand[],
    out?: Float32Array,
  ): Broadcast<T> {
    const names = ['a', 'b', 'c'];
    const arrays = operands.map((operand, k) =>
      typeof operand === 'number' ? Float32Array.of(operand) : array(names[k] ?? '', operand),
    );
    const lengths = operands.flatMap((operand) => (typeof operand === 'number' ? [] : [operand.length]));
    const length = lengths[0] ?? 1;
    if (out !== undefined) array('out', out);
    if (lengths.some((other) => other !== length) || (out !== undefined && out.length !== length)) {
      const into = out === undefined ? '' : ` into one of ${out.length}`;
      throw new DyadicError('ERR_SHAPE', `${operation}: arrays of ${lengths.join(' and ')} elements${into}`);
    }
    const [a = NONE, b = NONE, c = NONE] = arrays;
    // Native code must not write what it reads.
    const apart = out !== undefined && arrays.every(({ buffer }) => buffer !== out.buffer);
    const target = apart ? out : new Float32Array(length);
    callNative(() => this.#native.apply(operation, a, b, c, target));
    if (out !== undefined && !apart) out.set(target);
    const result = lengths.length === 0 && out === undefined ? (target[0] ?? 0) : (out ?? target);
    return result as Broadcast<T>;
  }
}

Object.defineProperty(Emulator.prototype, inspect.custom, {
  value(this: Emulator): string {
    return `Emulator(${this.format.name})`;
  },
});

function array(name: string, value: unknown): Float32Array {
  if (!(value instanceof Float32Array)) throw optionError(name, 'a Float32Array or a number', value);
  checkBuffer(value, name);
  return value;
}

/**
 * A machine that computes in a format: what numeric code would give on hardware that has only that format.
 *
 * A format with scales rounds the f32 results of an operation as one row.
 *
 * @throws DyadicError `ERR_FORMAT_SYNTAX`, `ERR_OPTION`; `ERR_FORMAT_UNSUPPORTED` for formats that hold no real numbers.
 * @example
 * ```ts
 * const half = emulate('f16', { rounding: 'stochastic', seed: 1 });
 * let heat = half.chop(start);
 * const change = half.multiply(half.subtract(neighbours, heat), 0.1);
 * heat = half.add(heat, change);
 * emulate('bf16').sum(Float32Array.from({ length: 2000 }, (_, k) => 1 / (k + 1))); // 5.0625: it stands still at k = 65
 * ```
 */
export function emulate(format: FormatString | Format, options?: EmulateOptions): Emulator {
  const raw = openOptions(options, 'emulate', [...ROUNDING_OPTIONS, 'seed']);
  const parsed: Format = parseFormat(format);
  const seed = integerOption(raw, 'seed', 0, Number.MAX_SAFE_INTEGER) ?? 0;
  const rounding = { overflow: 'ieee' as const, ...roundingOptions(raw), seed };
  const { NativeEmulator } = native();
  return new Emulator(
    CONSTRUCT,
    parsed,
    callNative(() => new NativeEmulator(nativeFormat(parsed), rounding)),
  );
}
