import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import type { NativeOperand } from '../native/ops-contract.ts';
import { choiceOption, openOptions } from '../options.ts';
import { Tensor } from '../tensor.ts';
import { float32, type Operand, outputOf } from './arrays.ts';
import { mapTensor } from './tensors.ts';

/**
 * How exact a function is. `'1ulp'`: the exponential in it is within one unit in the last place; `'fast'`: within 2.2; `'bf16'`: within
 * 2^-11, for results that are rounded to bfloat16. `docs/numerics.md` has the largest errors over all floats.
 */
export type Accuracy = (typeof ACCURACIES)[number];

const ACCURACIES = ['1ulp', 'fast', 'bf16'] as const;

/** Functions of one argument, by the numbers that the native half knows them by. */
const FUNCTIONS = [
  'exp',
  'exp2',
  'log',
  'sigmoid',
  'tanh',
  'silu',
  'gelu',
  'geluTanh',
  'reluSquared',
  'softplus',
  'rsqrt',
  'sin',
  'cos',
] as const;

/** Options of an element-wise function. */
export interface FunctionOptions {
  /** `'1ulp'` where absent. */
  accuracy?: Accuracy;
  /** Where the result goes, which may be the argument itself; a new array where absent. */
  out?: Float32Array;
}

/** A function of every element of an array. */
export interface ElementwiseFunction {
  (x: Float32Array, options?: FunctionOptions): Float32Array;
  /** Of a tensor: a tensor of the same format. */
  <F extends string>(x: Tensor<F>, options?: Omit<FunctionOptions, 'out'>): Tensor<F>;
}

function elementwise(name: (typeof FUNCTIONS)[number]): ElementwiseFunction {
  const code = FUNCTIONS.indexOf(name);
  function call(x: Float32Array, options?: FunctionOptions): Float32Array;
  function call<F extends string>(x: Tensor<F>, options?: FunctionOptions): Tensor<F>;
  function call(x: Operand, options?: FunctionOptions): Operand {
    const raw = openOptions(options, name, x instanceof Tensor ? ['accuracy'] : ['accuracy', 'out']);
    const accuracy = choiceOption(raw, 'accuracy', ACCURACIES) ?? '1ulp';
    const all = code + FUNCTIONS.length * ACCURACIES.indexOf(accuracy);
    const run = (from: NativeOperand, to: NativeOperand) =>
      callNative(() => native().applyFunction(all, from, to));
    if (x instanceof Tensor) return mapTensor(x, run);
    const out = outputOf(raw.out, float32(x, 'x').length);
    run(x, out);
    return out;
  }
  return call;
}

/** `e^x` */
export const exp: ElementwiseFunction = elementwise('exp');
/** `2^x` */
export const exp2: ElementwiseFunction = elementwise('exp2');
/** The natural logarithm. */
export const log: ElementwiseFunction = elementwise('log');
/** `1 / (1 + e^-x)` */
export const sigmoid: ElementwiseFunction = elementwise('sigmoid');
/** The hyperbolic tangent. */
export const tanh: ElementwiseFunction = elementwise('tanh');
/** `x * sigmoid(x)`, also called swish. */
export const silu: ElementwiseFunction = elementwise('silu');
/** `x * Phi(x)`, Phi the normal distribution: the exact form of GELU. */
export const gelu: ElementwiseFunction = elementwise('gelu');
/** `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`: the approximation that GPT-2 has. */
export const geluTanh: ElementwiseFunction = elementwise('geluTanh');
/** `max(0, x)^2` */
export const reluSquared: ElementwiseFunction = elementwise('reluSquared');
/** `ln(1 + e^x)` */
export const softplus: ElementwiseFunction = elementwise('softplus');
/** `1 / sqrt(x)` */
export const rsqrt: ElementwiseFunction = elementwise('rsqrt');
/** The sine of radians, of any size: at most 1.6 units in the last place from the exact value. */
export const sin: ElementwiseFunction = elementwise('sin');
/** The cosine of radians, the same. */
export const cos: ElementwiseFunction = elementwise('cos');
