import { fileURLToPath } from 'node:url';
import { aborted, DyadicError, fromNative, throwIfAborted } from '../errors.ts';
import type { NativeError } from '../native/contract.ts';
import { native } from '../native/load.ts';
import type { NativeVision } from '../native/vision-contract.ts';
import { integerOption, openOptions, optionError, signalOption } from '../options.ts';
import { readImage } from './images.ts';
import type {
  Classification,
  ClassifyOptions,
  ImageSource,
  VisionDescription,
  VisionFile,
  VisionLoadOptions,
} from './types.ts';

/** Models that are in the package. */
const EMBEDDED: Readonly<Record<string, string>> = {
  fashion: fileURLToPath(new URL('../../models/fashion-vit/model.dyadic', import.meta.url)),
};

/** Images of one native call: some milliseconds, so that a signal is soon seen and libuv's threads soon free. */
const IMAGES_A_CALL = 64;

const MADE_BY_LOAD = Symbol('VisionTransformer.load');

function isNativeError(value: object): value is NativeError {
  return 'code' in value && 'message' in value;
}

function settled<T extends object>(value: T | NativeError): T {
  if (isNativeError(value)) throw new DyadicError(value.code, value.message);
  return value;
}

/** Settles as `work` does, or with `ERR_ABORTED` when the signal fires before that. */
function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(aborted(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Softmax of logits, best class first. Ties keep the order of the labels. */
function ranked(
  logits: Int32Array,
  { labels, logitScale: [multiplier, shift] }: VisionDescription,
  top: number,
): Classification[] {
  const scale = multiplier / 2 ** shift;
  const most = logits.reduce((a, b) => Math.max(a, b));
  const exponentials = Array.from(logits, (logit) => Math.exp((logit - most) * scale));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return labels
    .map((label, index) => ({ label, index, score: (exponentials[index] ?? 0) / sum }))
    .sort((a, b) => (logits[b.index] ?? 0) - (logits[a.index] ?? 0))
    .slice(0, top);
}

/**
 * An image classifier of integers alone: between pixels and logits there is no floating-point operation, so the logits are the same on every
 * machine. Its methods may be called at any time, also several at once, and work off the event loop.
 *
 * A picture that has the model's own size and is grey is taken as it is. Any other is brought to luminance, its longer side to that of the model by
 * averages of areas, and put in the middle of black. The model `fashion` knows ten kinds of garments, bright on dark, as in Fashion-MNIST.
 *
 * @example
 * ```ts
 * using vit = await VisionTransformer.load('fashion');
 * const [best] = await vit.classify('shirt.png');
 * console.log(best?.label, best?.score);
 * ```
 */
export class VisionTransformer implements Disposable {
  readonly #description: Readonly<VisionDescription>;
  #native: NativeVision | undefined;

  private constructor(token: symbol, model: NativeVision) {
    if (token !== MADE_BY_LOAD)
      throw new DyadicError('ERR_OPTION', 'use VisionTransformer.load() instead of new VisionTransformer()');
    this.#native = model;
    const description: VisionDescription = JSON.parse(model.describe());
    this.#description = description;
  }

  /**
   * Loads a model: `fashion`, which is in the package, or the path of a file that `dyadic quantize --integer-only` has written.
   *
   * @throws DyadicError `ERR_OPTION`, `ERR_ABORTED`, `ERR_FILE_NOT_FOUND`, `ERR_NATIVE_LOAD`, and `ERR_INTEGER_…` where the file is damaged.
   */
  static async load(model: string, options: VisionLoadOptions = {}): Promise<VisionTransformer> {
    if (typeof model !== 'string') throw optionError('model', "'fashion' or the path of a file", model);
    const raw = openOptions(options, 'VisionTransformer.load', ['threads', 'signal']);
    const threads = integerOption(raw, 'threads', 1, 1024) ?? 0;
    const signal = signalOption(raw);
    throwIfAborted(signal);
    const path = Object.hasOwn(EMBEDDED, model) ? (EMBEDDED[model] ?? model) : model;
    const loading = native().loadVision(path, threads, null).then(settled);
    try {
      return new VisionTransformer(MADE_BY_LOAD, await abortable(loading, signal));
    } catch (error) {
      // What arrives after the signal has fired belongs to nobody.
      if (signal?.aborted)
        loading.then(
          (late) => late.dispose(),
          () => undefined,
        );
      throw fromNative(error);
    }
  }

  /** What each logit stands for. */
  get labels(): readonly string[] {
    return this.#description.labels;
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
    const [result] = await this.classifyBatch([image], options);
    return result ?? [];
  }

  /** {@link classify} of several images, which share the threads. */
  async classifyBatch(
    images: readonly ImageSource[],
    options: ClassifyOptions = {},
  ): Promise<Classification[][]> {
    const raw = openOptions(options, 'classify', ['top', 'signal']);
    const classes = this.labels.length;
    const top = integerOption(raw, 'top', 1, classes) ?? classes;
    const logits = await this.#logits(images, signalOption(raw));
    return Array.from(images, (_, image) =>
      ranked(logits.subarray(image * classes, (image + 1) * classes), this.#description, top),
    );
  }

  /** The logits of an image: integers, of which a unit stands for `describe().logitScale`. */
  async logits(image: ImageSource, options: { signal?: AbortSignal } = {}): Promise<Int32Array> {
    return this.#logits([image], signalOption(openOptions(options, 'logits', ['signal'])));
  }

  async #logits(images: readonly ImageSource[], signal: AbortSignal | undefined): Promise<Int32Array> {
    if (!Array.isArray(images)) throw optionError('images', 'an array of images', images);
    const sources = images.map(readImage);
    const classes = this.labels.length;
    const out = new Int32Array(images.length * classes);
    for (let first = 0; first < sources.length; first += IMAGES_A_CALL) {
      throwIfAborted(signal);
      if (this.#native === undefined) throw new DyadicError('ERR_DISPOSED', 'the model was disposed');
      const call = this.#native.logits(sources.slice(first, first + IMAGES_A_CALL));
      out.set(settled(await abortable(call, signal)), first * classes);
    }
    return out;
  }

  /** Frees the memory of the model. Running calls end with `ERR_DISPOSED`. May be called twice. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * What a file of integers holds; `undefined` where it is another kind of file.
 * @internal
 */
export function inspectVision(path: string): VisionFile | undefined {
  const result = native().inspectVision(path);
  if (result === null) return undefined;
  if (typeof result !== 'string') throw new DyadicError(result.code, result.message);
  return JSON.parse(result);
}
