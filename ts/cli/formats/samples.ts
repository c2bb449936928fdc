import path from 'node:path';
import { readNpy } from '../../tensor/npy.ts';

/** A matrix of numbers to compare formats on. */
export interface Samples {
  /** What they are, for titles. */
  title: string;
  values: Float32Array;
  shape: readonly number[];
}

/** An array of NumPy. */
export async function readSamples(file: string): Promise<Samples> {
  const tensor = await readNpy(file);
  return { title: path.basename(file), values: tensor.toFloat32(), shape: tensor.shape };
}

const SHAPE = [64, 4096] as const;

/** Uniform in (0, 1), a function of seed and index (the finalizer of MurmurHash3). */
function uniform(seed: number, index: number): number {
  let x = (index + Math.imul(seed + 1, 0x9e3779b9)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (((x ^ (x >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}

/** Synthetic tensors by the flag that asks for them. */
export const SYNTHETIC: Readonly<
  Record<string, { title: string; help: string; sample: (i: number) => number }>
> = {
  gaussian: {
    title: 'N(0, 1)',
    help: 'on 2^18 samples of the normal distribution',
    sample: (i) =>
      Math.sqrt(-2 * Math.log(uniform(1, 2 * i))) * Math.cos(2 * Math.PI * uniform(1, 2 * i + 1)),
  },
  laplace: {
    title: 'Laplace',
    help: 'on 2^18 samples of the Laplace distribution',
    sample: (i) => {
      const u = uniform(2, i) - 0.5;
      return -Math.sign(u) * Math.log(1 - 2 * Math.abs(u));
    },
  },
};

/** 64 rows of 4096. */
export function synthesize(name: string): Samples {
  const { title = '', sample = () => 0 } = SYNTHETIC[name] ?? {};
  const values = Float32Array.from({ length: SHAPE[0] * SHAPE[1] }, (_, i) => sample(i));
  return { title, values, shape: SHAPE };
}
