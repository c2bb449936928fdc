import { DyadicError } from '../errors.ts';
import { callNative, parseFormat } from '../formats.ts';
import { native } from '../native/load.ts';
import { openOptions, optionError, show } from '../options.ts';
import { adopt, layoutOfTensor, Tensor } from '../tensor.ts';
import { dtypeOf } from './dtypes.ts';
import { ReadableFile, writeParts } from './file.ts';
import type { Layout } from './layout.ts';
import { allocate, type Parts, partLengths } from './memory.ts';
import { isPermutation } from './message.ts';
import { matrixOf, readShape } from './shape.ts';
import { plainBytes, type RawArray, readRaw, readTensor, type StoredArray } from './stored.ts';

/** Bytes of the length of the header. */
const PREFIX = 8;
/** The limit of the format. */
const MAX_HEADER = 100_000_000;
/** The metadata of a tensor that is stored in parts has this before its name. */
const PARTS_KEY = 'dyadic:';
/** What the parts of such a tensor are called, behind its name. */
const PART_NAMES: Readonly<Record<keyof Parts, string>> = {
  codes: '.codes',
  scales: '.scales',
  zeros: '.zero_points',
  selectors: '.selectors',
  superScales: '.super_scales',
};
const PART_KEYS = Object.keys(PART_NAMES) as readonly (keyof Parts)[];

/** What a header says of a tensor. */
export interface SafetensorsInfo {
  readonly name: string;
  /** Its type by the names of safetensors files; for a tensor that is stored in parts, the name of its format. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The bytes that it takes in the file. */
  readonly byteLength: number;
}

/** How a tensor that is stored in parts is put together. */
interface Assembly {
  format: string;
  dimensions: readonly number[];
  order: readonly number[];
  parts: ReadonlyMap<keyof Parts, StoredArray>;
}

type Entry = { info: SafetensorsInfo } & ({ array: StoredArray } | { assembly: Assembly });

/**
 * The tensors of a safetensors file, which are read one by one when they are asked for. Nothing stays open.
 *
 * @example
 * ```ts
 * const file = await readSafetensors('model.safetensors');
 * for (const { name, dtype, shape } of file) console.log(name, dtype, shape);
 * const weights = await file.get('model.embed_tokens.weight');
 * ```
 */
export class SafetensorsFile implements Iterable<SafetensorsInfo> {
  readonly path: string;
  /** The texts that the file has about itself. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #size: number;
  readonly #entries: ReadonlyMap<string, Entry>;

  /** @internal */
  constructor(path: string, size: number, metadata: Record<string, string>, entries: Map<string, Entry>) {
    this.path = path;
    this.#size = size;
    this.metadata = Object.freeze(metadata);
    this.#entries = entries;
  }

  /** The number of tensors. */
  get size(): number {
    return this.#entries.size;
  }

  /** Their names, in the order of the file. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** What the header says of every tensor, in the order of the file. */
  *[Symbol.iterator](): IterableIterator<SafetensorsInfo> {
    for (const { info } of this.#entries.values()) yield info;
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) {
      throw new DyadicError('ERR_SAFETENSORS_TENSOR', `${this.path}: tensor ${show(name)} is missing`);
    }
    return entry;
  }

  #with<T>(use: (file: ReadableFile) => Promise<T>): Promise<T> {
    return ReadableFile.with(this.path, async (file) => {
      if (file.size === this.#size) return use(file);
      throw new DyadicError(
        'ERR_IO',
        `${this.path}: the file has ${file.size} bytes and had ${this.#size} when its header was read`,
      );
    });
  }

