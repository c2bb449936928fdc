import { fileURLToPath } from 'node:url';
import { aborted, DyadicError, throwIfAborted } from '../errors.ts';
import { type OnProgress, throttled } from '../models/progress.ts';
import type { NativeError } from '../native/contract.ts';
import { native } from '../native/load.ts';
import type { NativeStop, NativeVision } from '../native/vision-contract.ts';
import {
  choiceOption,
  functionOption,
  integerOption,
  openOptions,
  optionError,
  signalOption,
} from '../options.ts';
import { readImage } from './images.ts';
import type {
  Classification,
  ClassifyBatchOptions,
  ClassifyOptions,
  ImageSource,
  VisionDescription,
  VisionFile,
  VisionInput,
  VisionLoadOptions,
  VisionPrecision,
} from './types.ts';

/** Models that are in the package: what they are of, by precision. The floats are in the repository alone: the package stays small. */
const EMBEDDED: Readonly<Record<string, Readonly<Record<VisionPrecision, string>>>> = {
  fashion: {
    integer: 'models/fashion-vit/model.dyadic',
    float32: 'models/fashion-vit/model.safetensors',
  },
};

/** Images of one native call, and fewer where files are to be read: some milliseconds, so that libuv's threads are soon free and progress is seen. */
const IMAGES_A_CALL = 64;
const FILES_A_CALL = 16;

const MADE_BY_LOAD = Symbol('VisionTransformer.load');

function isNativeError(value: object): value is NativeError {
  return 'code' in value && 'message' in value;
}

function settled<T extends object>(value: T | NativeError): T {
  if (isNativeError(value)) throw new DyadicError(value.code, value.message);
  return value;
}

/** Softmax of logits, best class first. Ties keep the order of the labels. */
function ranked(
  logits: readonly number[],
  { labels, logitScale: [multiplier, shift] }: VisionDescription,
  top: number,
): Classification[] {
  const scale = multiplier / 2 ** shift;
  const most = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp((logit - most) * scale));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return labels
    .map((label, index) => ({ label, index, score: (exponentials[index] ?? 0) / sum }))
    .sort((a, b) => (logits[b.index] ?? 0) - (logits[a.index] ?? 0))
    .slice(0, top);
}

/** Loads a file; a name of the package goes before a path. */
async function loadNative(model: string, precision: VisionPrecision, threads: number): Promise<NativeVision> {
  const embedded = Object.hasOwn(EMBEDDED, model) ? EMBEDDED[model]?.[precision] : undefined;
  const path = embedded === undefined ? model : fileURLToPath(new URL(`../../${embedded}`, import.meta.url));
  const loaded = await native().loadVision(path, precision === 'float32', threads, null);
  if (!isNativeError(loaded)) return loaded;
  const { code, message } = loaded;
  if (embedded !== undefined && code === 'ERR_FILE_NOT_FOUND')
    throw new DyadicError(
      'ERR_MODEL_NOT_FOUND',
      `the ${precision} weights of '${model}' are not in the npm package: take ${embedded} from the repository of dyadic, and load it by its path`,
    );
  const hint =
    code === 'ERR_INTEGER_MAGIC' && path.endsWith('.safetensors')
      ? "; a network of floats is loaded with { precision: 'float32' }"
      : '';
  throw new DyadicError(code, message + hint);
}

/**
 * An image classifier of integers alone: between pixels and logits there is no floating-point operation, so the logits are the same on every
 * machine. Its methods may be called at any time, also several at once, and work off the event loop.
 *
 * A picture that has the model's own size and is grey is taken as it is. Any other is brought to luminance, its longer side to that of the model by
 * averages of areas, and put in the middle of black. The model `fashion` knows ten kinds of garments, bright on dark, as in Fashion-MNIST.
 *
 * With `precision: 'float32'` it is the network of floats that the integers were made of, on the same pictures, to compare with.
 *
 * @typeParam Logits what logits are: integers, or floats.
 * @example
 * ```ts
 * using vit = await VisionTransformer.load('fashion');
 * const [best] = await vit.classify('shirt.png');
 * console.log(best?.label, best?.score);
 * ```
 */
