import type { NativeImage } from '../native/vision-contract.ts';
import { optionError } from '../options.ts';
import type { ImageSource } from './types.ts';

const LARGEST_SIDE = 2 ** 26;

function side(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > LARGEST_SIDE)
    throw optionError(name, `an integer from 1 to ${LARGEST_SIDE}`, value);
  return value;
}

/**
 * A picture as the native library takes it.
 * @internal
 */
export function readImage(image: ImageSource): NativeImage {
  if (typeof image === 'string') return { path: image, width: 0, height: 0, channels: 0 };
  if (image === null || typeof image !== 'object')
    throw optionError('image', 'a path, an ImageData, or { data, width, height, channels }', image);
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
