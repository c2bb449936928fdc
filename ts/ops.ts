export type { Operand } from './ops/arrays.ts';
export {
  type AttentionOptions,
  attention,
  type LMulOptions,
  lMulDot,
  type RopeOptions,
  rope,
} from './ops/attention.ts';
export {
  fitVonMisesFisher,
  logBesselI,
  logBesselK,
  type VonMisesFisher,
  vonMisesFisherLogDensity,
} from './ops/bessel.ts';
export {
  type Accuracy,
  cos,
  type ElementwiseFunction,
  exp,
  exp2,
  type FunctionOptions,
  gelu,
  geluTanh,
  log,
  reluSquared,
  rsqrt,
  sigmoid,
  silu,
  sin,
  softplus,
  tanh,
} from './ops/functions.ts';
export {
  type Activations,
  type LinearOptions,
  linear,
  linearAsync,
  PackedWeights,
  type PackOptions,
  packWeights,
} from './ops/linear.ts';
export { addRmsNorm, l2Norm, layerNorm, type NormOptions, rmsNorm } from './ops/norm.ts';
export {
  crossEntropy,
  logSoftmax,
  logSumExp,
  type SoftmaxAlgorithm,
  type SoftmaxOptions,
  softmax,
  softmaxAsync,
  type TensorSoftmaxOptions,
  topK,
} from './ops/softmax.ts';
