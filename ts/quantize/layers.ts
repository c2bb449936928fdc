import { readFile } from 'node:fs/promises';
import { fromFileSystem } from '../errors.ts';
import type { OnProgress } from '../models/progress.ts';
import { runJob } from '../native/hub.ts';
import { native } from '../native/load.ts';
import { functionOption, openOptions, optionError, signalOption } from '../options.ts';
import { line, niceTicks, picture, tag, text } from '../svg.ts';
import { type NetworkImages, readImages } from './integer-only.ts';

/** The error of the value of one node of an integer graph against the float graph; those of all nodes before it are in it. */
export interface LayerError {
  /** The name of its weights, or of what it does. */
  name: string;
  /** What it does. */
  op: string;
  /** Bits of an element. */
  bits: number;
  /** Signal to noise in decibels: 10 log10(Σ x² / Σ (x − x̂)²). */
  sqnr: number;
  /** The largest difference. */
  maxError: number;
  /** The part of the elements that are at the end of the range of integers. */
  saturated: number;
}

/** What {@link analyseIntegerGraph} finds. */
export interface IntegerGraphAnalysis {
  /** Of each node, in order of execution. */
  layers: readonly LayerError[];
  /** A picture of the errors, layer by layer. */
  svg: string;
}

/** Options of {@link analyseIntegerGraph}. */
export interface AnalyseIntegerGraphOptions {
  signal?: AbortSignal;
  /** Stages: `'read'` and `'compare'`. */
  onProgress?: OnProgress;
}

/**
 * Runs a vision model of floats and the integer graph that was made of it on some images, and compares every value. Some milliseconds an image.
 *
 * @param model the path of the float model.
 * @param integers the path of the integer graph, or the bytes of its file.
 * @param images as for {@link quantizeIntegerOnly}.
 * @throws DyadicError `ERR_VISION_PAIR` where one was not made of the other, `ERR_SHAPE`, `ERR_INTEGER_*`, `ERR_VISION_*`, `ERR_SAFETENSORS_*`, `ERR_IMAGE_*`, `ERR_IO`.
 * @example
 * ```ts
 * const { layers, svg } = await analyseIntegerGraph('models/fashion-vit/model.safetensors', 'vit.dyadic', pixels);
 * for (const { name, sqnr } of layers) console.log(name, sqnr.toFixed(1), 'dB');
 * ```
 */
export async function analyseIntegerGraph(
  model: string,
  integers: string | Uint8Array,
  images: NetworkImages,
  options?: AnalyseIntegerGraphOptions,
): Promise<IntegerGraphAnalysis> {
  const raw = openOptions(options, 'analyseIntegerGraph', ['signal', 'onProgress']);
  if (typeof model !== 'string') throw optionError('model', 'a path', model);
  if (typeof integers !== 'string' && !(integers instanceof Uint8Array))
    throw optionError('integers', 'a path or a Uint8Array', integers);
  const sources = readImages(images);
  const file =
    typeof integers === 'string'
      ? await readFile(integers).catch((error: unknown) => {
          throw fromFileSystem(error, integers);
        })
      : integers;
  const layers = await runJob(
    (hub) => native().compareIntegerGraph(hub, model, file, sources),
    { signal: signalOption(raw), onProgress: functionOption<OnProgress>(raw, 'onProgress') },
    (result): LayerError[] => JSON.parse(result).values.map(readLayer),
  );
  return { layers, svg: layerErrors(layers) };
}

/** A node as native code tells of it. */
interface NativeLayer {
  name: string;
  op: string;
  bits: number;
  signal: number;
  noise: number;
  largest: number;
  saturated: number;
}

function readLayer({ name, op, bits, signal, noise, largest, saturated }: NativeLayer): LayerError {
  return { name, op, bits, sqnr: 10 * Math.log10(signal / noise), maxError: largest, saturated };
}

const WIDTH = 960;
const [LEFT, RIGHT, TOP, BOTTOM] = [250, 84, 72, 40];
const ROW = 19;

/** The ratio of each node as a bar, in order of execution. */
function layerErrors(layers: readonly LayerError[]): string {
  const shown = layers.filter(({ sqnr }) => Number.isFinite(sqnr));
  const bottom = TOP + shown.length * ROW;
  const most = Math.max(10, ...shown.map(({ sqnr }) => sqnr));
  const x = (decibels: number) => LEFT + (Math.max(0, decibels) / most) * (WIDTH - LEFT - RIGHT);
  const grid = niceTicks(0, most, 8).flatMap((decibels) => [
    line(x(decibels), TOP - 4, x(decibels), bottom, 'grid'),
    text(x(decibels), bottom + 18, `${decibels} dB`, { class: 'label small middle' }),
  ]);
  const bars = shown.flatMap(({ name, op, bits, sqnr }, i) => {
    const y = TOP + i * ROW;
    const title = name === op ? op : `${name}, ${op}`;
    const width = Math.max(1, x(sqnr) - LEFT);
    return [
      text(LEFT - 10, y + 13, title.length > 40 ? `…${title.slice(-39)}` : title, {
        class: 'label small end',
      }),
      tag('rect', { x: LEFT, y: y + 2, width, height: ROW - 5, rx: 2, class: bits > 8 ? 'fill1' : 'fill0' }),
      text(WIDTH - 16, y + 13, `${sqnr.toFixed(1)} dB`, { class: 'label small end' }),
    ];
  });
  const title = 'Signal to noise of each value of the integer graph';
  const note = 'in order of execution; errors add up along the way; 8 bits blue, 16 and 32 bits orange';
  const head = text(24, 30, title, { class: 'title' }) + text(24, 52, note, { class: 'label' });
  const spoken = shown.map(({ name, sqnr }) => `${name} ${sqnr.toFixed(1)} dB`).join(', ');
  return picture(WIDTH, bottom + BOTTOM, title, spoken, head + grid.join('') + bars.join(''));
}
