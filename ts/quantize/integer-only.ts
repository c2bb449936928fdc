import { writeFile } from 'node:fs/promises';
import { fromFileSystem } from '../errors.ts';
import type { OnProgress } from '../models/progress.ts';
import { runJob } from '../native/hub.ts';
import { native } from '../native/load.ts';
import type { NativeImage } from '../native/vision-contract.ts';
import {
  choiceOption,
  functionOption,
  integerOption,
  numberOption,
  openOptions,
  optionError,
  signalOption,
  stringOption,
} from '../options.ts';
import { readImage } from '../vision/images.ts';
import type { ImageSource } from '../vision/types.ts';

/** How sensitive a layer is: by the change of its own result (`'outputs'`), by the trace of the Hessian measured with random vectors (`'hutchinson'`), or by traces that are given. */
export type Sensitivity =
  | 'outputs'
  | 'hutchinson'
  | {
      /** `Tr(H) / n` of each layer with weights, in order. */
      traces: readonly number[];
    };

/** Limits of mixed widths: each is the part of what lies between 4 bits (0) and 8 bits (1) everywhere. */
export interface WidthBudgets {
  /** Bytes of weights. */
  size?: number;
  /** Multiply-adds times the bits of both operands. */
  bitOperations?: number;
  /** Time. Needs `latencies`. */
  latency?: number;
  /** The times of each layer with weights, at 4 and at 8 bits, in any unit. */
  latencies?: readonly (readonly [number, number])[];
}

/** Options of {@link quantizeIntegerOnly}. */
export interface QuantizeIntegerOnlyOptions {
  /** The non-linear operations: tables and exact norms (`'exact'`, unless said), those of I-ViT, or those of I-BERT. */
  mode?: 'exact' | 'ivit' | 'ibert';
  /** The width of the weights; 8 unless said. The first and the last layer always have 8 bits. `'mixed'` chooses 4 or 8 for each layer by an exact integer program. */
  weightBits?: 4 | 8 | 'mixed';
  /** Limits of `'mixed'`; half of the bytes unless said. */
  budgets?: WidthBudgets;
  /** What `'mixed'` minimises; `'outputs'` unless said. */
  sensitivity?: Sensitivity;
  /** Random vectors of `'hutchinson'`; 8 unless said. */
  probes?: number;
  /** Of their signs; 1 unless said. */
  seed?: number;
  /** How ranges of activations are chosen: the largest magnitude (`'minmax'`, unless said), a percentage of the magnitudes, or the least squared error (`'mse'`). */
  range?: 'minmax' | 'mse' | number;
  /** Writes the file here too. */
  out?: string;
  /** Threads; all unless said. */
  threads?: number;
  signal?: AbortSignal;
  /** Stages: `'read'`, `'calibrate'` and `'sensitivity'`. */
  onProgress?: OnProgress;
}

/** A network of integers. */
export interface IntegerOnlyModel {
  /** The file, as `docs/design/integer-only.md` describes it. */
  bytes: Uint8Array;
  /** The width of the weights of each layer that has some. */
  weightBits: readonly number[];
}

/**
 * Images for a network to look at: pixels from 0 to 255 of the size that it reads, `[height][width][channels]` of one image or more; pictures, which are brought
 * to that size as {@link VisionTransformer} does; or a list of either.
 */
export type NetworkImages = Uint8Array | readonly (Uint8Array | ImageSource)[];

const BUDGETS = ['size', 'bitOperations', 'latency', 'latencies'] as const;

/**
 * Makes a network of integers of a vision model of floats (`models/<name>/model.safetensors`). Runs on a thread of its own; some seconds for 64 images.
 *
 * @param model the path of the file.
 * @param images 64 are enough.
 *
 * @throws DyadicError `ERR_CALIBRATION` without images, `ERR_SHAPE` where they are of another size, `ERR_INTEGER_GRAPH`, `ERR_INTEGER_RANGE`,
 * `ERR_ALLOCATION_INFEASIBLE`, `ERR_VISION_*`, `ERR_SAFETENSORS_*`, `ERR_IMAGE_*`, `ERR_FILE_NOT_FOUND`,
 * `ERR_OPTION`, `ERR_ABORTED`.
 * @example
 * ```ts
 * const { bytes } = await quantizeIntegerOnly('models/fashion-vit/model.safetensors', pixels, { mode: 'exact', out: 'vit.dyadic' });
 * ```
 */
