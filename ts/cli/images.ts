import { open, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { codeOf, DyadicError, fromFileSystem } from '../errors.ts';
import type { ImageSource } from '../vision/types.ts';

/** A picture with the name that it is shown by. */
export interface NamedImage {
  name: string;
  image: ImageSource;
}

const PICTURE = /\.(png|jpe?g)$/i;
const URL_LIKE = /^(https?|file|data):/i;

/** The first bytes of IDX files of unsigned bytes, as MNIST has them: labels, grey images, images with channels. */
const IDX_LABELS = 0x0801;
const IDX_IMAGES = [0x0803, 0x0804];

interface Idx {
  magic: number;
  sizes: number[];
  data: Uint8Array;
}

/** An IDX file, also gzipped; `undefined` where it is another kind of file. */
async function readIdx(file: string): Promise<Idx | undefined> {
  const packed = await readFile(file);
  const bytes = packed[0] === 0x1f && packed[1] === 0x8b ? gunzipSync(packed) : packed;
  const magic = bytes.length < 4 ? 0 : bytes.readUInt32BE();
  const start = 4 + 4 * (magic & 0xff);
  if (magic >> 8 !== 8 || bytes.length < start) return undefined;
  const sizes = Array.from({ length: magic & 0xff }, (_, axis) => bytes.readUInt32BE(4 + 4 * axis));
  const data = bytes.subarray(start);
  const expected = sizes.reduce((product, size) => product * size, 1);
  if (data.length !== expected)
    throw new DyadicError(
      'ERR_IMAGE_DATA',
      `${file}: ${data.length} bytes after the header of an IDX file of ${sizes.join(' x ')}`,
    );
  return { magic, sizes, data };
}

function notImages(file: string): DyadicError {
  return new DyadicError(
    'ERR_IMAGE_FORMAT',
    `${file}: no images; expected PNG or JPEG, a folder of them, or an IDX file of unsigned bytes (MNIST)`,
  );
}

async function idxImages(file: string, most: number): Promise<NamedImage[]> {
  const idx = await readIdx(file);
  const [count = 0, height = 0, width = 0, channels = 1] = idx?.sizes ?? [];
  const size = height * width * channels;
  if (idx === undefined || !IDX_IMAGES.includes(idx.magic) || size === 0) throw notImages(file);
  return Array.from({ length: Math.min(count, most) }, (_, index) => ({
    name: `${path.basename(file)} ${index}`,
    image: { data: idx.data.subarray(index * size, (index + 1) * size), width, height, channels },
  }));
}

/** Pictures at any depth, in the order of their names: where there are more than `most`, as many at equal distances, so that no subfolder is left out. */
async function folderImages(folder: string, most: number): Promise<NamedImage[]> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => PICTURE.test(name)).sort();
  if (names.length === 0) throw notImages(folder);
  const step = Math.max(1, names.length / most);
  return Array.from({ length: Math.min(names.length, most) }, (_, index) => {
    const name = names[Math.floor(index * step)] ?? '';
    return { name, image: path.join(folder, name) };
  });
}

/** Pictures of any name begin as PNG and JPEG files do. */
async function isPicture(file: string): Promise<boolean> {
  await using handle = await open(file);
  const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0);
  return [0x8950, 0xffd8].includes(buffer.readUInt16BE());
}

/** The images that a word of a command line names: a picture, the pictures of a folder, or the first of an IDX file; at most so many. */
export async function namedImages(
  source: string,
  most: number = Number.POSITIVE_INFINITY,
): Promise<NamedImage[]> {
  if (URL_LIKE.test(source)) return [{ name: source.slice(0, 60), image: source }];
  try {
    if ((await stat(source)).isDirectory()) return await folderImages(source, most);
    if (!PICTURE.test(source) && !(await isPicture(source))) return await idxImages(source, most);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw new DyadicError('ERR_FILE_NOT_FOUND', `${source}: no such file`);
    throw fromFileSystem(error, source);
  }
  return [{ name: source, image: source }];
}

/** The labels of an IDX file. */
export async function idxLabels(file: string): Promise<Uint8Array> {
  const idx = await readIdx(file).catch((error: unknown) => {
    throw fromFileSystem(error, file);
  });
  if (idx?.magic !== IDX_LABELS)
    throw new DyadicError('ERR_IMAGE_FORMAT', `${file}: no labels; expected an IDX file of unsigned bytes`);
  return idx.data;
}
