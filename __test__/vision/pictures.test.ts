import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type ImageSource, VisionTransformer } from '../../ts/index.ts';
import { expectedLogits, integerFile } from '../support/integer-file.ts';
import { JPEG, type Png, png } from '../support/pictures.ts';

let folder: string;
let vit: VisionTransformer;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'dyadic-pictures-'));
  await writeFile(path.join(folder, 'tiny.dyadic'), integerFile());
  vit = await VisionTransformer.load(path.join(folder, 'tiny.dyadic'));
});

afterAll(async () => {
  vit.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function write(name: string, bytes: Uint8Array): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, bytes);
  return file;
}

const sees = async (image: ImageSource) => Array.from(await vit.logits(image));
const codeOf = (image: ImageSource) =>
  vit.logits(image).then(
    () => undefined,
    (error) => error.code,
  );

const GREYS = [9, 80, 200, 70];
const square = (colour: Png['colour'], samples: readonly number[], more: Partial<Png> = {}) =>
  png({ width: 2, height: 2, colour, samples, ...more });

test.each([
  ['grey', square('grey', GREYS)],
  [
    'grey of 16 bits',
    square(
      'grey',
      GREYS.map((grey) => grey * 256 + 99),
      { bits: 16 },
    ),
  ],
  [
    'grey and alpha',
    square(
      'greyAlpha',
      GREYS.flatMap((grey) => [grey, 255]),
    ),
  ],
  [
    'RGB',
    square(
      'rgb',
      GREYS.flatMap((grey) => [grey, grey, grey]),
    ),
  ],
  [
    'RGB of 16 bits',
    square(
      'rgb',
      GREYS.flatMap((grey) => [grey, grey, grey].map((v) => v * 257)),
      { bits: 16 },
    ),
  ],
  [
    'RGBA',
    square(
      'rgba',
      GREYS.flatMap((grey) => [grey, grey, grey, 255]),
    ),
  ],
  [
    'a palette',
    square('palette', [3, 1, 0, 2], { palette: [200, 80, 70, 9].flatMap((grey) => [grey, grey, grey]) }),
  ],
])('a PNG file of %s is seen', async (name, bytes) => {
  expect(await sees(await write(`${name}.png`, bytes))).toEqual(expectedLogits(GREYS));
});

test('transparent pixels are black, colours luminance', async () => {
  const bytes = square('rgba', [255, 255, 255, 0, 255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255]);
  expect(await sees(await write('colours.png', bytes))).toEqual(expectedLogits([0, 76, 150, 29]));
});

test.each([
  ['grey', 200],
  ['red', 76],
  ['progressive', 76],
  ['cmyk', 200],
] as const)('a JPEG file, %s, is seen', async (name, grey) => {
  expect(await sees(await write(`${name}.jpg`, JPEG[name]))).toEqual(
    expectedLogits([grey, grey, grey, grey]),
  );
});

describe('URLs', () => {
  it('of files are read', async () => {
    const file = await write('a picture #1.png', square('grey', GREYS));
    const url = pathToFileURL(file);
    expect(await sees(url)).toEqual(expectedLogits(GREYS));
    expect(await sees(url.href)).toEqual(expectedLogits(GREYS));
  });

  it('of data are decoded', async () => {
    const bytes = square('grey', GREYS);
    const percent = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
    for (const url of [
      `data:image/png;base64,${bytes.toString('base64')}`,
      `data:image/png;base64,${encodeURIComponent(bytes.toString('base64'))}`,
      `data:image/png,${percent}`,
    ]) {
      expect(await sees(url)).toEqual(expectedLogits(GREYS));
      expect(await sees(new URL(url))).toEqual(expectedLogits(GREYS));
    }
    expect(await codeOf('data:image/png;base64,aGVsbG8=')).toBe('ERR_IMAGE_FORMAT');
    expect(await codeOf('data:,')).toBe('ERR_IMAGE_FORMAT');
    expect(await codeOf('data:image/png')).toBe('ERR_IMAGE_URL');
  });

  it('of the web are refused, and the message says what to do', async () => {
    const refused = { code: 'ERR_IMAGE_URL', message: expect.stringContaining('nothing is fetched') };
    await expect(vit.classify('https://example.org/shirt.png')).rejects.toMatchObject(refused);
    await expect(vit.classify(new URL('http://example.org/shirt.png'))).rejects.toMatchObject(refused);
    await expect(vit.classify(new URL('ftp://example.org/shirt.png'))).rejects.toMatchObject(refused);
  });
});

describe('hostile files', () => {
  const good = png({
    width: 16,
    height: 16,
    colour: 'rgb',
    samples: Array.from({ length: 768 }, (_, i) => i % 251),
  });

  /** A PNG whose header says something else. */
  const lying = (edit: (header: Buffer) => void) => {
    const bytes = Buffer.from(png({ width: 1, height: 1, colour: 'grey', samples: [7] }));
    edit(bytes.subarray(16, 29));
    const sum = png({
      width: bytes.readUInt32BE(16),
      height: bytes.readUInt32BE(20),
      colour: 'grey',
      samples: [],
    });
    sum.copy(bytes, 29, 29, 33);
    return bytes;
  };

  it('that are cut off anywhere are damaged, not a crash', async () => {
    for (let length = 8; length < good.length - 12; length += 7)
      expect(await codeOf(await write('cut.png', good.subarray(0, length))), `${length}`).toBe(
        'ERR_IMAGE_DATA',
      );
    for (let length = 4; length < 150; length += 7)
      expect(await codeOf(await write('cut.jpg', JPEG.grey.subarray(0, length))), `${length}`).toBe(
        'ERR_IMAGE_DATA',
      );
  });

  it('with any byte changed are an answer or an error of pictures', async () => {
    for (const [name, bytes] of Object.entries({ 'bits.png': good, 'bits.jpg': JPEG.red })) {
      for (let at = 0; at < bytes.length; at += 3) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
        expect(await codeOf(await write(name, changed)), `${name} ${at}`).toSatisfy(
          (code) => code === undefined || /^ERR_IMAGE_/.test(code),
        );
      }
    }
  });

  it('that promise billions of pixels are refused before memory is taken', async () => {
    const huge = lying((header) => {
      header.writeUInt32BE(60_000);
      header.writeUInt32BE(60_000, 4);
    });
    const before = process.memoryUsage.rss();
    expect(await codeOf(await write('huge.png', huge))).toBe('ERR_IMAGE_SIZE');
    const wide = lying((header) => {
      header.writeUInt32BE(8000);
      header.writeUInt32BE(8000, 4);
    });
    expect(await codeOf(await write('wide.png', wide))).toBe('ERR_IMAGE_DATA');
    expect(process.memoryUsage.rss() - before).toBeLessThan(32 * 2 ** 20);
  });

  it('of no bytes, of another kind, or of nothing at all have codes', async () => {
    expect(await codeOf(await write('empty.png', new Uint8Array()))).toBe('ERR_IMAGE_FORMAT');
    expect(await codeOf(await write('x.gif', Buffer.from('GIF89a')))).toBe('ERR_IMAGE_FORMAT');
    expect(await codeOf(folder)).toBe('ERR_FILE_ACCESS');
    expect(await codeOf(path.join(folder, 'none.png'))).toBe('ERR_FILE_NOT_FOUND');
  });
});