  /**
   * Reads a tensor. F64 becomes f32; I64 and U64 become integers of 32 bits where every element is one; BOOL becomes `uint1:none`.
   *
   * @throws DyadicError `ERR_SAFETENSORS_TENSOR` where there is none of that name; `ERR_OUT_OF_RANGE`; `ERR_FORMAT_UNSUPPORTED` for complex numbers.
   */
  async get(name: string): Promise<Tensor> {
    const entry = this.#entry(name);
    const what = `${this.path}: tensor ${show(name)}`;
    return this.#with((file) =>
      'array' in entry ? readTensor(file, entry.array, what) : assemble(file, entry.assembly),
    );
  }

  /** Reads the bytes of a tensor as they are in the file, of any type. */
  async getBytes(name: string): Promise<RawArray> {
    const entry = this.#entry(name);
    if (!('array' in entry)) {
      throw new DyadicError(
        'ERR_FORMAT_UNSUPPORTED',
        `${this.path}: tensor ${show(name)} is stored in parts; get() puts them together`,
      );
    }
    return this.#with((file) => readRaw(file, entry.array));
  }
}

async function assemble(file: ReadableFile, assembly: Assembly): Promise<Tensor> {
  const format = parseFormat(assembly.format);
  const { dimensions, order } = assembly;
  const { rows, columns } = matrixOf(dimensions);
  const parts = allocate(format, rows, columns);
  for (const [key, { begin }] of assembly.parts) {
    const { buffer, byteOffset, byteLength } = parts[key];
    await file.fill(new Uint8Array(buffer, byteOffset, byteLength), begin);
  }
  return adopt({ format, dimensions, order, parts });
}

/**
 * Reads the header of a safetensors file and checks it: a hostile file is a coded error.
 *
 * @throws DyadicError `ERR_SAFETENSORS_…`, `ERR_FILE_NOT_FOUND`, `ERR_FILE_ACCESS`.
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  if (typeof path !== 'string' || path === '') throw optionError('path', 'the path of a file', path);
  return ReadableFile.with(path, async (file) => {
    const prefix = await file.head(PREFIX);
    const length = prefix.length < PREFIX ? 0n : new DataView(prefix.buffer).getBigUint64(0, true);
    // Of a header that is too long, enough to tell what kind of file it is.
    const head = await file.head(PREFIX + (length > MAX_HEADER ? PREFIX : Number(length)));
    const header: {
      metadata: [string, string][];
      tensors: (StoredArray & { name: string })[];
    } = JSON.parse(callNative(() => native().readSafetensorsHeader(path, head, file.size)));
    const arrays = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
    const entries = new Map<string, Entry>();
    for (const [key, text] of header.metadata) {
      if (key.startsWith(PARTS_KEY)) {
        const name = key.slice(PARTS_KEY.length);
        entries.set(name, readAssembly(path, name, text, arrays));
      }
    }
    for (const [name, array] of arrays) {
      const info = infoOf(name, array.dtype, array.shape, array.end - array.begin);
      entries.set(name, { info, array });
    }
    return new SafetensorsFile(path, file.size, Object.fromEntries(header.metadata), entries);
  });
}

function infoOf(name: string, dtype: string, shape: readonly number[], byteLength: number): SafetensorsInfo {
  return Object.freeze({ name, dtype, shape: Object.freeze([...shape]), byteLength });
}

/** The parts of a tensor whose format is no type of the file, taken out of `arrays`. What the metadata says is checked against them. */
function readAssembly(path: string, name: string, text: string, arrays: Map<string, StoredArray>): Entry {
  const refuse = (reason: string) =>
    new DyadicError('ERR_SAFETENSORS_HEADER', `${path}: the metadata of tensor ${show(name)}: ${reason}`);
  let said: { format?: unknown; dimensions?: unknown; order?: unknown };
  try {
    said = JSON.parse(text) ?? {};
  } catch {
    throw refuse('expected JSON');
  }
  if (typeof said.format !== 'string') throw refuse(`expected a format, got ${show(said.format)}`);
  const format = parseFormat(said.format);
  const dimensions = readShape(said.dimensions, `${path}: dimensions of tensor ${show(name)}`);
  if (!isPermutation(said.order, dimensions.length)) {
    throw refuse(`expected an order of ${dimensions.length} axes, got ${show(said.order)}`);
  }
  const { rows, columns } = matrixOf(dimensions);
  const lengths = partLengths(format, rows, columns);
  const parts = new Map<keyof Parts, StoredArray>();
  let byteLength = 0;
  for (const [k, key] of PART_KEYS.entries()) {
    const expected = (lengths[k] ?? 0) * (key === 'superScales' ? 4 : 1);
    const array = arrays.get(name + PART_NAMES[key]);
    const found = array === undefined ? 0 : array.end - array.begin;
    // Before anything is allocated: the file has as many bytes as the tensor will have.
    if (found !== expected) {
      throw refuse(`${name}${PART_NAMES[key]} has ${found} bytes, ${format.name} takes ${expected}`);
    }
    if (array !== undefined) {
      arrays.delete(name + PART_NAMES[key]);
      parts.set(key, array);
      byteLength += found;
    }
  }
  const order = [...said.order];
  const shape = order.map((_, axis) => dimensions[order.indexOf(axis)] ?? 0);
  const info = infoOf(name, format.name, shape, byteLength);
  return { info, assembly: { format: format.name, dimensions, order, parts } };
}

