import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import { integerOption, optionError } from '../options.ts';
import { shapeError } from '../tensor/shape.ts';
import { float32, type Operand } from './arrays.ts';

/** A number, or an array of them. */
type Numbers = number | Float64Array;

function pair(second: boolean, v: Numbers, x: Numbers): Numbers {
  for (const [name, value] of Object.entries({ v, x })) {
    if (typeof value !== 'number' && !(value instanceof Float64Array))
      throw optionError(name, 'a number or a Float64Array', value);
  }
  const length = typeof v === 'number' ? (typeof x === 'number' ? 1 : x.length) : v.length;
  const spread = (value: Numbers) =>
    typeof value === 'number' ? new Float64Array(length).fill(value) : value;
  const out = new Float64Array(length);
  callNative(() => native().logBessel(second, spread(v), spread(x), out));
  return typeof v === 'number' && typeof x === 'number' ? (out[0] ?? Number.NaN) : out;
}

/**
 * `ln I_v(x)`, the logarithm of the modified Bessel function of the first kind, for orders and arguments of 0 and more: it neither overflows nor
 * underflows. Within 1e-12 of the larger of 1 and the result; NaN outside the domain.
 */
export function logBesselI(v: number, x: number): number;
/** Of pairs of elements; a number counts for all of them. */
export function logBesselI(v: number | Float64Array, x: number | Float64Array): Float64Array;
export function logBesselI(v: Numbers, x: Numbers): Numbers {
  return pair(false, v, x);
}

/** `ln K_v(x)`, of the second kind; as {@link logBesselI}. */
export function logBesselK(v: number, x: number): number;
/** Of pairs of elements; a number counts for all of them. */
export function logBesselK(v: number | Float64Array, x: number | Float64Array): Float64Array;
export function logBesselK(v: Numbers, x: Numbers): Numbers {
  return pair(true, v, x);
}

/** The von Mises-Fisher distribution of directions: `p(x) ~ e^(kappa mean·x)` on the unit sphere. */
export interface VonMisesFisher {
  /** The mean direction, of length 1. */
  mean: Float64Array;
  /** The concentration, 0 or more. */
  kappa: number;
}

/**
 * The von Mises-Fisher distribution of largest likelihood, in any number of dimensions (embeddings have thousands). Samples lie behind one
 * another; only their directions count.
 *
 * @throws DyadicError `ERR_SHAPE`; `ERR_SAMPLES` where a sample is zero, or all are the same or cancel.
 */
export function fitVonMisesFisher(samples: Operand, dimensions: number): VonMisesFisher {
  const values = float32(samples, 'samples');
  const mean = new Float64Array(integerOption({ dimensions }, 'dimensions', 2, 2 ** 24) ?? 0);
  return { kappa: callNative(() => native().fitVonMisesFisher(values, mean)), mean };
}

/**
 * The logarithm of the density at each direction of `x`, which must have length 1.
 *
 * @throws DyadicError `ERR_SHAPE` where `x` is no whole number of directions.
 */
export function vonMisesFisherLogDensity({ mean, kappa }: VonMisesFisher, x: Float32Array): Float64Array {
  float32(x, 'x');
  if (mean.length < 2 || x.length % mean.length !== 0)
    throw shapeError(`${x.length} numbers are no whole number of directions of ${mean.length} dimensions`);
  const out = new Float64Array(x.length / mean.length);
  callNative(() => native().vonMisesFisherLogDensity(mean, kappa, x, out));
  return out;
}
