// Rounds the same values with onnxruntime-node's Cast as crates/formats/tests/oracles.rs does, and prints a checksum of each list of results.
//
//     npm install --no-save --ignore-scripts onnxruntime-node
//     node scripts/oracle_onnxruntime.mjs > crates/formats/tests/golden/onnxruntime.json
//
// Made with onnxruntime-node 1.30.0 on x64.
import { createRequire } from 'node:module';
import { crc32 } from 'node:zlib';

// No dependency of this package, so its types are not known.
const ort = createRequire(import.meta.url)('onnxruntime-node');

/** Element types of ONNX. */
const TYPES = { f16: 10, bf16: 16, e4m3fn: 17, e4m3fnuz: 18, e5m2: 19, e5m2fnuz: 20 };
const FLOAT = 1;

/** @type {(value: number) => number[]} */
const varint = (value) => {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
};
/**
 * Fields of Protocol Buffers: a number, and anything with a length.
 *
 * @type {(field: number, value: number) => number[]}
 */
const number = (field, value) => [...varint(field * 8), ...varint(value)];
/** @type {(field: number, value: string | number[]) => number[]} */
const bytes = (field, value) => {
  const content = typeof value === 'string' ? [...Buffer.from(value)] : value;
  return [...varint(field * 8 + 2), ...varint(content.length), ...content];
};
/** @type {(name: string, value: number) => number[]} */
const integer = (name, value) => [...bytes(1, name), ...number(3, value), ...number(20, 2)];
/** @type {(type: string, input: string, output: string, attributes: number[][]) => number[]} */
const node = (type, input, output, attributes) => [
  ...bytes(1, input),
  ...bytes(2, output),
  ...bytes(4, type),
  ...attributes.flatMap((attribute) => bytes(5, attribute)),
];
/** @type {(name: string) => number[]} */
const floats = (name) => {
  const shape = bytes(1, bytes(2, 'n'));
  return [...bytes(1, name), ...bytes(2, bytes(1, [...number(1, FLOAT), ...bytes(2, shape)]))];
};

/**
 * y = f32(x as the type).
 *
 * @param {number} type
 * @param {boolean} saturate
 */
function model(type, saturate) {
  const cast = [integer('to', type), ...(type > 16 ? [integer('saturate', saturate ? 1 : 0)] : [])];
  const graph = [
    ...bytes(1, node('Cast', 'x', 'code', cast)),
    ...bytes(1, node('Cast', 'code', 'y', [integer('to', FLOAT)])),
    ...bytes(2, 'casts'),
    ...bytes(11, floats('x')),
    ...bytes(12, floats('y')),
  ];
  return Uint8Array.from([
    ...number(1, 10),
    ...bytes(7, graph),
    ...bytes(8, [...bytes(1, ''), ...number(2, 22)]),
  ]);
}

// Every f32 whose low 10 bits are 0.
const values = new Float32Array(Uint32Array.from({ length: 2 ** 22 }, (_, i) => i << 10).buffer);
const CANONICAL_NAN = 0x7fc00000;
/** Defects without saturation, left out: e5m2 makes NaN of [61440, 65536) instead of infinities, e4m3fn 448 of [480, 496) instead of NaN. */
/** @type {Record<string, [number, number]>} */
const DEFECTS = { e5m2: [61440, 65536], e5m2fnuz: [61440, 65536], e4m3fn: [480, 496] };
/** @type {(name: string, saturate: boolean, x: number) => boolean} */
const isDefect = (name, saturate, x) => {
  const [low, high] = DEFECTS[name] ?? [0, 0];
  return !saturate && Math.abs(x) >= low && Math.abs(x) < high;
};

/** @type {Record<string, number>} */
const casts = {};
for (const [name, type] of Object.entries(TYPES)) {
  for (const saturate of type > 16 ? [true, false] : [false]) {
    const options = { graphOptimizationLevel: 'disabled', logSeverityLevel: 3 };
    const session = await ort.InferenceSession.create(model(type, saturate), options);
    const input = values.filter((x) => !isDefect(name, saturate, x));
    const { y } = await session.run({ x: new ort.Tensor('float32', input, [input.length]) });
    const bits = new Uint32Array(y.data.buffer, y.data.byteOffset, y.data.length);
    const results = bits.map((b, i) => (Number.isNaN(y.data[i]) ? CANONICAL_NAN : b));
    casts[`${name} ${saturate ? 'saturate' : 'ieee'}`] = crc32(Buffer.from(results.buffer));
  }
}
console.log(JSON.stringify(casts, undefined, 0));