export async function quantizeIntegerOnly(
  model: string,
  images: NetworkImages,
  options?: QuantizeIntegerOnlyOptions,
): Promise<IntegerOnlyModel> {
  if (typeof model !== 'string') throw optionError('model', 'a path', model);
  const raw = openOptions(options, 'quantizeIntegerOnly', [
    'mode',
    'weightBits',
    'budgets',
    'sensitivity',
    'probes',
    'seed',
    'range',
    'out',
    'threads',
    'signal',
    'onProgress',
  ]);
  const weightBits = raw.weightBits ?? 8;
  if (weightBits !== 4 && weightBits !== 8 && weightBits !== 'mixed')
    throw optionError('weightBits', "4, 8 or 'mixed'", weightBits);
  const budgets = openOptions(raw.budgets ?? { size: 0.5 }, 'budgets', BUDGETS);
  const parts = {
    size: numberOption(budgets, 'size', 0, 1),
    bitOperations: numberOption(budgets, 'bitOperations', 0, 1),
    latency: numberOption(budgets, 'latency', 0, 1),
  };
  const settings = {
    mode: choiceOption(raw, 'mode', ['exact', 'ivit', 'ibert']) ?? 'exact',
    weightBits: weightBits === 'mixed' ? 0 : weightBits,
    range: readRange(raw.range ?? 'minmax'),
    ...readSensitivity(raw.sensitivity ?? 'outputs'),
    probes: integerOption(raw, 'probes', 1, 1000) ?? 8,
    seed: integerOption(raw, 'seed', 0, Number.MAX_SAFE_INTEGER) ?? 1,
    ...Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined)),
    latencies: readLatencies(budgets.latencies ?? []),
    threads: integerOption(raw, 'threads', 1, 1024) ?? 0,
  };
  const out = stringOption(raw, 'out');
  const sources = readImages(images);
  const made = await runJob(
    (hub) => native().quantizeIntegerOnly(hub, model, sources, settings),
    { signal: signalOption(raw), onProgress: functionOption<OnProgress>(raw, 'onProgress') },
    (result, hub, job): IntegerOnlyModel => {
      const { length, bits }: { length: number; bits: number[] } = JSON.parse(result);
      const bytes = new Uint8Array(length);
      hub.takeBytes(job, bytes);
      return { bytes, weightBits: bits };
    },
  );
  if (out !== undefined) {
    await writeFile(out, made.bytes).catch((error: unknown) => {
      throw fromFileSystem(error, out);
    });
  }
  return made;
}

/** @internal */
export function readImages(images: NetworkImages): NativeImage[] {
  const read = (image: Uint8Array | ImageSource): NativeImage =>
    image instanceof Uint8Array ? { data: image } : readImage(image);
  if (images instanceof Uint8Array) return [read(images)];
  if (!Array.isArray(images)) throw optionError('images', 'a Uint8Array, or an array of images', images);
  return images.map(read);
}

function readRange(range: unknown): number {
  if (range === 'minmax') return 100;
  if (range === 'mse') return 0;
  if (typeof range === 'number' && range > 0 && range <= 100) return range;
  throw optionError('range', "'minmax', 'mse' or a percentage", range);
}

function readSensitivity(sensitivity: unknown): { sensitivity: string; traces: number[] } {
  if (sensitivity === 'outputs' || sensitivity === 'hutchinson') return { sensitivity, traces: [] };
  if (typeof sensitivity !== 'object')
    throw optionError('sensitivity', "'outputs', 'hutchinson' or { traces }", sensitivity);
  const { traces } = openOptions(sensitivity, 'sensitivity', ['traces']);
  if (!Array.isArray(traces) || !traces.every((trace) => Number.isFinite(trace)))
    throw optionError('sensitivity.traces', 'an array of numbers', traces);
  return { sensitivity: 'traces', traces };
}

function readLatencies(latencies: unknown): number[][] {
  const isPair = (pair: unknown) =>
    Array.isArray(pair) && pair.length === 2 && pair.every((time) => Number.isFinite(time));
  if (!Array.isArray(latencies) || !latencies.every(isPair))
    throw optionError('budgets.latencies', 'pairs of times', latencies);
  return latencies.map((pair) => [...pair]);
}
