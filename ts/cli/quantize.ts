import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { DyadicError, fromFileSystem } from '../errors.ts';
import { quantizeIntegerOnly } from '../quantize/integer-only.ts';
import { readNpyBytes } from '../tensor/npy.ts';
import { type Command, usageError, type Values } from './command.ts';

/** As many are enough for the ranges of activations. */
const CALIBRATION_IMAGES = 64;

/** The first bytes of a file of images of unsigned bytes, as MNIST has them. */
const IDX_IMAGES = 0x0803;

function idxImages(file: string, bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizes = bytes.length < 16 ? [] : [4, 8, 12].map((offset) => view.getUint32(offset));
  const [count = 0, rows = 0, columns = 0] = sizes;
  const image = rows * columns;
  if (image === 0 || view.getUint32(0) !== IDX_IMAGES || bytes.length !== 16 + count * image)
    throw new DyadicError(
      'ERR_CALIBRATION',
      `${file}: no images; expected an IDX file of unsigned bytes (MNIST), or an .npy file of uint8`,
    );
  return Array.from({ length: Math.min(count, CALIBRATION_IMAGES) }, (_, index) =>
    bytes.subarray(16 + index * image, 16 + (index + 1) * image),
  );
}

async function calibrationImages(file: string): Promise<Uint8Array | Uint8Array[]> {
  if (file.endsWith('.npy')) {
    const { dtype, bytes } = await readNpyBytes(file);
    if (dtype !== 'U8')
      throw new DyadicError('ERR_CALIBRATION', `${file}: elements of ${dtype}; expected U8 (numpy.uint8)`);
    return bytes;
  }
  const bytes = await readFile(file).catch((error: unknown) => {
    throw fromFileSystem(error, file);
  });
  return idxImages(file, bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes);
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
  usage: 'MODEL.safetensors',
  positionals: [1, 1],
  flags: {
    'integer-only': { help: 'integers from the pixels to the logits; must be given' },
    mode: { value: 'MODE', help: "non-linear operations: 'exact' (tables), 'ivit' or 'ibert'" },
    weights: { value: 'BITS', help: "8, 4, or 'mixed': 4 or 8 for each layer" },
    calibration: { value: 'FILE', help: 'images of the right size: IDX (MNIST, also gzipped) or .npy' },
    out: { value: 'FILE', short: 'o', help: 'the file to write' },
    threads: { value: 'N', help: 'threads, of those that the process may use' },
  },
  examples: [
    [
      'dyadic quantize model.safetensors --integer-only --calibration images.npy -o vit.dyadic',
      '8-bit weights',
    ],
  ],
  async run({ positionals, values, terminal, interrupts }) {
    if (!values.has('integer-only')) throw usageError('say --integer-only: there is no other way yet');
    const [calibration, out] = [values.text('calibration'), values.text('out')];
    if (calibration === undefined) throw usageError('missing --calibration FILE');
    if (out === undefined) throw usageError('missing -o FILE');
    const mode = values.text('mode') ?? 'exact';
    if (mode !== 'exact' && mode !== 'ivit' && mode !== 'ibert')
      throw usageError(`--mode: expected exact, ivit or ibert, got '${mode}'`);
    const bits = weightBits(values);
    const images = await calibrationImages(calibration);
    const threads = values.number('threads');
    const onProgress = terminal.progress();
    return interrupts.during(async (signal) => {
      const made = await quantizeIntegerOnly(positionals[0] ?? '', images, {
        mode,
        weightBits: bits,
        out,
        signal,
        ...(threads === undefined ? {} : { threads }),
        ...(onProgress === undefined ? {} : { onProgress }),
      });
      terminal.clearProgress();
      const { bytes, weightBits: widths } = made;
      if (terminal.json)
        await terminal.writeJson({ file: out, bytes: bytes.length, mode, weightBits: widths });
      else await terminal.write(`${out}: ${bytes.length} bytes, weights of ${widths.join(', ')} bits\n`);
      return undefined;
    });
  },
};
