import type { OnProgress } from '../models/progress.ts';

/** One message of a conversation. */
export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
}

/**
 * What a model continues: a string is a raw completion (special tokens in it are parsed, BOS is added where the model wants one),
 * messages go through the model's chat template, ids are taken as they are.
 */
export type Prompt = string | readonly Message[] | Uint32Array | readonly number[];

/** Options of {@link LanguageModel.load}. */
export interface LoadOptions {
  /** Threads that this model may use of the process-wide pool, 1 to 1024. Default: `DYADIC_THREADS`, else all that the process may use. */
  threads?: number;
  /** Tokens that a sequence can hold, prompt and answer, 8 to 2^24. Default: the model's own, at most 4096. */
  contextLength?: number;
  /** Element type of the KV cache. Default `f16`. */
  kvType?: 'f16' | 'f32' | 'int8';
  /** Instruction set to use instead of the best one of this CPU (or of `DYADIC_ISA`), such as `scalar`, `avx2` or `avx512`. */
  isa?: string;
  /** Whether a model that is not in the cache may be fetched. Default true. */
  download?: boolean;
  /** Told of `download`, `verify`, `unpack` and `load`. */
  onProgress?: OnProgress;
  /** Stops the transfer or the load. */
  signal?: AbortSignal;
}

/** What a model file says of itself, and what loading it took. */
export interface ModelInfo {
  /** `llama`, `qwen2`, … */
  architecture: string;
  /** What the file calls itself, if it does. */
  name: string | null;
  vocabularySize: number;
  /** Tokens that a sequence can hold here. */
  contextLength: number;
  /** Tokens that the model was trained for. */
  trainedContextLength: number;
  embeddingLength: number;
  layers: number;
  heads: number;
  kvHeads: number;
  /** Weights. */
  parameters: number;
  /** Whether a raw completion begins with the BOS token. */
  addBos: boolean;
  /** Ids of the begin-of-sequence and end-of-sequence tokens, if the model has them. */
  bos: number | null;
  eos: number | null;
  /** Jinja source of the chat template in use: the file's own, or a usual one where it has none. */
  chatTemplate: string;
  /** Size of the file in bytes. */
  fileBytes: number;
  /** Memory that the packed weights take, in bytes. */
  residentBytes: number;
  /** Memory that 64 tokens take in the KV cache, in bytes. */
  kvPageBytes: number;
  /** Threads that it uses. */
  threads: number;
  /** Instruction set of its kernels. */
  isa: string;
  /** Names of the kernels that multiply its weights. */
  kernels: string[];
}

/** A token and its logarithmic probability (natural logarithm) under the model's own distribution, before temperature and penalties. */
export interface TokenLogprob {
  id: number;
  logprob: number;
}

/** A token of an answer with its log-probability and those of the most probable tokens at its place, best first. */
export interface TokenLogprobs extends TokenLogprob {
  top?: TokenLogprob[];
}

/**
 * Changes the logits of the next token in place before anything is sampled: set those of forbidden tokens to `-Infinity`. `ids` are the
 * tokens generated so far. May be asynchronous; the generation waits.
 */
export type MaskLogits = (logits: Float32Array, ids: Uint32Array) => void | PromiseLike<void>;

/** How tokens are chosen. The same options, seed included, give the same text on every machine. */
export interface SamplingOptions {
  /** 0 takes the most probable token. 0 to 100, default 0. */
  temperature?: number;
  /** Keep the k most probable tokens; 0 keeps all. Default 0. */
  topK?: number;
  /** Keep the most probable tokens that together reach this probability; 1 keeps all. 0 to 1, default 1. */
  topP?: number;
  /** Drop tokens less probable than this fraction of the best one. 0 to 1, default 0. */
  minP?: number;
  /** Keep the tokens whose information is closest to the entropy, up to this probability (Meister et al. 2022); 1 keeps all. 0 to 1. */
  typicalP?: number;
  /** Divides positive and multiplies negative logits of tokens in the window (Keskar et al. 2019); 1 is off. 0.1 to 10, default 1. */
  repetitionPenalty?: number;
  /** Tokens, of prompt and answer, that the penalties look back at. 0 to 2^31 - 1, default 64. */
  repetitionWindow?: number;
  /** Subtracted for each earlier occurrence. -10 to 10, default 0. */
  frequencyPenalty?: number;
  /** Subtracted once for a token that occurred. -10 to 10, default 0. */
  presencePenalty?: number;
  /** Added to the logits of these ids; `-Infinity` forbids one. */
  logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /** 0 to 2^53 - 1. Default: a random one when the temperature is above 0. It is part of the result. */
  seed?: number;
}

