import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { VisionTransformer } from '../../ts/index.ts';
import { dyadic, dyadicHere } from '../support/cli.ts';
import { integerFile } from '../support/integer-file.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const GARMENTS = 'models/fashion-vit/garments';
const TRAIN = '__test__/golden/fashion-mnist/train-64-images-idx3-ubyte';
const TEST = '__test__/golden/fashion-mnist/t10k-200-images-idx3-ubyte';
const LABELS = '__test__/golden/fashion-mnist/t10k-200-labels-idx1-ubyte';

describe('classify', () => {
  test('says what pictures show', async () => {
    const { exitCode, stdout } = await dyadic([
      'classify',
      `${GARMENTS}/0018-bag.png`,
      `${GARMENTS}/0002-trouser.png`,
    ]);
    expect(exitCode).toBe(0);
    const [bag = '', trouser = ''] = stdout.split('\n');
    expect(bag).toMatch(/0018-bag\.png +bag \d+\.\d % +\S.* % +\S.* %$/i);
    expect(trouser).toMatch(/0002-trouser\.png +trouser \d+\.\d % /i);
  });

  test('takes folders, URLs and files of MNIST, and gives a document', async () => {
    const url = pathToFileURL(`${GARMENTS}/0018-bag.png`).href;
    const { stdout } = await dyadicHere(['classify', GARMENTS, url, TEST, '--top', '1', '--json', '-q']);
    const { model, images, seconds } = JSON.parse(stdout);
    expect(model).toBe('fashion-vit');
    expect(images).toHaveLength(10 + 1 + 200);
    expect(images[0].image).toBe('0000-ankle-boot.png');
    expect(images[10].classes).toEqual(images[8].classes);
    expect(images[11]).toMatchObject({ image: 't10k-200-images-idx3-ubyte 0', classes: [{ index: 9 }] });
    expect(seconds).toBeGreaterThan(0);
  });

  test('compares with floats: agreement, accuracy, time', async () => {
    const args = ['classify', GARMENTS, '--compare'];
    const { exitCode, stdout } = await dyadic(args);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^ +integers +float32\n/);
    expect(stdout).toMatch(/0018-bag\.png +bag \d+\.\d % +bag \d+\.\d %\n/i);
    expect(stdout).toMatch(/\ntime an image +\d+\.\d\d ms +\d+\.\d\d ms +\d+\.\d times as fast\n/);
    expect(stdout).toMatch(/\nsame label +10 of 10\n$/);
    const json = await dyadicHere(['classify', TEST, '--compare', '--labels', LABELS, '--json', '-q']);
    const { images, sameLabel, correct, milliseconds } = JSON.parse(json.stdout);
    expect(images).toHaveLength(200);
    expect(Object.keys(images[0])).toEqual(['image', 'integers', 'float32']);
    expect(sameLabel).toBeGreaterThan(196);
    expect(correct.integers).toBeGreaterThan(176);
    expect(Math.abs(correct.integers - correct.float32)).toBeLessThan(4);
    expect(milliseconds.integers).toBeGreaterThan(0);
    const text = await dyadicHere(['classify', TEST, '--compare', '--labels', LABELS, '-q']);
    expect(text.stdout).toContain(`same label     ${sameLabel} of 200`);
    // Of so many only those that differ.
    expect(text.stdout.split('\n').length).toBe(6 + 200 - sameLabel - 1);
  });

  test('names what is wrong', async () => {
    const failure = async (...args: string[]) => {
      const { exitCode, stdout } = await dyadicHere(['classify', '--json', ...args]);
      return [exitCode, JSON.parse(stdout).error.code];
    };
    const folder = temporaryDirectory();
    expect(await failure(folder)).toEqual([1, 'ERR_IMAGE_FORMAT']);
    expect(await failure(path.join(folder, 'none.png'))).toEqual([1, 'ERR_FILE_NOT_FOUND']);
    expect(await failure('https://example.org/x.png')).toEqual([1, 'ERR_IMAGE_URL']);
    expect(await failure(TEST, '--labels', LABELS)).toEqual([2, 'ERR_USAGE']);
    expect(await failure(GARMENTS, '--compare', '--labels', LABELS)).toEqual([1, 'ERR_SHAPE']);
    const cut = path.join(folder, 'cut-idx3-ubyte');
    writeFileSync(cut, readFileSync(TEST).subarray(0, 1000));
    expect(await failure(cut)).toEqual([1, 'ERR_IMAGE_DATA']);
    const tiny = path.join(folder, 'tiny.dyadic');
    writeFileSync(tiny, integerFile());
    expect(await failure(GARMENTS, '-m', tiny, '--compare')).toEqual([1, 'ERR_SAFETENSORS_MAGIC']);
  });
});

