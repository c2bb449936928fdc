import { existsSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DyadicError, fromFileSystem } from '../errors.ts';
import { type NetworkImages, quantizeIntegerOnly } from '../quantize/integer-only.ts';
import { analyseIntegerGraph, type LayerError } from '../quantize/layers.ts';
import { readNpyBytes } from '../tensor/npy.ts';
import { type Command, usageError, type Values } from './command.ts';
import { namedImages } from './images.ts';
import { table } from './terminal.ts';

/** As many are enough for the ranges of activations. */
const CALIBRATION_IMAGES = 64;

async function calibrationImages(source: string, most: number): Promise<NetworkImages> {
  if (source.endsWith('.npy')) {
    const { dtype, bytes } = await readNpyBytes(source);
    if (dtype !== 'U8')
      throw new DyadicError('ERR_CALIBRATION', `${source}: elements of ${dtype}; expected U8 (numpy.uint8)`);
    return bytes;
  }
  return (await namedImages(source, most)).map(({ image }) => image);
}

/** A folder stands for the model in it. */
async function modelFile(model: string): Promise<string> {
  const isFolder = await stat(model).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isFolder ? path.join(model, 'model.safetensors') : model;
}

function showPart(part: number): string {
  if (part === 0) return '';
  return part < 1e-4 ? '< 0.01 %' : `${(100 * part).toFixed(2)} %`;
}

function layerTable(layers: readonly LayerError[]): string {
  const decibels = (sqnr: number) => (Number.isFinite(sqnr) ? `${sqnr.toFixed(1)} dB` : 'exact');
  return table([
    ['', 'layer', 'op', 'bits', 'signal to noise', 'largest error', 'saturated'],
    ...layers.map(({ name, op, bits, sqnr, maxError, saturated }, index) => [
      index,
      name === op ? '' : name,
      op,
      bits,
      decibels(sqnr).padStart(15),
      maxError.toPrecision(3).padStart(13),
      // Black pixels are at the end of the range too, and lose nothing.
      op === 'input' ? '' : showPart(saturated).padStart(9),
    ]),
  ]);
}

function weightBits(values: Values): 4 | 8 | 'mixed' {
  const text = values.text('weights') ?? '8';
  if (text === 'mixed') return text;
  if (text === '8') return 8;
  if (text === '4') return 4;
  throw usageError(`--weights: expected 8, 4 or mixed, got '${text}'`);
}

/** `dyadic quantize`: a model of floats to one of integers. */
export const quantize: Command = {
  summary: 'Make a network of integers of a vision model of floats',
  usage: 'MODEL',
  positionals: [1, 1],
  flags: {
    'integer-only': { help: 'integers from the pixels to the logits; must be given' },
    mode: { value: 'MODE', help: "non-linear operations: 'exact' (tables), 'ivit' or 'ibert'" },
    weights: { value: 'BITS', help: "8, 4, or 'mixed': 4 or 8 for each layer" },
    calibration: { value: 'PATH', help: 'a folder of pictures, an IDX file (MNIST, also gzipped), or .npy' },
    images: { value: 'N', help: `how many of them are used (${CALIBRATION_IMAGES}; all of .npy)` },
    out: { value: 'FILE', short: 'o', help: 'the file to write (MODEL with .dyadic at its end)' },
    report: { value: 'FILE', help: 'prints the error of each layer against floats, draws it to this SVG' },
    threads: { value: 'N', help: 'threads, of those that the process may use' },
  },
  examples: [
    ['dyadic quantize models/fashion-vit --integer-only --calibration IMAGES -o vit.dyadic', '8-bit weights'],
    ['dyadic quantize MODEL --integer-only --calibration IMAGES --report errors.svg', 'what it loses where'],
  ],
  async run({ positionals, values, terminal, interrupts }) {
    if (!values.has('integer-only')) throw usageError('say --integer-only: there is no other way yet');
    const calibration = values.text('calibration');
    if (calibration === undefined) throw usageError('missing --calibration PATH');
    const count = values.number('images') ?? CALIBRATION_IMAGES;
    if (!Number.isInteger(count) || count < 1)
      throw usageError('--images: expected a whole number of images');
    const model = await modelFile(positionals[0] ?? '');
    const beside = path.join(path.dirname(model), `${path.parse(model).name}.dyadic`);
    const out = values.text('out') ?? beside;
    if (values.text('out') === undefined && existsSync(beside))
      throw usageError(`${beside} is there already; say with -o where to write`);
    const mode = values.text('mode') ?? 'exact';
    if (mode !== 'exact' && mode !== 'ivit' && mode !== 'ibert')
      throw usageError(`--mode: expected exact, ivit or ibert, got '${mode}'`);
    const bits = weightBits(values);
    const images = await calibrationImages(calibration, count);
    const report = values.text('report');
    const threads = values.number('threads');
    const onProgress = terminal.progress();
    return interrupts.during(async (signal) => {
      const made = await quantizeIntegerOnly(model, images, {
        mode,
        weightBits: bits,
        out,
        signal,
        ...(threads === undefined ? {} : { threads }),
        ...(onProgress === undefined ? {} : { onProgress }),
      });
      const { bytes, weightBits: widths } = made;
      const analysis =
        report === undefined
          ? undefined
          : await analyseIntegerGraph(model, bytes, images, {
              signal,
              ...(onProgress === undefined ? {} : { onProgress }),
            });
      if (report !== undefined && analysis !== undefined)
        await writeFile(report, analysis.svg).catch((error: unknown) => {
          throw fromFileSystem(error, report);
        });
      terminal.clearProgress();
      if (terminal.json) {
        const layers = analysis === undefined ? {} : { report, layers: analysis.layers };
        await terminal.writeJson({ file: out, bytes: bytes.length, mode, weightBits: widths, ...layers });
        return undefined;
      }
      if (analysis !== undefined) await terminal.write(`${layerTable(analysis.layers)}\n`);
      await terminal.write(`${out}: ${bytes.length} bytes, weights of ${widths.join(', ')} bits\n`);
      return undefined;
    });
  },
};
