import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import {
  DyadicError,
  formatNames,
  readNpy,
  readNpyBytes,
  readSafetensors,
  Tensor,
  writeNpy,
  writeSafetensors,
} from '../../ts/index.ts';
import { rejectionCode } from '../support/codes.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'dyadic-tensors-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = (extension: string) => path.join(folder, `${files++}.${extension}`);

const wave = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * i));

/** An .npy file as NumPy writes it. */
function npy(descr: string, shape: readonly number[], data: ArrayBufferView, fortran = false): string {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${tuple}), }`;
  const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const file = fresh('npy');
  writeFileSync(
    file,
    Buffer.concat([
      Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length & 255, header.length >> 8]),
      Buffer.from(header),
      Buffer.from(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
    ]),
  );
  return file;
}

/** A safetensors file with this header. */
function safetensors(header: object | string, data: Uint8Array, length?: bigint): string {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(Buffer.byteLength(text)));
  const file = fresh('safetensors');
  writeFileSync(file, Buffer.concat([prefix, Buffer.from(text), data]));
  return file;
}

test('arrays of NumPy become tensors of their type', async () => {
  for (const [descr, data, format] of [
    ['<f4', Float32Array.of(1, -2, 3, 4, 5, 6), 'f32'],
    ['<f8', Float64Array.of(1, -2, 3, 4, 5, 6), 'f32'],
    ['<f2', Uint16Array.of(0x3c00, 0xc000, 0x4200, 0x4400, 0x4500, 0x4600), 'f16'],
    ['|i1', Int8Array.of(1, -2, 3, 4, 5, 6), 'int8full:none'],
    ['<i2', Int16Array.of(1, -2, 3, 4, 5, 6), 'int16full:none'],
    ['<i4', Int32Array.of(1, -2, 3, 4, 5, 6), 'int32full:none'],
    ['<i8', BigInt64Array.of(1n, -2n, 3n, 4n, 5n, 6n), 'int32full:none'],
  ] as const) {
    const tensor = await readNpy(npy(descr, [2, 3], data));
    expect([tensor.format.name, tensor.shape], descr).toEqual([format, [2, 3]]);
    expect([...tensor], descr).toEqual([1, -2, 3, 4, 5, 6]);
  }
  for (const [descr, data] of [
    ['|u1', Uint8Array.of(1, 0, 1)],
    ['<u2', Uint16Array.of(1, 0, 1)],
    ['<u4', Uint32Array.of(1, 0, 1)],
    ['<u8', BigUint64Array.of(1n, 0n, 1n)],
    ['|b1', Uint8Array.of(1, 0, 1)],
  ] as const) {
    expect([...(await readNpy(npy(descr, [3], data)))], descr).toEqual([1, 0, 1]);
  }
  // Fortran order is a transposed tensor, in place.
  const turned = await readNpy(npy('<f4', [2, 3], Float32Array.of(1, 4, 2, 5, 3, 6), true));
  expect([turned.shape, [...turned], turned.axis]).toEqual([[2, 3], [1, 2, 3, 4, 5, 6], 0]);
  expect([...(await readNpy(npy('<f4', [], Float32Array.of(7))))]).toEqual([7]);
  expect((await readNpy(npy('<f4', [0, 3], new Float32Array(0)))).shape).toEqual([0, 3]);
});

test('what NumPy would read is written', async () => {
  const file = fresh('npy');
  await writeNpy(
    file,
    Tensor.from(
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
      { format: 'f32' },
    ).transpose(),
  );
  const bytes = readFileSync(file);
  expect(bytes.subarray(0, 8)).toEqual(Buffer.from('\x93NUMPY\x01\x00', 'latin1'));
  expect(bytes.length).toBe(128 + 24);
  expect(bytes.subarray(10, 128).toString()).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(3, 2\), \} *\n$/,
  );
  expect([...(await readNpy(file))]).toEqual([1, 4, 2, 5, 3, 6]);
  for (const format of ['f16', 'int8:none', 'uint16:none', 'uint1:none', 'int32full:none'] as const) {
    const tensor = Tensor.from(
      [
        [1, 0, 1],
        [1, 1, 0],
      ],
      { format },
    ).transpose();
    await writeNpy(file, tensor);
    const back = await readNpy(file);
    expect([[...back], back.shape], format).toEqual([[...tensor], [3, 2]]);
  }
  expect(await rejectionCode(writeNpy(file, Tensor.from([1], { format: 'nvfp4' })))).toBe('ERR_NPY_DTYPE');
  expect(await rejectionCode(writeNpy(file, Tensor.from([1], { format: 'bf16' })))).toBe('ERR_NPY_DTYPE');
  // @ts-expect-error no tensor
  expect(await rejectionCode(writeNpy(file, [1]))).toBe('ERR_OPTION');
});

test('numbers of 64 bits are there as they are', async () => {
  const file = npy('<i8', [2], BigInt64Array.of(2n ** 40n, -1n));
  await expect(readNpy(file)).rejects.toThrow(/element 0 is 1099511627776, beyond integers of 32 bits/);
  const { dtype, shape, bytes } = await readNpyBytes(file);
  expect([dtype, shape, new BigInt64Array(bytes.buffer)]).toEqual([
    'I64',
    [2],
    BigInt64Array.of(2n ** 40n, -1n),
  ]);
  expect(await rejectionCode(readNpy(npy('<c8', [1], Float32Array.of(1, 2))))).toBe('ERR_FORMAT_UNSUPPORTED');
});

test('damaged arrays of NumPy are coded errors', async () => {
  const good = readFileSync(npy('<f4', [2], Float32Array.of(1, 2)));
  const damaged = (change: (bytes: Buffer) => Buffer) => {
    const file = fresh('npy');
    writeFileSync(file, change(Buffer.from(good)));
    return rejectionCode(readNpy(file));
  };
  expect(await damaged(() => Buffer.alloc(0))).toBe('ERR_NPY_MAGIC');
  expect(await damaged((bytes) => bytes.subarray(0, 9))).toBe('ERR_NPY_TRUNCATED');
  expect(await damaged((bytes) => bytes.subarray(0, 40))).toBe('ERR_NPY_TRUNCATED');
  expect(await damaged((bytes) => bytes.subarray(0, -1))).toBe('ERR_NPY_SHAPE');
  expect(await damaged((bytes) => bytes.fill(9, 6, 7))).toBe('ERR_NPY_VERSION');
  expect(await damaged((bytes) => bytes.fill(0x41, 10, 20))).toBe('ERR_NPY_HEADER');
  expect(
    await damaged((bytes) => Buffer.concat([bytes.subarray(0, 6), Buffer.from([2, 0, 255, 255, 255, 255])])),
  ).toBe('ERR_NPY_TRUNCATED');
  expect(await rejectionCode(readNpy(npy('<f4', [2 ** 40], new Float32Array(2))))).toBe('ERR_NPY_SHAPE');
  expect(await rejectionCode(readNpy(npy('|O8', [1], new Uint8Array(8))))).toBe('ERR_NPY_DTYPE');
  expect(await rejectionCode(readNpy(npy('|b1', [1], Uint8Array.of(2))))).toBe('ERR_OUT_OF_RANGE');
  expect(await rejectionCode(readNpy(path.join(folder, 'none.npy')))).toBe('ERR_FILE_NOT_FOUND');
  expect(await rejectionCode(readNpy(folder))).toBe('ERR_FILE_ACCESS');
  // @ts-expect-error no path
  expect(await rejectionCode(readNpy(7))).toBe('ERR_OPTION');
});

test('every type of safetensors files is read', async () => {
  const types: [dtype: string, bytes: Uint8Array, values: number[]][] = [
    ['BOOL', Uint8Array.of(1, 0, 1, 1), [1, 0, 1, 1]],
    ['F4', Uint8Array.of(0x21, 0xf7), [0.5, 1, 6, -6]],
    ['F6_E2M3', Uint8Array.of(0x48, 0xf0, 0x81), [1, 0.125, 7.5, -0]],
    ['F6_E3M2', Uint8Array.of(0x4c, 0xf0, 0x81), [1, 0.0625, 28, -0]],
    ['U8', Uint8Array.of(0, 1, 254, 255), [0, 1, 254, 255]],
    ['I8', Uint8Array.of(0, 1, 254, 128), [0, 1, -2, -128]],
    ['F8_E5M2', Uint8Array.of(0x3c, 0xbc, 0x7b, 0x7c), [1, -1, 57344, Number.POSITIVE_INFINITY]],
    ['F8_E4M3', Uint8Array.of(0x38, 0xb8, 0x7e, 0x7f), [1, -1, 448, Number.NaN]],
    ['F8_E8M0', Uint8Array.of(127, 128, 126, 255), [1, 2, 0.5, Number.NaN]],
    ['F8_E4M3FNUZ', Uint8Array.of(0x40, 0xc0, 0x7f, 0x80), [1, -1, 240, Number.NaN]],
    ['F8_E5M2FNUZ', Uint8Array.of(0x40, 0xc0, 0x7f, 0x80), [1, -1, 57344, Number.NaN]],
    ['U16', new Uint8Array(Uint16Array.of(0, 1, 2, 65535).buffer), [0, 1, 2, 65535]],
    ['I16', new Uint8Array(Int16Array.of(0, 1, -2, -32768).buffer), [0, 1, -2, -32768]],
    ['F16', new Uint8Array(Uint16Array.of(0x3c00, 0xbc00, 0x7bff, 1).buffer), [1, -1, 65504, 2 ** -24]],
    ['BF16', new Uint8Array(Uint16Array.of(0x3f80, 0xbf80, 0x4040, 0).buffer), [1, -1, 3, 0]],
    ['U32', new Uint8Array(Uint32Array.of(0, 1, 2, 2 ** 32 - 1).buffer), [0, 1, 2, 2 ** 32 - 1]],
    ['I32', new Uint8Array(Int32Array.of(0, 1, -2, -(2 ** 31)).buffer), [0, 1, -2, -(2 ** 31)]],
    ['F32', new Uint8Array(Float32Array.of(0, 1, -2, 0.5).buffer), [0, 1, -2, 0.5]],
    ['F64', new Uint8Array(Float64Array.of(0, 1, -2, 0.5).buffer), [0, 1, -2, 0.5]],
    ['I64', new Uint8Array(BigInt64Array.of(0n, 1n, -2n, -(2n ** 31n)).buffer), [0, 1, -2, -(2 ** 31)]],
    ['U64', new Uint8Array(BigUint64Array.of(0n, 1n, 2n, 2n ** 32n - 1n).buffer), [0, 1, 2, 2 ** 32 - 1]],
  ];
  const header: Record<string, object> = {};
  let end = 0;
  for (const [dtype, bytes] of types) {
    header[dtype] = { dtype, shape: [2, 2], data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const file = await readSafetensors(safetensors(header, Buffer.concat(types.map(([, bytes]) => bytes))));
  expect(file.names).toEqual(types.map(([dtype]) => dtype));
  expect([...file].map(({ name, dtype }) => name === dtype)).not.toContain(false);
  for (const [dtype, bytes, values] of types) {
    const tensor = await file.get(dtype);
    expect([tensor.shape, [...tensor]], dtype).toEqual([[2, 2], values]);
    expect((await file.getBytes(dtype)).bytes, dtype).toEqual(bytes);
    if (!['F64', 'I64', 'U64'].includes(dtype)) {
      // And written as it was.
      const copy = fresh('safetensors');
      await writeSafetensors(copy, { same: tensor });
      const back = await readSafetensors(copy);
      expect([...back], dtype).toEqual([{ name: 'same', dtype, shape: [2, 2], byteLength: bytes.length }]);
      expect((await back.getBytes('same')).bytes, dtype).toEqual(bytes);
    }
  }
  expect(await rejectionCode(file.get('F128'))).toBe('ERR_SAFETENSORS_TENSOR');
});

test('tensors of any format come back bit by bit, with their axes', async () => {
  const file = fresh('safetensors');
  const tensors = new Map<string, Tensor>();
  for (const name of [...formatNames(), 'int4:g32:f16:zp', 'uint3:16x16', 'bitmod3:g64']) {
    try {
      tensors.set(
        name,
        Tensor.from(wave(4 * 512), { format: name, shape: [2, 2, 512] }).transpose([1, 2, 0]),
      );
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_FORMAT_UNSUPPORTED' });
    }
  }
  expect(tensors.size).toBeGreaterThan(80);
  await writeSafetensors(file, tensors, { metadata: { source: 'a test' } });
  const read = await readSafetensors(file);
  expect(read.metadata.source).toBe('a test');
  expect(read.size).toBe(tensors.size);
  for (const [name, tensor] of tensors) {
    const back = await read.get(name);
    expect([back.shape, [...back]], name).toEqual([tensor.shape, [...tensor]]);
    expect(read.has(name)).toBe(true);
    if (tensor.scales !== undefined) {
      expect([back.format.name, back.axis, back.bytes, back.scales]).toEqual([
        tensor.format.name,
        tensor.axis,
        tensor.bytes,
        tensor.scales,
      ]);
      expect(await rejectionCode(read.getBytes(name))).toBe('ERR_FORMAT_UNSUPPORTED');
    }
  }
  // Other programs see parts of types that they know.
  const header = readFileSync(file);
  const json = JSON.parse(header.subarray(8, 8 + Number(header.readBigUInt64LE())).toString());
  expect(json['nvfp4.scales']).toMatchObject({ dtype: 'F8_E4M3', shape: [128] });
  expect(json['int4:g32:f16:zp.scales']).toMatchObject({ dtype: 'F16', shape: [64] });
});

test('hostile safetensors files are coded errors', async () => {
  const entry = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  const data = new Uint8Array(8);
  const code = (header: object | string, bytes = data, length?: bigint) =>
    rejectionCode(readSafetensors(safetensors(header, bytes, length)));
  expect(await code({ x: entry })).toBe('no error');
  expect(await code({ x: entry }, data, 2n ** 63n)).toBe('ERR_SAFETENSORS_MAGIC');
  expect(await code({ x: entry }, data, 200_000_000n)).toBe('ERR_SAFETENSORS_BOUNDS');
  expect(await code({ x: entry }, data, 90_000_000n)).toBe('ERR_SAFETENSORS_TRUNCATED');
  expect(await code('{"x":', data)).toBe('ERR_SAFETENSORS_HEADER');
  expect(await code({ x: { ...entry, dtype: 'F128' } })).toBe('ERR_SAFETENSORS_DTYPE');
  expect(await code({ x: { ...entry, shape: [3] } })).toBe('ERR_SAFETENSORS_SHAPE');
  expect(await code({ x: { ...entry, shape: [2 ** 40, 2 ** 40] } })).toBe('ERR_SAFETENSORS_OVERFLOW');
  expect(await code({ x: entry }, new Uint8Array(7))).toBe('ERR_SAFETENSORS_TRUNCATED');
  expect(await code({ x: entry }, new Uint8Array(9))).toBe('ERR_SAFETENSORS_LAYOUT');
  expect(await code({ x: entry, y: entry })).toBe('ERR_SAFETENSORS_LAYOUT');
  expect(await rejectionCode(readSafetensors(folder))).toBe('ERR_FILE_ACCESS');
  expect(await rejectionCode(readSafetensors(path.join(folder, 'none')))).toBe('ERR_FILE_NOT_FOUND');

  // What the metadata says of parts is checked against the parts before anything is allocated.
  const parts = (said: unknown, name = 'x.codes') =>
    code({
      __metadata__: { 'dyadic:x': typeof said === 'string' ? said : JSON.stringify(said) },
      [name]: { dtype: 'U8', shape: [8], data_offsets: [0, 8] },
    });
  expect(await parts({ format: 'e4m3fn:none', dimensions: [8], order: [0] })).toBe('no error');
  expect(await parts({ format: 'nvfp4', dimensions: [16], order: [0] })).toBe('ERR_SAFETENSORS_HEADER');
  expect(await parts({ format: 'e4m3fn', dimensions: [2 ** 31], order: [0] })).toBe('ERR_SAFETENSORS_HEADER');
  expect(await parts({ format: 'e4m3fn', dimensions: [2 ** 40], order: [0] })).toBe('ERR_SHAPE');
  expect(await parts({ format: 'e4m3fn', dimensions: [8], order: [1] })).toBe('ERR_SAFETENSORS_HEADER');
  expect(await parts({ format: 'e4m3fm', dimensions: [8], order: [0] })).toBe('ERR_FORMAT_SYNTAX');
  expect(await parts({ format: 7 })).toBe('ERR_SAFETENSORS_HEADER');
  expect(await parts('null')).toBe('ERR_SAFETENSORS_HEADER');
  expect(await parts('{')).toBe('ERR_SAFETENSORS_HEADER');
  expect(await parts({ format: 'e4m3fn', dimensions: [8], order: [0] }, 'y.codes')).toBe(
    'ERR_SAFETENSORS_HEADER',
  );
});

test('no change of bytes of a file makes anything but coded errors', async () => {
  const file = fresh('safetensors');
  await writeSafetensors(file, {
    a: Tensor.from(wave(64), { format: 'nvfp4', shape: [2, 32] }),
    b: Tensor.from(wave(8), { format: 'bf16' }),
  });
  const good = readFileSync(file);
  const damaged = fresh('safetensors');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
      fc.nat(good.length),
      async (changes, cut) => {
        const bytes = Buffer.from(good);
        for (const [place, byte] of changes) bytes[place] = byte;
        writeFileSync(damaged, cut < good.length / 4 ? bytes.subarray(0, cut) : bytes);
        try {
          const read = await readSafetensors(damaged);
          for (const name of read.names) await read.get(name);
        } catch (error) {
          expect(error).toBeInstanceOf(DyadicError);
          expect(error).not.toMatchObject({ code: 'ERR_INTERNAL' });
        }
      },
    ),
    { numRuns: 500 },
  );
}, 60_000);

test('a file that changed meanwhile, names that collide, and failed writes', async () => {
  const file = fresh('safetensors');
  await writeSafetensors(file, { a: Tensor.from([1, 2], { format: 'f32' }) });
  const read = await readSafetensors(file);
  await writeSafetensors(file, { a: Tensor.from([1, 2, 3], { format: 'f32' }) });
  expect(await rejectionCode(read.get('a'))).toBe('ERR_IO');
  const one = Tensor.from([1], { format: 'f32' });
  const low = Tensor.from([1], { format: 'nvfp4' });
  expect(await rejectionCode(writeSafetensors(file, { __metadata__: one }))).toBe(
    'ERR_SAFETENSORS_DUPLICATE',
  );
  expect(await rejectionCode(writeSafetensors(file, { a: low, 'a.codes': one }))).toBe(
    'ERR_SAFETENSORS_DUPLICATE',
  );
  expect(await rejectionCode(writeSafetensors(path.join(folder, 'no', 'folder'), { a: one }))).toBe(
    'ERR_FILE_NOT_FOUND',
  );
  expect(await rejectionCode(writeSafetensors(folder, { a: one }))).toMatch(/^ERR_(FILE_ACCESS|IO)$/);
  // @ts-expect-error no tensor
  expect(await rejectionCode(writeSafetensors(file, { a: [1] }))).toBe('ERR_OPTION');
  one.dispose();
  expect(await rejectionCode(writeSafetensors(file, { a: one }))).toBe('ERR_DISPOSED');
  // Neither left anything behind, nor broke what was there.
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  expect([...(await (await readSafetensors(file)).get('a'))]).toEqual([1, 2, 3]);
});
