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
  bytes: number;
}

/** What a model file holds. */
export interface ModelFile {
  architecture: string;
  /** Key-value pairs of the file; long arrays are shortened. */
  metadata: Record<string, unknown>;
  tensors: TensorInfo[];
  [more: string]: unknown;
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
