// A language model of random weights, for showing and timing the kernels where no real one can be had.

import { writeFile } from 'node:fs/promises';

const SHAPE = { layers: 10, embedding: 512, feedForward: 1408, heads: 8, kvHeads: 4, context: 1024 };

/** Value types and tensor types of GGUF, version 3. */
const UINT32 = 4;
const INT32 = 5;
const FLOAT32 = 6;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const F32 = 0;
const Q4_0 = 2;

const ALIGNMENT = 32;
/** A block of Q4_0: an f16 scale and 32 weights of 4 bits. */
const BLOCK = 32;
const BLOCK_BYTES = 18;
/** 2^-8 as f16: with weights of -8 to 7, activations neither vanish nor overflow over ten layers. */
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

/** A tokenizer of single bytes. */
function vocabulary() {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const UNKNOWN = 2;
  const CONTROL = 3;
  const BYTE = 6;
  return {
    tokens: ['<unk>', '<s>', '</s>', ...bytes],
    types: [UNKNOWN, CONTROL, CONTROL, ...bytes.map(() => BYTE)],
  };
}

/** @returns {Buffer[]} Key, type and value of each entry. */
function metadata() {
  const { tokens, types } = vocabulary();
  /** @type {[string, number, Buffer][]} */
  const entries = [
    ['general.architecture', STRING, string('llama')],
    ['general.name', STRING, string('random weights')],
    ['llama.context_length', UINT32, u32(SHAPE.context)],
    ['llama.embedding_length', UINT32, u32(SHAPE.embedding)],
    ['llama.block_count', UINT32, u32(SHAPE.layers)],
    ['llama.feed_forward_length', UINT32, u32(SHAPE.feedForward)],
    ['llama.attention.head_count', UINT32, u32(SHAPE.heads)],
    ['llama.attention.head_count_kv', UINT32, u32(SHAPE.kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', FLOAT32, f32(1e-5)],
    ['llama.rope.dimension_count', UINT32, u32(SHAPE.embedding / SHAPE.heads)],
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

/** @returns {{ name: string, dimensions: number[] }[]} Dimensions with the contiguous one first. */
function tensors() {
  const { embedding, feedForward, heads, kvHeads, layers } = SHAPE;
  const kv = (embedding / heads) * kvHeads;
  const vocabularySize = vocabulary().tokens.length;
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

/**
 * Norms of one and random weights, the same in every run.
 *
 * @param {readonly number[]} dimensions
 * @param {() => number} random A whole number below 2^32.
 */
function data(dimensions, random) {
  const count = dimensions.reduce((product, size) => product * size, 1);
  if (dimensions.length === 1) return Buffer.from(new Float32Array(count).fill(1).buffer);
  const bytes = Buffer.alloc((count / BLOCK) * BLOCK_BYTES);
  for (let offset = 0; offset < bytes.length; offset += BLOCK_BYTES) {
    bytes.writeUInt16LE(SCALE, offset);
    for (let word = 2; word < BLOCK_BYTES; word += 4) bytes.writeUInt32LE(random(), offset + word);
  }
  return bytes;
}

/**
 * Writes a GGUF file of 30 million parameters, 17 MB.
 *
 * @param {string} file
 */
export async function writeSyntheticModel(file) {
  let state = 0x9e3779b9;
  const random = () => {
    // xorshift32 (Marsaglia 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const entries = metadata();
  let offset = 0;
  const infos = [];
  const contents = [];
  for (const { name, dimensions } of tensors()) {
    const bytes = data(dimensions, random);
    const type = dimensions.length === 1 ? F32 : Q4_0;
    infos.push(string(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset));
    contents.push(bytes, Buffer.alloc(padding(bytes.length)));
    offset += bytes.length + padding(bytes.length);
  }
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors().length),
    u64(entries.length),
    ...entries,
    ...infos,
  ]);
  await writeFile(file, Buffer.concat([header, Buffer.alloc(padding(header.length)), ...contents]));
}
