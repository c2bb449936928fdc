export { type EmulateOptions, Emulator, emulate, type Operand } from './emulate.ts';
export { DyadicError, ERROR_CODES, type ErrorCode } from './errors.ts';
export type { DataOf, FormatName, FormatString, TensorData } from './format-types.ts';
export {
  describe,
  type EncodeOptions,
  Format,
  type FormatDescription,
  formatNames,
  type LMulOptions,
  lMul,
  parseFormat,
  type Rounding,
  type RoundingMode,
  type RoundingOptions,
  type ScaleDescription,
  type StochasticRounding,
} from './formats.ts';
export {
  type AnalyseOptions,
  type Analysis,
  analyse,
  compareFormats,
  type ErrorStats,
  type FitPowerOptions,
  type Fitted,
  type FloatSplit,
  type FormatErrors,
  fitPower,
  type Granularity,
  type PqtNoiseOptions,
  pqtNoise,
  type RecommendOptions,
  recommendFloatFormat,
  type ShapeOptions,
  searchBinaryPoint,
  type Values,
  wasserstein1,
} from './laboratory.ts';
export type { Chat, ChatOptions } from './llm/chat.ts';
export {
  type ActiveKernel,
  activeKernels,
  type Doctor,
  doctor,
  inspectModel,
  type ModelFile,
  type TensorInfo,
} from './llm/files.ts';
export { LanguageModel } from './llm/language-model.ts';
export type { TextStream } from './llm/stream.ts';
export type {
  Benchmark,
  BenchmarkOptions,
  FinishReason,
  GenerateOptions,
  Generation,
  LoadOptions,
  MaskLogits,
  Message,
  ModelInfo,
  Perplexity,
  PerplexityOptions,
  Piece,
  Prompt,
  Sample,
  SamplingOptions,
  Timings,
  TokenLogprob,
  TokenLogprobs,
  Usage,
} from './llm/types.ts';
export { cacheDirectory } from './models/cache.ts';
export type { OnProgress, Progress } from './models/progress.ts';
export {
  type ListedModel,
  listModels,
  pullModel,
  type ResolveOptions,
  resolveModel,
} from './models/resolve.ts';
export * from './ops.ts';
export {
  type AllocateBitsOptions,
  allocateBits,
  type BitAllocation,
  type BitChoice,
} from './quantize/allocate.ts';
export {
  type Cost,
  type DigitEncoding,
  type EstimateCostOptions,
  estimateCost,
  type ModelScaling,
  type NodeCost,
  type PartialProductOptions,
  type PartialProducts,
  partialProductStats,
  type ScaleModelOptions,
  scaleModel,
} from './quantize/analysis.ts';
export {
  type IntegerOnlyModel,
  type NetworkImages,
  type QuantizeIntegerOnlyOptions,
  quantizeIntegerOnly,
  type Sensitivity,
  type WidthBudgets,
} from './quantize/integer-only.ts';
export {
  type AnalyseIntegerGraphOptions,
  analyseIntegerGraph,
  type IntegerGraphAnalysis,
  type LayerError,
} from './quantize/layers.ts';
export { type RawArray, readNpy, readNpyBytes, writeNpy } from './tensor/npy.ts';
export {
  readSafetensors,
  SafetensorsFile,
  type SafetensorsInfo,
  type SafetensorsOptions,
  writeSafetensors,
} from './tensor/safetensors.ts';
export {
  type ConvertOptions,
  type NestedNumbers,
  type SliceRange,
  Tensor,
  type TensorMessage,
  type TensorOptions,
  type TensorSource,
} from './tensor.ts';
export type {
  Classification,
  ClassifyBatchOptions,
  ClassifyOptions,
  ImageSource,
  PixelImage,
  VisionDescription,
  VisionFile,
  VisionInput,
  VisionLoadOptions,
  VisionNode,
  VisionPrecision,
} from './vision/types.ts';
export { VisionTransformer } from './vision/vision-transformer.ts';
