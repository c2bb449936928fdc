// A language model of random weights, for showing and timing the kernels where no real one can be had.

import { open } from 'node:fs/promises';

/**
 * Extents of a model of the llama architecture. `words` are tokens besides the 256 bytes and three marks.
 *
 * @typedef {{ layers: number, embedding: number, feedForward: number, heads: number, kvHeads: number, context: number, words: number }} Shape
 */

/** 30 million parameters, 17 MB in Q4_0. @type {Shape} */
const SMALL = {
  layers: 10,
  embedding: 512,
  feedForward: 1408,
  heads: 8,
  kvHeads: 4,
  context: 1024,
  words: 0,
};
/** 1.1 billion parameters, in the shape of TinyLlama. @type {Shape} */
export const LARGE = {
  layers: 22,
  embedding: 2048,
  feedForward: 5632,
  heads: 32,
  kvHeads: 4,
  context: 4096,
  words: 31741,
};

/** Types of weights: number in GGUF, weights and bytes of a block, where its f16 scale is, and whether its codes are of two bits and never 3. */
const TYPES = {
  Q4_0: { id: 2, block: 32, bytes: 18, scale: 0, ternary: false },
  Q8_0: { id: 8, block: 32, bytes: 34, scale: 0, ternary: false },
  Q6_K: { id: 14, block: 256, bytes: 210, scale: 208, ternary: false },
  TQ2_0: { id: 35, block: 256, bytes: 66, scale: 64, ternary: true },
  Q1_0: { id: 41, block: 128, bytes: 18, scale: 0, ternary: false },
  Q2_0: { id: 42, block: 64, bytes: 18, scale: 0, ternary: false },
};

/** @typedef {keyof typeof TYPES} WeightType */

/** Value types and tensor types of GGUF, version 3. */
const UINT32 = 4;
const INT32 = 5;
const FLOAT32 = 6;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const F32 = 0;

const ALIGNMENT = 32;
/** 2^-8 as f16: activations neither vanish nor overflow over the layers. */
const SCALE = 0x1c00;

/** @param {number} value */
const u32 = (value) => Buffer.from(new Uint32Array([value]).buffer);
/** @param {number} value */
const u64 = (value) => Buffer.from(new BigUint64Array([BigInt(value)]).buffer);
/** @param {number} value */
const f32 = (value) => Buffer.from(new Float32Array([value]).buffer);
/** @param {string} text */
const string = (text) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
/**
 * @param {number} type
 * @param {readonly Buffer[]} items
 */
const array = (type, items) => Buffer.concat([u32(type), u64(items.length), ...items]);
/** @param {number} size */
const padding = (size) => (ALIGNMENT - (size % ALIGNMENT)) % ALIGNMENT;

/**
 * A tokenizer of single bytes, and of words that nobody writes.
 *
 * @param {Shape} shape
 */
function vocabulary(shape) {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const words = Array.from({ length: shape.words }, (_, word) => `\u2581word${word}`);
  const NORMAL = 1;
  const UNKNOWN = 2;
  const CONTROL = 3;
  const BYTE = 6;
  return {
    tokens: ['<unk>', '<s>', '</s>', ...bytes, ...words],
    types: [UNKNOWN, CONTROL, CONTROL, ...bytes.map(() => BYTE), ...words.map(() => NORMAL)],
  };
}

/**
 * @param {Shape} shape
 * @returns {Buffer[]} Key, type and value of each entry.
 */
