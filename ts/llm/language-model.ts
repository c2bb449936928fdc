import { DyadicError, fromNative, throwIfAborted } from '../errors.ts';
import type { OnProgress } from '../models/progress.ts';
import { resolveModel } from '../models/resolve.ts';
import type { NativeModel } from '../native/contract.ts';
import { runJob } from '../native/hub.ts';
import { native } from '../native/load.ts';
import {
  booleanOption,
  functionOption,
  integerOption,
  openOptions,
  optionError,
  signalOption,
} from '../options.ts';
import { Chat, type ChatOptions } from './chat.ts';
import {
  present,
  type ReadGenerateOptions,
  readGenerateOptions,
  readIds,
  readLoadOptions,
  readMessages,
} from './request.ts';
import { type StreamEnd, TextStream } from './stream.ts';
import type {
  Benchmark,
  BenchmarkOptions,
  FinishReason,
  GenerateOptions,
  Generation,
  LoadOptions,
  Message,
  ModelInfo,
  Perplexity,
  PerplexityOptions,
  Prompt,
  Sample,
  Timings,
  TokenLogprobs,
  Usage,
} from './types.ts';

/** The JSON of a finished generation. */
interface NativeGeneration {
  samples: { text: string; ids: number[]; finishReason: FinishReason }[];
  usage: Usage;
  timings: Timings;
}

function readGeneration(
  result: string,
  promptTokens: Uint32Array,
  seed: number,
  logprobs: readonly (readonly TokenLogprobs[])[],
): Generation {
  const { samples: given, usage, timings }: NativeGeneration = JSON.parse(result);
  const samples = given.map(({ text, ids, finishReason }, i): Sample => {
    const measured = logprobs[i];
    const sample = { text, tokens: Uint32Array.from(ids), finishReason };
    return measured === undefined ? sample : { ...sample, logprobs: [...measured] };
  });
  const first = samples[0];
  if (first === undefined) throw new DyadicError('ERR_INTERNAL', 'a generation without samples');
  return { ...first, samples, promptTokens, seed, usage, timings };
}

// Models are made by `load` only; `private` does not bind JavaScript.
const MADE_BY_LOAD = Symbol('LanguageModel.load');

/**
 * A language model in memory. Its methods may be called at any time, also several at once: concurrent generations share their steps.
 * Nothing but {@link tokenize}, {@link detokenize} and {@link renderChat} works on the event loop's own thread.
 *
 * @example
 * ```ts
 * await using model = await LanguageModel.load('smollm2');
 * for await (const piece of model.generate('Once upon a time', { maxTokens: 64 })) process.stdout.write(piece.text);
 * ```
 * Without `await using` (plain JavaScript before Node 24):
 * ```js
 * const model = await LanguageModel.load('smollm2');
 * try {
 *   console.log((await model.generateText([{ role: 'user', content: 'Hello!' }])).text);
 * } finally {
 *   model.dispose();
 * }
 * ```
 */
export class LanguageModel implements AsyncDisposable, Disposable {
  /** What the file says of itself. */
  readonly info: Readonly<ModelInfo>;
  #native: NativeModel | undefined;

  private constructor(token: symbol, model: NativeModel) {
    if (token !== MADE_BY_LOAD)
      throw new DyadicError('ERR_OPTION', 'use LanguageModel.load() instead of new LanguageModel()');
    this.#native = model;
    this.info = Object.freeze(JSON.parse(model.info()));
  }

  /**
   * Loads a model: a known name such as `smollm2`, `hf:OWNER/REPO/FILE.gguf`, or the path of a GGUF file. What is not on this machine
   * yet is fetched first.
   *
   * @throws DyadicError `ERR_MODEL_NOT_FOUND`, `ERR_OPTION`, `ERR_ABORTED`, `ERR_NATIVE_LOAD`, those of {@link pullModel}, and
   * `ERR_GGUF_…` when the file is damaged or holds what is not supported.
   */
  static async load(model: string, options: LoadOptions = {}): Promise<LanguageModel> {
    const { native: nativeOptions, download, onProgress, signal } = readLoadOptions(options);
    const fetchOptions = present({ download, onProgress, signal });
    const path = await resolveModel(model, fetchOptions);
    throwIfAborted(signal);
    return runJob(
      (hub) => native().loadModel(hub, { path, ...nativeOptions }),
      { signal, onProgress },
      (_info, hub, job) => new LanguageModel(MADE_BY_LOAD, hub.takeModel(job)),
    );
  }