/** Options of {@link LanguageModel.generate} and {@link LanguageModel.generateText}. */
export interface GenerateOptions extends SamplingOptions {
  /**
   * Most tokens of the answer, 1 to 2^32 - 1. Default: until the model ends; a context that is full before is `ERR_CONTEXT_LENGTH`.
   */
  maxTokens?: number;
  /** Answers to the same prompt, 1 to 64; they share the prompt's work. Default 1. */
  samples?: number;
  /** Strings that end the answer and are not part of it, also when split over tokens. At most 64. */
  stop?: string | readonly string[];
  /** Give the logarithmic probability of each token and of the so many most probable alternatives, 0 to 100. */
  logprobs?: number;
  /** JSON schema that the answer, a JSON document, follows. */
  schema?: Readonly<Record<string, unknown>> | boolean;
  maskLogits?: MaskLogits;
  /** Go on when the model would end. Default false. */
  ignoreEndOfText?: boolean;
  /** Stops within one token, also during the prompt. */
  signal?: AbortSignal;
}

/** What a stream yields: the text that one token, or the last of several that make a character, adds. */
export interface Piece {
  text: string;
  /** The token. */
  id: number;
  /** Which of the answers it belongs to, from 0. */
  sample: number;
  /** Where `logprobs` was asked for. */
  logprob?: number;
  /** The most probable tokens at this place, best first, where `logprobs` was above 0. */
  top?: TokenLogprob[];
}

/** Why an answer ended: a stop string, `maxTokens`, or the model's own end. */
export type FinishReason = 'stop' | 'length' | 'endOfText';

/** One answer. */
export interface Sample {
  /** Without the stop string or the token that ended it. */
  text: string;
  /** With the token that ended it. */
  tokens: Uint32Array;
  finishReason: FinishReason;
  /** One for each token, where `logprobs` was asked for. */
  logprobs?: TokenLogprobs[];
}

/** Tokens counted over all answers. */
export interface Usage {
  promptTokens: number;
  /** Of the prompt's tokens, those that were in the KV cache already. */
  cachedPromptTokens: number;
  completionTokens: number;
}

/** Milliseconds, and tokens a second. */
export interface Timings {
  promptMs: number;
  decodeMs: number;
  promptTokensPerSecond: number;
  decodeTokensPerSecond: number;
}

/** The outcome of a generation; `text`, `tokens`, `finishReason` and `logprobs` are those of the first answer. */
export interface Generation extends Sample {
  /** All answers, as many as `samples` asked for. */
  samples: Sample[];
  /** The prompt as the model saw it. */
  promptTokens: Uint32Array;
  /** The seed that gives this result again. */
  seed: number;
  usage: Usage;
  timings: Timings;
}

/** Options of {@link LanguageModel.perplexity}. */
export interface PerplexityOptions {
  /** Tokens in a chunk, 2 to the model's context. Default 512. */
  contextLength?: number;
  /** Chunks to evaluate from the start of the text; 0 for all. Default 0. */
  chunks?: number;
  onProgress?: OnProgress;
  signal?: AbortSignal;
}

/** Perplexity of a text: exp of the mean negative log-likelihood of its tokens. */
export interface Perplexity {
  /** Over all predicted tokens of all chunks. */
  perplexity: number;
  /** Over those of the second half of each chunk, which see at least half a chunk of context. */
  perplexitySecondHalf: number;
  /** Tokens predicted, for the first figure. */
  tokens: number;
}

/** Options of {@link LanguageModel.benchmark}. */
export interface BenchmarkOptions {
  /** Default: those of the model. */
  threads?: number;
  /** Length of the prompt, 1 to the context. Default 128. */
  promptTokens?: number;
  /** Tokens decoded one by one from an empty cache. Default 64. */
  decodeTokens?: number;
  /** 1 to 1000, default 5. */
  repetitions?: number;
  onProgress?: OnProgress;
  signal?: AbortSignal;
}

/** Tokens a second, one figure for each repetition. */
export interface Benchmark {
  threads: number;
  prompt: number[];
  decode: number[];
}