function metadata(shape) {
  const { tokens, types } = vocabulary(shape);
  /** @type {[string, number, Buffer][]} */
  const entries = [
    ['general.architecture', STRING, string('llama')],
    ['general.name', STRING, string('random weights')],
    ['llama.context_length', UINT32, u32(shape.context)],
    ['llama.embedding_length', UINT32, u32(shape.embedding)],
    ['llama.block_count', UINT32, u32(shape.layers)],
    ['llama.feed_forward_length', UINT32, u32(shape.feedForward)],
    ['llama.attention.head_count', UINT32, u32(shape.heads)],
    ['llama.attention.head_count_kv', UINT32, u32(shape.kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', FLOAT32, f32(1e-5)],
    ['llama.rope.dimension_count', UINT32, u32(shape.embedding / shape.heads)],
    ['llama.vocab_size', UINT32, u32(tokens.length)],
    ['tokenizer.ggml.model', STRING, string('llama')],
    ['tokenizer.ggml.tokens', ARRAY, array(STRING, tokens.map(string))],
    [
      'tokenizer.ggml.scores',
      ARRAY,
      array(
        FLOAT32,
        tokens.map(() => f32(0)),
      ),
    ],
    ['tokenizer.ggml.token_type', ARRAY, array(INT32, types.map(u32))],
    ['tokenizer.ggml.bos_token_id', UINT32, u32(1)],
    ['tokenizer.ggml.eos_token_id', UINT32, u32(2)],
    ['tokenizer.ggml.unknown_token_id', UINT32, u32(0)],
    ['tokenizer.ggml.add_bos_token', BOOL, Buffer.from([1])],
  ];
  return entries.map(([key, type, value]) => Buffer.concat([string(key), u32(type), value]));
}

/**
 * @param {Shape} shape
 * @returns {{ name: string, dimensions: number[] }[]} Dimensions with the contiguous one first.
 */
function tensors(shape) {
  const { embedding, feedForward, heads, kvHeads, layers } = shape;
  const kv = (embedding / heads) * kvHeads;
  const vocabularySize = vocabulary(shape).tokens.length;
  const list = [
    { name: 'token_embd.weight', dimensions: [embedding, vocabularySize] },
    { name: 'output_norm.weight', dimensions: [embedding] },
    { name: 'output.weight', dimensions: [embedding, vocabularySize] },
  ];
  for (let layer = 0; layer < layers; layer++) {
    /** @type {[string, number[]][]} */
    const block = [
      ['attn_norm', [embedding]],
      ['attn_q', [embedding, embedding]],
      ['attn_k', [embedding, kv]],
      ['attn_v', [embedding, kv]],
      ['attn_output', [embedding, embedding]],
      ['ffn_norm', [embedding]],
      ['ffn_gate', [embedding, feedForward]],
      ['ffn_up', [embedding, feedForward]],
      ['ffn_down', [feedForward, embedding]],
    ];
    for (const [name, dimensions] of block) list.push({ name: `blk.${layer}.${name}.weight`, dimensions });
  }
  return list;
}

/** @param {readonly number[]} dimensions */
const count = (dimensions) => dimensions.reduce((product, size) => product * size, 1);

/**
 * The type of a tensor and its bytes. Embeddings and output of models below four bits stay at six, as in files that people use.
 *
 * @param {string} name
 * @param {readonly number[]} dimensions
 * @param {WeightType} type
 * @returns {{ id: number, bytes: number, weights: WeightType | undefined }}
 */
function storage(name, dimensions, type) {
  if (dimensions.length === 1) return { id: F32, bytes: 4 * count(dimensions), weights: undefined };
  const low = type === 'TQ2_0' || type === 'Q2_0' || type === 'Q1_0';
  const weights = low && !name.startsWith('blk.') ? 'Q6_K' : type;
  const { id, block, bytes } = TYPES[weights];
  return { id, bytes: (count(dimensions) / block) * bytes, weights };
}

/**
 * Norms of one and random weights, the same in every run.
 *
 * @param {number} byteLength
 * @param {WeightType | undefined} weights
 * @param {() => number} random A whole number below 2^32.
 */
function data(byteLength, weights, random) {
  if (weights === undefined) return Buffer.from(new Float32Array(byteLength / 4).fill(1).buffer);
  const { bytes, scale, ternary } = TYPES[weights];
  const words = new Uint32Array(Math.ceil(byteLength / 4));
  for (let i = 0; i < words.length; i++) {
    const word = random();
    // The upper bit of a pair goes where both are set.
    words[i] = ternary ? word & ~((word << 1) & 0xaaaaaaaa) : word;
  }
  const buffer = Buffer.from(words.buffer, 0, byteLength);
  for (let offset = scale; offset < byteLength; offset += bytes) buffer.writeUInt16LE(SCALE, offset);
  return buffer;
}

/**
 * Writes a GGUF file.
 *
 * @param {string} file
 * @param {Shape} [shape]
 * @param {WeightType} [type]
 */
export async function writeSyntheticModel(file, shape = SMALL, type = 'Q4_0') {
  let state = 0x9e3779b9;
  const random = () => {
    // xorshift32 (Marsaglia 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const entries = metadata(shape);
  const list = tensors(shape).map(({ name, dimensions }) => ({
    name,
    dimensions,
    ...storage(name, dimensions, type),
  }));
  let offset = 0;
  const infos = [];
  for (const { name, dimensions, id, bytes } of list) {
    infos.push(string(name), u32(dimensions.length), ...dimensions.map(u64), u32(id), u64(offset));
    offset += bytes + padding(bytes);
  }
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(list.length),
    u64(entries.length),
    ...entries,
    ...infos,
  ]);
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(Buffer.concat([header, Buffer.alloc(padding(header.length))]));
    for (const { bytes, weights } of list) {
      await handle.writeFile(Buffer.concat([data(bytes, weights, random), Buffer.alloc(padding(bytes))]));
    }
  } finally {
    await handle.close();
  }
}
