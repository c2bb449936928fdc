import { crc32 } from 'node:zlib';

/** Two rows and columns of grey pixels, three classes: the smallest network of integers that is one. */
export const LABELS = ['low', 'middle', 'high'];
export const WEIGHTS = [
  [1, -2, 3, -4],
  [127, -127, 0, 5],
  [-7, 7, 7, 7],
];
export const BIAS = [10, -20, 30];
/** 3 / 4 for each class, and a logit stands for 1 / 64. */
const FACTOR = [3 << 29, 31];
const LOGIT_SCALE = [1 << 30, 36];

/** What the network makes of four pixels, from its definition. */
export function expectedLogits(pixels: readonly number[]): number[] {
  return WEIGHTS.map((row, index) => {
    const sum = row.reduce((total, w, k) => total + w * ((pixels[k] ?? 0) - 128), BIAS[index] ?? 0);
    return Math.floor((sum * 3) / 4 + 0.5);
  });
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
}

/** The file, written from the description in docs/design/integer-only.md alone. */
export function integerFile(
  edit: (header: Record<string, unknown>) => Record<string, unknown> = (header) => header,
): Buffer {
  const unit = [1 << 30, 37];
  const header = edit({
    name: 'tiny',
    mode: 'exact',
    labels: LABELS,
    input: [2, 2, 1],
    nodes: [
      { name: 'image', inputs: [], width: 8, scale: unit, op: 'input' },
      {
        name: 'head',
        inputs: [0],
        width: 32,
        scale: LOGIT_SCALE,
        op: {
          conv2d: {
            bits: 8,
            outputs: 3,
            inputs: 4,
            windows: { size: [2, 2], stride: 1, padding: 0 },
            relu: false,
          },
        },
      },
    ],
  });
  const data = Buffer.concat(
    [
      Int8Array.from(WEIGHTS.flat()),
      Int32Array.from(BIAS),
      Int32Array.from(BIAS, () => FACTOR[0] ?? 0),
      Uint8Array.from(BIAS, () => FACTOR[1] ?? 0),
    ].map((array) => padded(Buffer.from(array.buffer))),
  );
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const prefix = Buffer.alloc(24);
  prefix.write('DYADIC\r\n');
  prefix.writeUInt32LE(1, 8);
  prefix.writeUInt32LE(text.length, 12);
  prefix.writeBigUInt64LE(BigInt(data.length), 16);
  const content = Buffer.concat([prefix, text, data]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc32(content));
  return Buffer.concat([content, checksum]);
}