/** Options of {@link writeSafetensors}. */
export interface SafetensorsOptions {
  /** Texts about the file. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes tensors to a safetensors file, in one step: a file that is there is replaced when the new one is complete.
 *
 * Formats that the file has a type for (floats of 4 to 32 bits, plain integers) are stored so that every reader understands them. Others, with
 * scales, are stored in parts, `name.codes`, `name.scales` and so on, which {@link readSafetensors} puts together again, bit by bit.
 *
 * @throws DyadicError `ERR_SAFETENSORS_DUPLICATE` where names collide; `ERR_OPTION`, `ERR_DISPOSED`, `ERR_FILE_ACCESS`, `ERR_IO`.
 * @example
 * ```ts
 * await writeSafetensors('low.safetensors', { weights: weights.to('nvfp4'), bias: bias.to('bf16') });
 * ```
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
  options?: SafetensorsOptions,
): Promise<void> {
  if (typeof path !== 'string' || path === '') throw optionError('path', 'the path of a file', path);
  const raw = openOptions(options, 'writeSafetensors', ['metadata']);
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(raw.metadata ?? {})) {
    if (typeof text !== 'string') throw optionError(`metadata.${key}`, 'a string', text);
    metadata.set(key, text);
  }
  const entries: { name: string; dtype: string; shape: number[]; data: Uint8Array }[] = [];
  const named = tensors instanceof Map ? tensors.entries() : Object.entries(tensors ?? {});
  for (const [name, tensor] of named) {
    if (!(tensor instanceof Tensor)) throw optionError(`tensors.${name}`, 'a Tensor', tensor);
    const layout = layoutOfTensor(tensor);
    const dtype = dtypeOf(tensor.format);
    if (dtype === undefined) {
      const { dimensions, order } = layout;
      metadata.set(PARTS_KEY + name, JSON.stringify({ format: layout.format.name, dimensions, order }));
      entries.push(...partEntries(name, layout));
    } else {
      entries.push({ name, dtype, shape: [...tensor.shape], data: plainBytes(layout, dtype) });
    }
  }
  const described = entries.map(({ data, ...entry }) => ({ ...entry, byteLength: data.length }));
  const { bytes, order } = callNative(() => native().safetensorsHeader([...metadata].flat(), described));
  const data = order.map((index) => entries[index]?.data ?? new Uint8Array(0));
  await writeParts(path, [Buffer.from(bytes, 'latin1'), ...data]);
}

function partEntries(name: string, { format, parts }: Layout) {
  const { scale } = format.describe();
  return PART_KEYS.filter((key) => parts[key].length > 0).map((key) => {
    const { buffer, byteOffset, byteLength } = parts[key];
    // Scales under the type that they have, for people who look at the file with other programs.
    const dtype =
      key === 'superScales'
        ? 'F32'
        : (key === 'scales' && scale !== null && dtypeOf(parseFormat(`${scale.format}:none`))) || 'U8';
    const width = { F32: 4, F16: 2, BF16: 2 }[dtype] ?? 1;
    const data = new Uint8Array(buffer, byteOffset, byteLength);
    return { name: name + PART_NAMES[key], dtype, shape: [byteLength / width], data };
  });
}
