import { fileURLToPath } from 'node:url';
import { DyadicError } from '../errors.ts';
import type { NativeImage } from '../native/vision-contract.ts';
import { optionError, show } from '../options.ts';
import type { ImageSource } from './types.ts';

const LARGEST_SIDE = 2 ** 26;

function side(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > LARGEST_SIDE)
    throw optionError(name, `an integer from 1 to ${LARGEST_SIDE}`, value);
  return value;
}

/** The bytes of a `data:` URL (RFC 2397). */
function dataBytes(url: string): Uint8Array {
  const comma = url.indexOf(',');
  if (comma < 0) throw new DyadicError('ERR_IMAGE_URL', `${show(url)}: a data: URL without a comma`);
  const text = url
    .slice(comma + 1)
    .replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(text, /;\s*base64\s*$/i.test(url.slice(0, comma)) ? 'base64' : 'latin1');
}

function readUrl(url: string): NativeImage {
  if (/^data:/i.test(url)) return { file: dataBytes(url) };
  if (/^file:/i.test(url)) {
    try {
      return { path: fileURLToPath(url) };
    } catch (cause) {
      throw new DyadicError('ERR_IMAGE_URL', `${show(url)}: no file of this machine`, { cause });
    }
  }
  throw new DyadicError(
    'ERR_IMAGE_URL',
    `${show(url)}: only file: and data: URLs are read, nothing is fetched; save the picture, or pass its pixels`,
  );
}

/**
 * A picture as the native library takes it.
 * @internal
 */
export function readImage(image: ImageSource): NativeImage {
  if (image instanceof URL) return readUrl(image.href);
  if (typeof image === 'string')
    return /^(https?|file|data):/i.test(image) ? readUrl(image) : { path: image };
  if (image === null || typeof image !== 'object')
    throw optionError('image', 'a path, a URL, an ImageData, or { data, width, height, channels }', image);
  const { data } = image;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray))
    throw optionError('image.data', 'a Uint8Array or Uint8ClampedArray', data);
  const [width, height] = [side(image.width, 'image.width'), side(image.height, 'image.height')];
  const channels = image.channels ?? data.length / (width * height);
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw optionError('image.channels', '1, 3 or 4, and as many bytes for each pixel', channels);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { data: bytes, width, height, channels };
}
