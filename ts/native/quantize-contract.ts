import type { NativeHub } from './contract.ts';
import type { NativeImage } from './vision-contract.ts';

export interface NativeChoice {
  bits: number;
  perturbation: number;
  costs: number[];
}

export interface NativeNodeCost {
  name: string;
  op: string;
  multiplyAdds: number;
  parameters: number;
  activations: number;
  weightBytes: number;
  activationBytes: number;
  seconds: number;
}

export interface NativeQuantizeOptions {
  mode: string;
  /** 4 or 8; 0 for a width for each layer. */
  weightBits: number;
  /** A percentage of magnitudes; 0 for the least squared error. */
  range: number;
  sensitivity: string;
  probes: number;
  seed: number;
  traces: number[];
  size?: number;
  bitOperations?: number;
  latency?: number;
  latencies: number[][];
  /** 0 means all. */
  threads: number;
}

/** Bit allocation, costs and partial products. */
export interface NativeQuantize {
  allocateBits(
    layers: NativeChoice[][],
    limits: number[],
    ties: number[][],
  ): { bits: number[]; perturbation: number; costs: number[] };
  /** For each encoding of ts/quantize/analysis.ts: mean, cycles, and how many weights have 0 to 8 digits. */
  partialProductStats(weights: Int8Array, columns: number, lanes: number): number[];
  quantizeIntegerOnly(
    hub: NativeHub,
    path: string,
    images: NativeImage[],
    options: NativeQuantizeOptions,
  ): number;
  compareIntegerGraph(hub: NativeHub, path: string, file: Uint8Array, images: NativeImage[]): number;
  estimateCost(
    path: string,
    options: {
      multiplyAddsPerSecond: number;
      bytesPerSecond: number;
      secondsPerNode: number;
      weightBits: number;
      activationBits: number;
      batch: number;
    },
  ): NativeNodeCost[];
  /** Depth, width, resolution, activations, parameters. */
  scaleModel(alpha: number, s: number): number[];
}