describe('inspect', () => {
  test.each([
    ['models/fashion-vit/model.dyadic', 'integers alone (exact)', 'weights int8'],
    ['models/fashion-vit/model.safetensors', 'float32', 'weights float32'],
  ])('shows %s', async (file, kind, weights) => {
    const { exitCode, stdout } = await dyadicHere(['inspect', file]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(kind);
    expect(stdout).toContain(weights);
    expect(stdout).toContain('images of 28 x 28 x 1, 10 classes');
  });
});

describe('quantize', () => {
  test('makes a network of integers of a folder with a CNN, and the result classifies', async () => {
    const folder = temporaryDirectory();
    const out = path.join(folder, 'cnn.dyadic');
    const report = path.join(folder, 'errors.svg');
    const args = ['--integer-only', '--calibration', TRAIN, '-o', out, '--report', report];
    const { exitCode, stdout } = await dyadic(['quantize', 'models/fashion-cnn', ...args]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^ +layer +op +bits +signal to noise/);
    expect(stdout).toMatch(/\n\d+ +head +linear +32 +\d\d\.\d dB/);
    expect(stdout).toMatch(/cnn\.dyadic: \d+ bytes, weights of 8, 8, 8, 8, 8, 8, 8, 8 bits\n$/);
    expect(readFileSync(report, 'utf8')).toMatch(/^<svg .*head, linear.*<\/svg>\n$/s);
    const compare = [
      '-m',
      out,
      '--compare',
      '--floats',
      'models/fashion-cnn/model.safetensors',
      '--labels',
      LABELS,
    ];
    const { sameLabel, correct } = JSON.parse(
      (await dyadic(['classify', TEST, ...compare, '--json', '-q'])).stdout,
    );
    expect(sameLabel).toBeGreaterThan(195);
    expect(correct.integers).toBeGreaterThan(178);
    using cnn = await VisionTransformer.load(out);
    const [bag] = await cnn.classify(`${GARMENTS}/0018-bag.png`);
    expect(bag?.label.toLowerCase()).toBe('bag');
  });

  test('calibrates by a folder of pictures at any depth as by their pixels', async () => {
    const folder = temporaryDirectory();
    mkdirSync(path.join(folder, 'pictures/more'), { recursive: true });
    cpSync(GARMENTS, path.join(folder, 'pictures'), { recursive: true });
    copyFileSync(`${GARMENTS}/0018-bag.png`, path.join(folder, 'pictures/more/bag.png'));
    writeFileSync(path.join(folder, 'pictures/notes.txt'), 'no picture');
    const run = async (calibration: string, ...more: string[]) => {
      const out = path.join(folder, 'out.dyadic');
      const args = ['--integer-only', '--calibration', calibration, '-o', out, '--json', ...more];
      const { stdout, stderr } = await dyadicHere([
        'quantize',
        'models/fashion-cnn/model.safetensors',
        ...args,
      ]);
      expect(JSON.parse(stdout), stderr).toMatchObject({ file: out, mode: 'exact' });
      return readFileSync(out);
    };
    const pictures = await run(path.join(folder, 'pictures'));
    expect(await run(path.join(folder, 'pictures'), '--images', '64')).toEqual(pictures);
    expect((await run(path.join(folder, 'pictures'), '--images', '2')).equals(pictures)).toBe(false);
    // The same images, packed.
    const packed = path.join(folder, 'train.gz');
    writeFileSync(packed, gzipSync(readFileSync(TRAIN)));
    expect(await run(packed)).toEqual(await run(TRAIN));
    expect((await run(TRAIN, '--images', '8')).equals(await run(TRAIN))).toBe(false);
  });

  test('writes beside the model, never over a file that is there', async () => {
    const folder = temporaryDirectory();
    copyFileSync('models/fashion-cnn/model.safetensors', path.join(folder, 'model.safetensors'));
    const args = ['quantize', folder, '--integer-only', '--calibration', GARMENTS];
    expect((await dyadicHere(args)).exitCode).toBe(0);
    expect(existsSync(path.join(folder, 'model.dyadic'))).toBe(true);
    const { exitCode, stderr } = await dyadicHere(args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/model\.dyadic is there already; say with -o where to write/);
  });

  test('names what is wrong', async () => {
    const folder = temporaryDirectory();
    const failure = async (...args: string[]) => {
      const all = [
        'quantize',
        'models/fashion-cnn',
        '--integer-only',
        '-o',
        path.join(folder, 'x.dyadic'),
        '--json',
        ...args,
      ];
      const { exitCode, stdout } = await dyadicHere(all);
      return [exitCode, JSON.parse(stdout).error.code];
    };
    expect(await failure()).toEqual([2, 'ERR_USAGE']);
    expect(await failure('--calibration', path.join(folder, 'none'))).toEqual([1, 'ERR_FILE_NOT_FOUND']);
    expect(await failure('--calibration', folder)).toEqual([1, 'ERR_IMAGE_FORMAT']);
    expect(await failure('--calibration', 'README.md')).toEqual([1, 'ERR_IMAGE_FORMAT']);
    writeFileSync(path.join(folder, 'bad.png'), 'no picture');
    expect(await failure('--calibration', folder)).toEqual([1, 'ERR_IMAGE_FORMAT']);
    expect(await failure('--calibration', TRAIN, '--images', '0')).toEqual([2, 'ERR_USAGE']);
    expect(await failure('--calibration', TRAIN, '--mode', 'other')).toEqual([2, 'ERR_USAGE']);
    expect(existsSync(path.join(folder, 'x.dyadic'))).toBe(false);
    const missing = await dyadicHere([
      'quantize',
      folder,
      '--integer-only',
      '--calibration',
      TRAIN,
      '--json',
    ]);
    expect(JSON.parse(missing.stdout).error).toMatchObject({
      code: 'ERR_FILE_NOT_FOUND',
      message: expect.stringContaining('model.safetensors'),
    });
  });
});