  #open(): NativeModel {
    if (this.#native === undefined) throw new DyadicError('ERR_DISPOSED', 'the model was disposed');
    return this.#native;
  }

  /**
   * Token ids of a text. No BOS is added. Synchronous, about a microsecond a token.
   *
   * @param options `special`: whether the text of special tokens, such as `<|im_end|>`, becomes that token (default true) or is taken
   * letter by letter.
   */
  tokenize(text: string, options: { special?: boolean } = {}): Uint32Array {
    const special = booleanOption(openOptions(options, 'tokenize', ['special']), 'special') ?? true;
    if (typeof text !== 'string') throw optionError('text', 'a string', text);
    try {
      return Uint32Array.from(this.#open().tokenize(text, special));
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Text of token ids. Bytes that are not UTF-8 become U+FFFD.
   *
   * @param options `special`: whether special tokens are written out (default true) or left out.
   */
  detokenize(ids: Uint32Array | readonly number[], options: { special?: boolean } = {}): string {
    const special = booleanOption(openOptions(options, 'detokenize', ['special']), 'special') ?? true;
    const checked = readIds(ids, 'ids', this.info.vocabularySize);
    try {
      return this.#open().detokenize(checked, special);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * The text that the model's chat template makes of a conversation.
   *
   * @param options `addGenerationPrompt`: whether it ends with the beginning of an answer (default true).
   * @throws DyadicError `ERR_OPTION`, `ERR_CHAT_TEMPLATE…` when the template fails.
   */
  renderChat(messages: readonly Message[], options: { addGenerationPrompt?: boolean } = {}): string {
    const raw = openOptions(options, 'renderChat', ['addGenerationPrompt']);
    if (!Array.isArray(messages)) throw optionError('messages', 'an array of messages', messages);
    const json = JSON.stringify(readMessages(messages));
    try {
      return this.#open().renderChat(json, booleanOption(raw, 'addGenerationPrompt') ?? true);
    } catch (error) {
      throw fromNative(error);
    }
  }

  #complete(text: string): Uint32Array {
    const ids = this.tokenize(text);
    const { addBos, bos } = this.info;
    // A chat template may write BOS itself.
    if (!addBos || typeof bos !== 'number' || ids[0] === bos) return ids;
    const withBos = new Uint32Array(ids.length + 1);
    withBos[0] = bos;
    withBos.set(ids, 1);
    return withBos;
  }

  #promptIds(prompt: Prompt): Uint32Array {
    let ids: Uint32Array;
    if (typeof prompt === 'string') ids = this.#complete(prompt);
    else if (Array.isArray(prompt) && typeof prompt[0] === 'object')
      ids = this.#complete(this.renderChat(prompt as readonly Message[]));
    else ids = readIds(prompt, 'prompt', this.info.vocabularySize);
    if (ids.length === 0) throw optionError('prompt', 'at least one token', prompt);
    return ids;
  }

  #start(
    ids: Uint32Array,
    options: ReadGenerateOptions,
    session?: number,
    onEnd?: (end: StreamEnd) => void,
  ): TextStream {
    const model = this.#open();
    const { native: request, maskLogits, signal } = options;
    throwIfAborted(signal);
    return new TextStream({
      start: (hub) => model.generate(hub, { prompt: ids, ...present({ session }), ...request }),
      finish: (result, logprobs) => readGeneration(result, ids, request.seed, logprobs),
      signal,
      mask:
        maskLogits === undefined ? undefined : { hook: maskLogits, vocabularySize: this.info.vocabularySize },
      onEnd,
    });
  }

  /**
   * Continues a prompt, streaming. Work begins with the call; options are checked before it returns.
   *
   * @throws DyadicError at once: `ERR_OPTION`, `ERR_DISPOSED`, and `ERR_ABORTED` if the signal has fired already. From the iterator:
   * `ERR_ABORTED`, `ERR_CONTEXT_LENGTH`, `ERR_DISPOSED`, and what `maskLogits` threw.
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): TextStream {
    return this.#start(this.#promptIds(prompt), readGenerateOptions(options, 'generate'));
  }

  /**
   * Continues a prompt and gives the whole answer. Rejects with the errors of {@link generate}.
   *
   * @example
   * ```ts
   * const { text, usage } = await model.generateText([{ role: 'user', content: 'Name three rivers.' }], { maxTokens: 100 });
   * ```
   */
  async generateText(prompt: Prompt, options: GenerateOptions = {}): Promise<Generation> {
    return this.#start(this.#promptIds(prompt), readGenerateOptions(options, 'generateText')).result();
  }

  /** Begins a conversation that keeps its KV cache from turn to turn. */
  chat(options: ChatOptions = {}): Chat {
    const model = this.#open();
    return new Chat(
      {
        contextLength: this.info.contextLength,
        encode: (messages) => this.#promptIds(messages),
        start: (ids, generateOptions, session, onEnd) => this.#start(ids, generateOptions, session, onEnd),
        openSession: () => model.openSession(),
        closeSession: (session) => model.closeSession(session),
      },
      options,
    );
  }

  /**
   * Logits of the token after the last id, one for each token of the vocabulary, before temperature and penalties.
   *
   * @param options `out`: where to put them, as long as the vocabulary; else a new array.
   * @throws DyadicError `ERR_OPTION`, `ERR_CONTEXT_LENGTH`, `ERR_ABORTED`, `ERR_DISPOSED`.
   */
  async logits(
    ids: Uint32Array | readonly number[],
    options: { out?: Float32Array; signal?: AbortSignal } = {},
  ): Promise<Float32Array> {
    const raw = openOptions(options, 'logits', ['out', 'signal']);
    const { vocabularySize } = this.info;
    const checked = readIds(ids, 'ids', vocabularySize);
    if (checked.length === 0) throw optionError('ids', 'at least one token', ids);
    const out = raw.out ?? new Float32Array(vocabularySize);
    if (!(out instanceof Float32Array) || out.length !== vocabularySize) {
      throw optionError('out', `a Float32Array of ${vocabularySize}`, out);
    }
    const model = this.#open();
    return runJob(
      (hub) => model.logits(hub, checked),
      { signal: signalOption(raw) },
      (_result, hub, job) => {
        hub.takeFloats(job, out);
        return out;
      },
    );
  }

  /**
   * How well the model predicts a text. The text is cut into chunks of `contextLength` tokens (a last, shorter one is left out), each
   * evaluated from an empty cache, without BOS; special tokens in it are not parsed.
   *
   * @throws DyadicError `ERR_OPTION`, also when the text is shorter than one chunk; `ERR_ABORTED`, `ERR_DISPOSED`.
   */
  async perplexity(
    text: string | Uint32Array | readonly number[],
    options: PerplexityOptions = {},
  ): Promise<Perplexity> {
    const raw = openOptions(options, 'perplexity', ['contextLength', 'chunks', 'onProgress', 'signal']);
    const contextLength =
      integerOption(raw, 'contextLength', 2, this.info.contextLength) ??
      Math.min(512, this.info.contextLength);
    const chunks = integerOption(raw, 'chunks', 0, 2 ** 31 - 1) ?? 0;
    const ids =
      typeof text === 'string'
        ? this.tokenize(text, { special: false })
        : readIds(text, 'text', this.info.vocabularySize);
    if (ids.length < contextLength) {
      throw new DyadicError(
        'ERR_OPTION',
        `text: expected at least one chunk of ${contextLength} tokens, got ${ids.length}`,
      );
    }
    const model = this.#open();
    return runJob(
      (hub) => model.perplexity(hub, ids, contextLength, chunks),
      { signal: signalOption(raw), onProgress: functionOption<OnProgress>(raw, 'onProgress') },
      (result): Perplexity => JSON.parse(result),
    );
  }

  /** Measures the speed of this model on this machine, each repetition from an empty cache. */
  async benchmark(options: BenchmarkOptions = {}): Promise<Benchmark> {
    const keys = ['threads', 'promptTokens', 'decodeTokens', 'repetitions', 'onProgress', 'signal'];
    const raw = openOptions(options, 'benchmark', keys);
    const { contextLength } = this.info;
    const threads = integerOption(raw, 'threads', 1, 1024) ?? 0;
    const promptTokens = integerOption(raw, 'promptTokens', 1, contextLength) ?? 128;
    const decodeTokens = integerOption(raw, 'decodeTokens', 1, contextLength) ?? 64;
    const repetitions = integerOption(raw, 'repetitions', 1, 1000) ?? 5;
    const model = this.#open();
    return runJob(
      (hub) => model.benchmark(hub, threads, promptTokens, decodeTokens, repetitions),
      { signal: signalOption(raw), onProgress: functionOption<OnProgress>(raw, 'onProgress') },
      (result): Benchmark => JSON.parse(result),
    );
  }

  /** Frees the model at once. What is running ends with `ERR_DISPOSED`; a second call does nothing. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }
}
