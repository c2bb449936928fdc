import { fromNative } from '../errors.ts';
import { resolveModel } from '../models/resolve.ts';
import { native } from '../native/load.ts';

/** One tensor of a model file. */
export interface TensorInfo {
  name: string;
  /** `Q4_1`, `F32`, … */
  type: string;
  /** Extents, the fastest varying first, as the file has them. */
  shape: number[];
  /** Size in the file; null where the type is unknown. */
  bytes: number | null;
  /** Which file of a split model it is in, from 0, and where in its data. */
  part: number;
  offset: number;
}

/** What a model file holds. */
export interface ModelFile {
  format: 'gguf';
  /** Version of the format. */
  version: number;
  /** The files of a split model, else one. */
  parts: { path: string; bytes: number }[];
  architecture: string | null;
  name: string | null;
  /** Number of weights, and the bytes they take. */
  parameters: number;
  tensorBytes: number;
  /** Sums by tensor type. */
  types: Record<string, { tensors: number; parameters: number; bytes: number }>;
  /** Key-value pairs of the file; of long arrays type, length and the first values. */
  metadata: Record<string, unknown>;
  tensors: TensorInfo[];
}

/** What dyadic found on this machine. */
export interface Doctor {
  /** Version of dyadic. */
  version: string;
  cpu: string;
  /** The instruction set in use. */
  isa: string;
  [more: string]: unknown;
}

/**
 * Reads the header of a model file: nothing is loaded.
 *
 * @param model a known name, `hf:OWNER/REPO/FILE.gguf` or a path; it is not fetched.
 * @throws DyadicError `ERR_MODEL_NOT_FOUND`, `ERR_GGUF_…`.
 */
export async function inspectModel(model: string): Promise<ModelFile> {
  const path = await resolveModel(model, { download: false });
  try {
    return JSON.parse(native().inspect(path));
  } catch (error) {
    throw fromNative(error);
  }
}

/** CPU, instruction sets, kernels, threads, caches and memory, as dyadic sees them. */
export function doctor(): Doctor {
  try {
    return JSON.parse(native().doctor());
  } catch (error) {
    throw fromNative(error);
  }
}