export class VisionTransformer<Logits extends Int32Array | Float32Array = Int32Array>
  implements Disposable, AsyncDisposable
{
  readonly #description: Readonly<VisionDescription>;
  readonly #makeLogits: (length: number) => Logits;
  /** Of each running call. */
  readonly #stops = new Set<NativeStop>();
  #native: NativeVision | undefined;

  private constructor(token: symbol, model: NativeVision, makeLogits: (length: number) => Logits) {
    if (token !== MADE_BY_LOAD)
      throw new DyadicError('ERR_OPTION', 'use VisionTransformer.load() instead of new VisionTransformer()');
    this.#native = model;
    this.#makeLogits = makeLogits;
    const description: VisionDescription = JSON.parse(model.describe());
    this.#description = description;
  }

  /**
   * Loads a model: `fashion`, which is in the package, or the path of a file that `dyadic quantize --integer-only` has written. With
   * `precision: 'float32'` the path is that of a safetensors file (`models/<name>/model.safetensors`), and `fashion` is found in a clone of the repository only.
   *
   * @throws DyadicError `ERR_OPTION`, `ERR_ABORTED`, `ERR_FILE_NOT_FOUND`, `ERR_MODEL_NOT_FOUND`, `ERR_NATIVE_LOAD`, and where the file is damaged
   * `ERR_INTEGER_…`, of floats `ERR_SAFETENSORS_…` and `ERR_VISION_…`.
   */
  static async load(
    model: string,
    options?: VisionLoadOptions & { precision?: 'integer' },
  ): Promise<VisionTransformer>;
  static async load(
    model: string,
    options: VisionLoadOptions & { precision: 'float32' },
  ): Promise<VisionTransformer<Float32Array>>;
  static async load(
    model: string,
    options?: VisionLoadOptions,
  ): Promise<VisionTransformer | VisionTransformer<Float32Array>>;
  static async load(
    model: string,
    options: VisionLoadOptions = {},
  ): Promise<VisionTransformer | VisionTransformer<Float32Array>> {
    if (typeof model !== 'string') throw optionError('model', "'fashion' or the path of a file", model);
    const raw = openOptions(options, 'VisionTransformer.load', ['precision', 'threads', 'signal']);
    const precision = choiceOption(raw, 'precision', ['integer', 'float32']) ?? 'integer';
    const threads = integerOption(raw, 'threads', 1, 1024) ?? 0;
    const signal = signalOption(raw);
    throwIfAborted(signal);
    const loaded = await loadNative(model, precision, threads);
    if (signal?.aborted) {
      loaded.dispose();
      throw aborted(signal);
    }
    return precision === 'float32'
      ? new VisionTransformer(MADE_BY_LOAD, loaded, (length) => new Float32Array(length))
      : new VisionTransformer(MADE_BY_LOAD, loaded, (length) => new Int32Array(length));
  }

  /** What each logit stands for. */
  get labels(): readonly string[] {
    return this.#description.labels;
  }

  /** The size of the images that it reads, in pixels. */
  get input(): Readonly<VisionInput> {
    return { ...this.#description.input };
  }

  /** What the model is, and how it runs here. */
  describe(): VisionDescription {
    return structuredClone(this.#description);
  }

  /**
   * What an image shows, best first.
   *
   * @throws DyadicError `ERR_OPTION`, `ERR_SHAPE`, `ERR_FILE_NOT_FOUND`, `ERR_IMAGE_…` where it is no picture, `ERR_ABORTED`, `ERR_DISPOSED`.
   */
  async classify(image: ImageSource, options: ClassifyOptions = {}): Promise<Classification[]> {
    const raw = openOptions(options, 'classify', ['top', 'signal']);
    const [result] = await this.#classify([image], raw);
    return result ?? [];
  }

  /** {@link classify} of several images, which share the threads. A signal ends it within a step of the network. */
  async classifyBatch(
    images: readonly ImageSource[],
    options: ClassifyBatchOptions = {},
  ): Promise<Classification[][]> {
    return this.#classify(images, openOptions(options, 'classifyBatch', ['top', 'signal', 'onProgress']));
  }

  /** The logits of an image: integers, of which a unit stands for `describe().logitScale`; or floats. */
  async logits(image: ImageSource, options: { signal?: AbortSignal } = {}): Promise<Logits> {
    return this.#logits([image], openOptions(options, 'logits', ['signal']));
  }

  async #classify(
    images: readonly ImageSource[],
    options: Readonly<Record<string, unknown>>,
  ): Promise<Classification[][]> {
    const classes = this.labels.length;
    const top = integerOption(options, 'top', 1, classes) ?? classes;
    const logits = Array.from(await this.#logits(images, options));
    return Array.from(images, (_, image) =>
      ranked(logits.slice(image * classes, (image + 1) * classes), this.#description, top),
    );
  }

  async #logits(images: readonly ImageSource[], options: Readonly<Record<string, unknown>>): Promise<Logits> {
    if (!Array.isArray(images)) throw optionError('images', 'an array of images', images);
    const signal = signalOption(options);
    const onProgress = functionOption<OnProgress>(options, 'onProgress');
    const report = onProgress && throttled(onProgress);
    const sources = images.map(readImage);
    const atOnce = sources.every(({ data }) => data !== undefined) ? IMAGES_A_CALL : FILES_A_CALL;
    const classes = this.labels.length;
    const out = this.#makeLogits(images.length * classes);
    const { NativeStop } = native();
    const stop = new NativeStop();
    const onAbort = () => stop.stop();
    this.#stops.add(stop);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      throwIfAborted(signal);
      let model = this.#open();
      for (let first = 0; first < sources.length; first += atOnce) {
        const part = await model.logits(sources.slice(first, first + atOnce), stop);
        throwIfAborted(signal);
        model = this.#open();
        out.set(settled(part), first * classes);
        report?.({ stage: 'classify', fraction: Math.min(1, (first + atOnce) / sources.length) });
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#stops.delete(stop);
    }
    return out;
  }

  #open(): NativeVision {
    if (this.#native === undefined) throw new DyadicError('ERR_DISPOSED', 'the model was disposed');
    return this.#native;
  }

  /** Frees the memory of the model. Running calls end with `ERR_DISPOSED`. May be called twice. */
  dispose(): void {
    for (const stop of this.#stops) stop.stop();
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

/**
 * What a file of integers, or of floats, holds; `undefined` where it is another kind of file.
 * @internal
 */
export function inspectVision(path: string): VisionFile | undefined {
  const result = native().inspectVision(path);
  if (result === null) return undefined;
  if (typeof result !== 'string') throw new DyadicError(result.code, result.message);
  return JSON.parse(result);
}
