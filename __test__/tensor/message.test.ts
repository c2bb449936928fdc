import path from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DyadicError, describe, formatNames, Tensor } from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

const wave = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * i));

test('a worker has the same tensor in the same memory', async () => {
  const worker = new Worker(path.join(import.meta.dirname, '../support/tensor-worker.mjs'));
  const ask = (tensor: Tensor, write = false) =>
    new Promise<{ name: string; shape: number[]; values: Float32Array }>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
      worker.postMessage({ message: tensor.toMessage(), write });
    });
  try {
    const tensor = Tensor.from(wave(4 * 64), { format: 'nvfp4', shape: [4, 64] });
    for (const part of [tensor, tensor.slice([1, 3]), tensor.transpose(), tensor.slice(null, [16, 48])]) {
      expect(await ask(part)).toEqual({ name: 'nvfp4', shape: [...part.shape], values: part.toFloat32() });
    }
    // Not a copy: what the worker writes is seen here.
    await ask(tensor.slice([0, 1]), true);
    expect([...tensor.slice([0, 1])].every((value) => value === 0)).toBe(true);
    expect([...tensor.slice([1, 2])].some((value) => value !== 0)).toBe(true);
    // And outlives the disposal here.
    const message = tensor.toMessage();
    tensor.dispose();
    expect(Tensor.fromMessage(message).shape).toEqual([4, 64]);
  } finally {
    await worker.terminate();
  }
});

const message = () => Tensor.from(wave(96), { format: 'int4:g32:f16:zp', shape: [3, 32] }).toMessage();

test('wrong messages are coded errors', () => {
  const code = (change: object) => codeOf(() => Tensor.fromMessage({ ...message(), ...change }));
  expect(code({})).toBe('no error');
  for (const change of [
    { type: 'tensor' },
    { version: 2 },
    { format: 7 },
    { format: 'int4'.padEnd(1000, ':') },
    { order: [0, 0] },
    { order: [0] },
    { order: 'ab' },
    { offsets: undefined },
    { offsets: [0, 64, 128, 192] },
    { offsets: [-1, 64, 128, 192, 256] },
    { offsets: [0, 64, 2 ** 40, 192, 256] },
    { offsets: [0, 65, 128, 128, 128] },
    { offsets: [0.5, 64, 128, 192, 256] },
    { buffer: new ArrayBuffer(1024) },
    { buffer: new SharedArrayBuffer(8) },
    { buffer: undefined },
    { buffer: { [Symbol.toStringTag]: 'SharedArrayBuffer' } },
    { dimensions: [300, 32] },
  ]) {
    expect(code(change), JSON.stringify(change)).toBe('ERR_MESSAGE');
  }
  expect(code({ format: 'int5:g7:nonsense' })).toBe('ERR_FORMAT_SYNTAX');
  for (const dimensions of [[2 ** 31, 2 ** 31], [-3, 32], [3.5, 32], 'xy', null]) {
    expect(code({ dimensions }), String(dimensions)).toBe('ERR_SHAPE');
  }
  for (const other of [null, undefined, 7, 'message', [], {}]) {
    expect(() => Tensor.fromMessage(other)).toThrow(/a message of a tensor/);
  }
});

test('no message whatsoever makes a tensor that reads outside its memory', () => {
  const good = message();
  fc.assert(
    fc.property(
      fc.record(
        {
          format: fc.constantFrom(
            'int4:g32:f16:zp',
            'nvfp4',
            'f32',
            'q8_0',
            'bitmod3',
            'nf4dq',
            'uint32:2x2',
            'w2mix',
          ),
          dimensions: fc.array(fc.nat(600), { maxLength: 4 }),
          order: fc.shuffledSubarray([0, 1, 2, 3]),
          offsets: fc.array(fc.integer({ min: -8, max: good.buffer.byteLength + 8 }), {
            minLength: 5,
            maxLength: 5,
          }),
        },
        { requiredKeys: [] },
      ),
      (change) => {
        let tensor: Tensor;
        try {
          tensor = Tensor.fromMessage({ ...good, ...change });
        } catch (error) {
          expect(error).toBeInstanceOf(DyadicError);
          expect(error).not.toMatchObject({ code: 'ERR_INTERNAL' });
          return;
        }
        expect(tensor.toFloat32().length).toBe(tensor.size);
      },
    ),
    { numRuns: 2000 },
  );
});

test('whatever the parts hold, decoding gives numbers or a coded error', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...formatNames(), 'int4:g32:f16:zp', 'bitmod3:g16', 'uint3:4x64:min'),
      fc.uint8Array({ minLength: 8, maxLength: 64 }),
      (format, pattern) => {
        const columns = describe(format).record?.elements ?? 64;
        let tensor: Tensor;
        try {
          tensor = Tensor.from(wave(2 * columns), { format, shape: [2, columns] });
        } catch {
          // Formats without an encoder.
          return;
        }
        const bytes = new Uint8Array(tensor.toMessage().buffer);
        for (let i = 0; i < bytes.length; i++) bytes[i] = pattern[i % pattern.length] ?? 0;
        try {
          expect(tensor.toFloat32().length).toBe(2 * columns);
          tensor.at(1, 5);
          tensor.scaleValues();
          tensor.zeroPointValues();
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_SHAPE', message: expect.stringContaining('wide groups') });
        }
      },
    ),
    { numRuns: 1000 },
  );
});
