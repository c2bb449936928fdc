import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { noise } from './bytes.ts';

/** Extents of a model with random weights. */
export interface TinyShape {
  layers: number;
  embedding: number;
  feedForward: number;
  heads: number;
  kvHeads: number;
  contextLength: number;
}

/** A few hundred thousand weights: thousands of tokens a second on any machine. */
export const TINY: TinyShape = {
  layers: 2,
  embedding: 64,
  feedForward: 128,
  heads: 2,
  kvHeads: 1,
  contextLength: 2048,
};

/** Slow enough that a prompt of thousands of tokens takes a second or more, so that there is something to be interrupted. */
export const SLOW: TinyShape = {
  layers: 12,
  embedding: 512,
  feedForward: 1536,
  heads: 8,
  kvHeads: 4,
  contextLength: 8192,
};

const SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const TEMPLATE =
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

// GGUF 3, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: value and tensor types.
const [U32, F32, STRING, ARRAY, BOOL, I32] = [4, 6, 8, 9, 7, 5];
const TENSOR_F32 = 0;
const TENSOR_Q8_0 = 8;
const ALIGNMENT = 32;

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value: number) => Buffer.from(Float32Array.of(value).buffer);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const entry = (key: string, type: number, value: Buffer) => Buffer.concat([text(key), u32(type), value]);
const array = (type: number, items: Buffer[]) => Buffer.concat([u32(type), u64(items.length), ...items]);

/** GPT-2's letters for bytes: printable ones stand for themselves, the others for letters from U+0100 on. */
function byteLetters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(printable ? byte : next++);
  });
}

function metadata(shape: TinyShape, tokens: string[]): Buffer[] {
  const number = (key: string, value: number) => entry(`llama.${key}`, U32, u32(value));
  return [
    entry('general.architecture', STRING, text('llama')),
    entry('general.name', STRING, text('tiny')),
    number('context_length', shape.contextLength),
    number('embedding_length', shape.embedding),
    number('block_count', shape.layers),
    number('feed_forward_length', shape.feedForward),
    number('attention.head_count', shape.heads),
    number('attention.head_count_kv', shape.kvHeads),
    number('rope.dimension_count', shape.embedding / shape.heads),
    number('vocab_size', tokens.length),
    entry('llama.attention.layer_norm_rms_epsilon', F32, f32(1e-5)),
    entry('tokenizer.ggml.model', STRING, text('gpt2')),
    entry('tokenizer.ggml.pre', STRING, text('gpt-2')),
    entry('tokenizer.ggml.tokens', ARRAY, array(STRING, tokens.map(text))),
    entry(
      'tokenizer.ggml.token_type',
      ARRAY,
      array(
        I32,
        tokens.map((_, id) => u32(id < SPECIAL.length ? 3 : 1)),
      ),
    ),
    entry('tokenizer.ggml.merges', ARRAY, array(STRING, ['h e', 'Ġ t'].map(text))),
    entry('tokenizer.ggml.bos_token_id', U32, u32(1)),
    entry('tokenizer.ggml.eos_token_id', U32, u32(2)),
    entry('tokenizer.ggml.add_bos_token', BOOL, Buffer.of(0)),
    entry('tokenizer.chat_template', STRING, text(TEMPLATE)),
  ];
}

interface Tensor {
  name: string;
  type: number;
  shape: number[];
  data: Buffer;
}

/** Q8_0: blocks of 32 weights, an f16 scale and 32 signed bytes. All scales are 2^-12 or so, whose f16 is 0x0c00. */
function matrix(name: string, columns: number, rows: number, seed: number): Tensor {
  const blocks = (columns * rows) / 32;
  const data = noise(blocks * 34, seed);
  for (let block = 0; block < blocks; block++) data.writeUInt16LE(0x0c00, block * 34);
  return { name, type: TENSOR_Q8_0, shape: [columns, rows], data };
}

function norm(name: string, length: number): Tensor {
  return {
    name,
    type: TENSOR_F32,
    shape: [length],
    data: Buffer.from(new Float32Array(length).fill(1).buffer),
  };
}

function tensorsOf(
  { layers, embedding, feedForward, heads, kvHeads }: TinyShape,
  vocabulary: number,
): Tensor[] {
  const kv = (embedding / heads) * kvHeads;
  let seed = 1;
  const blocks = Array.from({ length: layers }, (_, layer) => {
    const name = (part: string) => `blk.${layer}.${part}.weight`;
    return [
      norm(name('attn_norm'), embedding),
      matrix(name('attn_q'), embedding, embedding, seed++),
      matrix(name('attn_k'), embedding, kv, seed++),
      matrix(name('attn_v'), embedding, kv, seed++),
      matrix(name('attn_output'), embedding, embedding, seed++),
      norm(name('ffn_norm'), embedding),
      matrix(name('ffn_gate'), embedding, feedForward, seed++),
      matrix(name('ffn_up'), embedding, feedForward, seed++),
      matrix(name('ffn_down'), feedForward, embedding, seed++),
    ];
  });
  return [
    matrix('token_embd.weight', embedding, vocabulary, 0),
    norm('output_norm.weight', embedding),
    ...blocks.flat(),
  ];
}

/** The bytes of a GGUF file: a llama model that speaks random bytes, with GPT-2's byte alphabet as its vocabulary. */
export function tinyModel(shape: TinyShape = TINY): Buffer {
  const tokens = [...SPECIAL, ...byteLetters(), 'he', 'Ġt'];
  while (tokens.length % 32 !== 0) tokens.push(`<unused${tokens.length}>`);
  const pairs = metadata(shape, tokens);
  const tensors = tensorsOf(shape, tokens.length);
  const pad = (length: number) => (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;
  let offset = 0;
  const infos = tensors.map(({ name, type, shape: extents, data }) => {
    const info = Buffer.concat([
      text(name),
      u32(extents.length),
      ...extents.map(u64),
      u32(type),
      u64(offset),
    ]);
    offset += data.length + pad(data.length);
    return info;
  });
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(pairs.length),
    ...pairs,
    ...infos,
  ]);
  const bodies = tensors.flatMap(({ data }) => [data, Buffer.alloc(pad(data.length))]);
  return Buffer.concat([header, Buffer.alloc(pad(header.length)), ...bodies]);
}

/** Writes a tiny model into a folder and returns its path. */
export function writeTinyModel(directory: string, shape: TinyShape = TINY): string {
  const file = path.join(directory, 'tiny.gguf');
  writeFileSync(file, tinyModel(shape));
  return file;
}
