import { availableParallelism, cpus, totalmem } from 'node:os';
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

/** The kernel that was chosen for an operation. */
export interface ActiveKernel {
  /** The operation and its formats. */
  op: string;
  /** The name of the kernel: `op_formats__isa`. */
  name: string;
  /** The instruction set that it needs. */
  isa: string;
}

/** What dyadic found on this machine. */
export interface Doctor {
  /** Version of dyadic. */
  version: string;
  /** Model name of the CPU. */
  cpu: string;
  /** `x86_64` or `aarch64`. */
  architecture: string;
  /** The instruction set in use (`DYADIC_ISA` overrides), and all that this CPU has. */
  isa: string;
  isas: string[];
  /** Threads of the pool (`DYADIC_THREADS` overrides). */
  threads: number;
  /** The kernel that was chosen for each operation. */
  kernels: ActiveKernel[];
  /** What the process may use: logical CPUs, and bytes of memory by the machine and by its container. */
  limits: { cpus: number; memoryBytes: number; constrainedMemoryBytes: number | null };
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

/**
 * CPU, instruction sets, kernels, threads and limits, as dyadic sees them.
 *
 * @throws DyadicError `ERR_NATIVE_LOAD`; `ERR_ISA_UNKNOWN` or `ERR_ISA_UNSUPPORTED` when `DYADIC_ISA` names none that this CPU has.
 */
export function doctor(): Doctor {
  try {
    const constrained = process.constrainedMemory();
    return {
      ...JSON.parse(native().doctor()),
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      limits: {
        cpus: availableParallelism(),
        memoryBytes: totalmem(),
        // 0, or more than there is, where no container sets one.
        constrainedMemoryBytes: constrained > 0 && constrained < totalmem() ? constrained : null,
      },
    };
  } catch (error) {
    throw fromNative(error);
  }
}

/** The kernel that was chosen for each operation on this CPU; `DYADIC_ISA` overrides the choice. */
export function activeKernels(): ActiveKernel[] {
  return doctor().kernels;
}
