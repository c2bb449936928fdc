import { DyadicError } from '../errors.ts';
import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import { optionError } from '../options.ts';
import { layoutOfTensor, Tensor } from '../tensor.ts';
import { dtypeOf } from './dtypes.ts';
import { ReadableFile, writeParts } from './file.ts';
import { plainBytes, type RawArray, readRaw, readTensor, type StoredArray } from './stored.ts';

export type { RawArray };

/** Bytes before the text of the header: magic, version, and its length in 2 or 4 bytes. */
const PREFIX = 12;
/** No shape of 64 axes has a longer header; NumPy itself refuses headers of more than 10 000 bytes by default. */
const MAX_HEADER = 1 << 20;

async function readHeader(file: ReadableFile): Promise<StoredArray> {
  const prefix = await file.head(PREFIX);
  const view = new DataView(prefix.buffer);
  const isFirst = prefix[6] === 1;
  const length = prefix.length < PREFIX ? 0 : isFirst ? view.getUint16(8, true) : view.getUint32(8, true);
  const head = await file.head(PREFIX + Math.min(length, MAX_HEADER));
  return JSON.parse(callNative(() => native().readNpyHeader(file.path, head, file.size)));
}

function pathOf(path: unknown): string {
  if (typeof path === 'string' && path !== '') return path;
  throw optionError('path', 'the path of a file', path);
}

/**
 * Reads an array of NumPy (`.npy`, versions 1 to 3, numbers in little-endian order).
 *
 * Arrays in Fortran order become transposed tensors without being moved. float64 becomes f32; int64 and uint64 become integers of 32 bits where
 * every element is one; booleans become `uint1:none`.
 *
 * @throws DyadicError `ERR_NPY_…` for a damaged file, `ERR_FILE_NOT_FOUND`, `ERR_FILE_ACCESS`, `ERR_OUT_OF_RANGE`; `ERR_FORMAT_UNSUPPORTED` for complex numbers.
 * @example
 * ```ts
 * const weights = await readNpy('weights.npy');
 * const low = weights.to('int4:g32:f16');
 * ```
 */
export async function readNpy(path: string): Promise<Tensor> {
  return ReadableFile.with(pathOf(path), async (file) => readTensor(file, await readHeader(file), path));
}

/**
 * Reads the bytes of an array of NumPy as they are, of any type: for numbers of 64 bits and complex ones.
 *
 * @throws DyadicError as {@link readNpy}.
 */
export async function readNpyBytes(path: string): Promise<RawArray & { fortranOrder: boolean }> {
  return ReadableFile.with(pathOf(path), async (file) => {
    const header = await readHeader(file);
    return { ...(await readRaw(file, header)), fortranOrder: header.fortranOrder === true };
  });
}

/**
 * Writes a tensor for NumPy, in one step: a file that is there is replaced when the new one is complete.
 *
 * @throws DyadicError `ERR_NPY_DTYPE` for a format that NumPy does not have (`tensor.to('f32')` has one): it has f16, f32 and plain integers.
 * @example
 * ```ts
 * await writeNpy('decoded.npy', low.to('f32'));
 * ```
 */
export async function writeNpy(path: string, tensor: Tensor): Promise<void> {
  const target = pathOf(path);
  if (!(tensor instanceof Tensor)) throw optionError('tensor', 'a Tensor', tensor);
  const layout = layoutOfTensor(tensor);
  const dtype = dtypeOf(tensor.format);
  if (dtype === undefined) {
    throw new DyadicError(
      'ERR_NPY_DTYPE',
      `${path}: NumPy has no type for ${tensor.format.name}; write tensor.to('f32'), or a safetensors file`,
    );
  }
  const data = plainBytes(layout, dtype);
  const described = { name: '', dtype, shape: [...tensor.shape], byteLength: data.length };
  const { bytes } = callNative(() => native().npyHeader(described));
  await writeParts(target, [Buffer.from(bytes, 'latin1'), data]);
}
