import type { OnProgress } from '../models/progress.ts';

/**
 * A picture: the path of a PNG or JPEG file, a `file:` or `data:` URL of one, an `ImageData`, or pixels with their sizes. Nothing is fetched: a URL of
 * another kind is `ERR_IMAGE_URL`.
 */
export type ImageSource = string | URL | PixelImage;

/** Pixels, rows from the top. `ImageData` is one (RGBA). */
export interface PixelImage {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 RGB, 4 RGBA. Default: as many as the data have for each pixel. */
  readonly channels?: number;
}

/** The arithmetic of a network: integers alone, or the floats that they were made of. */
export type VisionPrecision = 'integer' | 'float32';

/** Options of {@link VisionTransformer.load}. */
export interface VisionLoadOptions {
  /** Which network is loaded: that of integers, unless said, or that of floats, to compare with. */
  precision?: VisionPrecision;
  /** Threads that a call may use. Default: all that the process may use. The result does not depend on it. */
  threads?: number;
  signal?: AbortSignal;
}

/** Options of a classification. */
export interface ClassifyOptions {
  /** How many classes are returned, best first. Default: all. */
  top?: number;
  signal?: AbortSignal;
}

/** Options of a classification of several images. */
export interface ClassifyBatchOptions extends ClassifyOptions {
  /** Stage `'classify'`: the part of the images that is done. */
  onProgress?: OnProgress;
}

/** The size of the images that a network reads; every other picture is brought to it. */
export interface VisionInput {
  /** Rows of pixels. */
  height: number;
  /** Pixels of a row. */
  width: number;
  /** 1 grey, 3 RGB. */
  channels: number;
}

/** What an image may show. */
export interface Classification {
  /** The name of the class. */
  label: string;
  /** Its index among the labels. */
  index: number;
  /** Its probability: softmax of the logits. */
  score: number;
}

/** A step of a network. */
export interface VisionNode {
  /** The name of its weights, or of what it does. */
  name: string;
  op: string;
  /** The nodes that it reads. */
  inputs: number[];
  /** Height, width and channels of its value; tokens, 1 and channels. */
  shape: [height: number, width: number, channels: number];
  /** Bits of an element of its value. */
  bits: number;
  /** Bits of a weight; null without weights. */
  weightBits: number | null;
  /** How many weights it has. */
  weights: number;
}

/** What a file of integers, or of floats, holds. */
export interface VisionFile {
  name: string;
  /** The non-linear operations: tables (`exact`), those of I-ViT or of I-BERT; or `float32`. */
  mode: 'exact' | 'ivit' | 'ibert' | 'float32';
  labels: string[];
  input: VisionInput;
  /** How many weights there are, biases and tables not counted. */
  weights: number;
  /** What a unit of a logit stands for: multiplier / 2^shift; 1 of floats. */
  logitScale: [multiplier: number, shift: number];
  nodes: VisionNode[];
}

/** A model in memory. */
export interface VisionDescription extends VisionFile {
  /** The instruction set of the kernels. */
  isa: string;
  threads: number;
  /** Packed weights and the values of one image, in bytes; of floats the weights alone. */
  residentBytes: number;
}
