import { DyadicError } from './errors.ts';
import { didYouMean } from './spelling.ts';

/**
 * What may be said of a wrong value in a message: short, and never more than one line.
 * @internal
 */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (value === null || typeof value !== 'object')
    return typeof value === 'function' ? 'a function' : String(value);
  return Array.isArray(value)
    ? `an array of ${value.length}`
    : `an object (${value.constructor?.name ?? 'Object'})`;
}

/**
 * `ERR_OPTION` with a message of one form: option, what was expected, what came.
 * @internal
 */
export function optionError(name: string, expected: string, value: unknown): DyadicError {
  return new DyadicError('ERR_OPTION', `${name}: expected ${expected}, got ${show(value)}`);
}

/** The options of a call as they came: any object, of which nothing is known yet. */
type Raw = Readonly<Record<string, unknown>>;

/**
 * Checks that `options` is an object with none but the allowed keys and returns it for reading. `undefined` counts as no options.
 * @internal
 */
export function openOptions(options: unknown, call: string, allowed: readonly string[]): Raw {
  if (options === undefined) return {};
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw optionError(`the options of ${call}`, 'an object', options);
  }
  for (const key of Object.keys(options)) {
    if (!allowed.includes(key)) {
      throw new DyadicError('ERR_OPTION', `${key}: not an option of ${call}${didYouMean(key, allowed)}`);
    }
  }
  return options as Raw;
}

/** @internal */
export function integerOption(options: Raw, name: string, min: number, max: number): number | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw optionError(name, `an integer from ${min} to ${max}`, value);
  }
  return value;
}

/**
 * A finite number in `[min, max]`.
 * @internal
 */
export function numberOption(options: Raw, name: string, min: number, max: number): number | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw optionError(name, `a number from ${min} to ${max}`, value);
  }
  return value;
}

/** @internal */
export function booleanOption(options: Raw, name: string): boolean | undefined {
  const value = options[name];
  if (value === undefined || typeof value === 'boolean') return value;
  throw optionError(name, 'true or false', value);
}

/** @internal */
export function stringOption(options: Raw, name: string): string | undefined {
  const value = options[name];
  if (value === undefined || typeof value === 'string') return value;
  throw optionError(name, 'a string', value);
}

/** @internal */
export function choiceOption<const T extends string>(
  options: Raw,
  name: string,
  choices: readonly T[],
): T | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found === undefined)
    throw optionError(name, `one of ${choices.map((choice) => `'${choice}'`).join(', ')}`, value);
  return found;
}

/**
 * A callback; what it takes and gives is the caller's to know.
 * @internal
 */
export function functionOption<F extends (...args: never[]) => unknown>(
  options: Raw,
  name: string,
): F | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'function') throw optionError(name, 'a function', value);
  return value as F;
}

/**
 * An AbortSignal, told by its shape: test runners and `vm` contexts bring a class of their own.
 * @internal
 */
export function signalOption(options: Raw): AbortSignal | undefined {
  const value = options.signal;
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value) {
    return value as AbortSignal;
  }
  throw optionError('signal', 'an AbortSignal', value);
}
