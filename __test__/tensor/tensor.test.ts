import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { describe, formatNames, parseFormat, Tensor } from '../../ts/index.ts';
import { codeOf } from '../support/codes.ts';

const wave = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * i));

/** The value of each element by its own `at`. */
function byIndex(tensor: Tensor): number[] {
  const values: number[] = [];
  const visit = (indices: number[]): void => {
    if (indices.length === tensor.shape.length) values.push(tensor.at(...indices));
    else for (let i = 0; i < (tensor.shape[indices.length] ?? 0); i++) visit([...indices, i]);
  };
  visit([]);
  return values;
}

test('NVFP4 as in the first minute of the guide', () => {
  const tensor = Tensor.from(wave(32), { format: 'nvfp4', shape: [2, 16] });
  expect(tensor.shape).toEqual([2, 16]);
  expect([tensor.size, tensor.bitsPerElement, tensor.byteLength]).toEqual([32, 4.5, 16 + 2 + 4]);
  expect(tensor.data).toBeInstanceOf(Uint8Array);
  expect(tensor.data.length).toBe(16);
  expect(tensor.scales?.length).toBe(2);
  expect(tensor.superScales?.length).toBe(1);
  expect(tensor.zeroPoints).toBeUndefined();
  const values = tensor.toFloat32();
  expect([...tensor]).toEqual([...values]);
  expect(byIndex(tensor)).toEqual([...values]);
  const error = wave(32).reduce((sum, x, i) => sum + (x - (values[i] ?? 0)) ** 2, 0);
  // About 20 dB on any smooth distribution.
  expect(error / wave(32).reduce((sum, x) => sum + x * x, 0)).toBeLessThan(0.02);
});

test('a tensor prints its format, shape and a few values', () => {
  const tensor = Tensor.from([1, 2, 3], { format: 'e4m3fn' });
  expect(inspect(tensor)).toBe('Tensor e4m3fn [3], 8 bits an element, 3 bytes { 1, 2, 3 }');
  expect(inspect(Tensor.from(wave(32), { format: 'nvfp4', shape: [2, 16] }))).toMatch(
    /^Tensor nvfp4 \[2, 16\], 4.5 bits an element, 22 bytes \{ 0, .*, … 24 more \}$/,
  );
  expect(String(tensor)).toBe('Tensor(e4m3fn, [3])');
  tensor.dispose();
  expect(inspect(tensor)).toBe('Tensor e4m3fn [3] (disposed)');
});

test('.data is the typed array of machine numbers, or packed bytes', () => {
  const from = (format: string) => Tensor.from([1, -2, 3, 4], { format });
  expect(from('f32').data).toEqual(Float32Array.of(1, -2, 3, 4));
  expect(from('bf16').data).toEqual(Uint16Array.of(0x3f80, 0xc000, 0x4040, 0x4080));
  expect(from('int8:none').data).toEqual(Int8Array.of(1, -2, 3, 4));
  expect(from('int32:none').data).toEqual(Int32Array.of(1, -2, 3, 4));
  expect(from('e4m3fn').data).toEqual(Uint8Array.of(0x38, 0xc0, 0x44, 0x48));
  expect(from('int4:none').data).toEqual(Uint8Array.of(0xe1, 0x43));
  // The element in the low bits comes first.
  expect(from('int4:none').bytes).toEqual(Uint8Array.of(0xe1, 0x43));
  const half = from('f16').data;
  if ('Float16Array' in globalThis) expect([...half]).toEqual([1, -2, 3, 4]);
  else expect(half).toEqual(Uint16Array.of(0x3c00, 0xc000, 0x4200, 0x4400));
  // A view, not a copy.
  expect(from('f32').data.buffer).toBeInstanceOf(SharedArrayBuffer);
});

test('data may be nested arrays or any typed array of numbers', () => {
  const options = { format: 'f32' } as const;
  expect(
    Tensor.from(
      [
        [1, 2],
        [3, 4],
      ],
      options,
    ).shape,
  ).toEqual([2, 2]);
  expect(Tensor.from([[[1], [2]]], options).shape).toEqual([1, 2, 1]);
  for (const data of [
    Float64Array.of(1, 2),
    Int8Array.of(1, 2),
    Int16Array.of(1, 2),
    Int32Array.of(1, 2),
    Uint8Array.of(1, 2),
    Uint8ClampedArray.of(1, 2),
    Uint16Array.of(1, 2),
    Uint32Array.of(1, 2),
    // Of another context, whose classes are others.
    runInNewContext('Float32Array.of(1, 2)') as Float32Array,
    new Float32Array(new SharedArrayBuffer(8)).fill(1).fill(2, 1),
  ]) {
    expect(Tensor.from(data, options).toFloat32()).toEqual(Float32Array.of(1, 2));
  }
});

test('wrong data is named', () => {
  const options = { format: 'f32' } as const;
  const make = (data: unknown) => () => Tensor.from(data as number[], options);
  expect(make([1, '2'])).toThrow(/data\[1\]: expected a number, got "2"/);
  expect(make(Array(3).fill(1, 0, 1))).toThrow(/data\[1\]: expected a number, got undefined/);
  expect(make([[1, 2], [3]])).toThrow(/expected arrays of 2 at depth 1/);
  expect(make(BigInt64Array.of(1n))).toThrow(/convert BigInts to numbers/);
  expect(make(new DataView(new ArrayBuffer(4)))).toThrow(/got a DataView/);
  expect(make('1, 2')).toThrow(/expected an array of numbers/);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  expect(make(cycle)).toThrow(/at most 64 levels/);
  expect(make(Tensor.from([1], options))).toThrow(/tensor\.to\(format\)/);
});

test('detached and shrunk buffers are coded errors, resizable ones are read', () => {
  const detached = Float32Array.of(1, 2);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  expect(codeOf(() => Tensor.from(detached, { format: 'f32' }))).toBe('ERR_BUFFER');
  expect(codeOf(() => Tensor.from([1, 2], { format: 'f32' }).toFloat32(detached))).toBe('ERR_BUFFER');
  const Resizable = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & {
    resize(length: number): void;
  };
  const buffer = new Resizable(8, { maxByteLength: 16 });
  const fixed = new Float32Array(buffer, 0, 2).fill(3);
  expect(Tensor.from(fixed, { format: 'f32' }).toFloat32()).toEqual(Float32Array.of(3, 3));
  buffer.resize(4);
  expect(codeOf(() => Tensor.from(fixed, { format: 'f32' }))).toBe('ERR_BUFFER');
});

test('wrong shapes, axes, options and NaN are coded errors', () => {
  const make = (options: object, data: number[] = [1, 2, 3, 4]) =>
    codeOf(() => Tensor.from(data, { format: 'int4:g4:f16', ...options }));
  expect(make({ shape: [2, 3] })).toBe('ERR_SHAPE');
  expect(make({ shape: [-1, 4] })).toBe('ERR_SHAPE');
  expect(make({ shape: [0.5, 8] })).toBe('ERR_SHAPE');
  expect(make({ shape: '2x2' })).toBe('ERR_SHAPE');
  expect(make({ shape: [2 ** 31, 2 ** 31, 0] })).toBe('ERR_SHAPE');
  expect(make({ shape: [2, 2], axis: 2 })).toBe('ERR_AXIS');
  expect(make({ shape: [2, 2], axis: -3 })).toBe('ERR_AXIS');
  expect(make({ shape: [2, 2], axis: 0.5 })).toBe('ERR_AXIS');
  expect(make({ format: 'int4:g0' })).toBe('ERR_FORMAT_SYNTAX');
  expect(make({ format: undefined })).toBe('ERR_OPTION');
  expect(make({ seed: -1 })).toBe('ERR_OPTION');
  expect(make({ rounding: 'up' })).toBe('ERR_OPTION');
  expect(make({ rounding: { mode: 'stochastic', bits: 33 } })).toBe('ERR_OPTION');
  expect(make({ nan: 'keep' })).toBe('ERR_OPTION');
  expect(make({ shap: [4] })).toBe('ERR_OPTION');
  expect(make({}, [1, Number.NaN, 3, 4])).toBe('ERR_NAN');
  expect(make({}, [1, Number.POSITIVE_INFINITY, 3, 4])).toBe('ERR_NAN');
  expect(make({ format: 'q4_0' })).toBe('ERR_SHAPE');
  expect(make({ format: 'complex2' })).toBe('ERR_FORMAT_UNSUPPORTED');
  expect(make({ nan: 'zero' }, [1, Number.NaN, 3, 4])).toBe('no error');
});

test('an empty tensor and a single number are tensors', () => {
  for (const format of ['nvfp4', 'int4:g32:f16', 'f32', 'q8_0', 'nf4dq']) {
    const empty = Tensor.from([], { format, shape: [0, 32] });
    expect([empty.size, [...empty], empty.slice([0, 0]).shape]).toEqual([0, [], [0, 32]]);
    expect(Tensor.fromMessage(empty.toMessage()).shape).toEqual([0, 32]);
  }
  const one = Tensor.from([3], { format: 'f32', shape: [] });
  expect([one.at(), [...one], one.reshape([1, 1]).shape]).toEqual([3, [3], [1, 1]]);
});

test('infinities and NaN stay in formats that have them', () => {
  const values = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1];
  for (const format of ['f32', 'f16', 'bf16'] as const) {
    expect([...Tensor.from(values, { format })], format).toEqual(values);
  }
  expect([...Tensor.from(values, { format: 'e5m2' })]).toEqual([57344, -57344, Number.NaN, 1]);
  expect([...Tensor.from(values, { format: 'e5m2', overflow: 'ieee' })]).toEqual(values);
});

test('stochastic rounding depends on the seed alone', () => {
  const options = { format: 'e2m1', rounding: 'stochastic', shape: [64, 64] } as const;
  const data = wave(4096);
  const bytes = (seed?: number) =>
    Tensor.from(data, seed === undefined ? options : { ...options, seed }).bytes;
  expect(bytes(1)).toEqual(bytes(1));
  expect(bytes(1)).not.toEqual(bytes(2));
  expect(bytes()).toEqual(bytes(0));
});

test('f64 go straight into plain formats', () => {
  const value = 1.0625 + 2 ** -40;
  expect(Tensor.from([value], { format: 'e4m3fn' }).at(0)).toBe(1.125);
  expect(Tensor.from(Float32Array.of(value), { format: 'e4m3fn' }).at(0)).toBe(1);
  const wide = Tensor.from([2 ** 31 - 1, -(2 ** 24) - 1], { format: 'int32:none' });
  expect([...wide]).toEqual([2147483647, -16777217]);
  expect([...wide.toFloat64()]).toEqual([2147483647, -16777217]);
  expect(wide.at(0)).toBe(2147483647);
  expect([...wide.to('uint32:none')]).toEqual([2147483647, 0]);
});

test('the axis of groups may be any', () => {
  // Columns of very different size: scales along them keep what scales of rows would lose.
  const data = [
    [1, 1000],
    [2, 2000],
    [3, 3000],
  ];
  const along = (axis: number) => Tensor.from(data, { format: 'int8:channel', axis });
  expect(along(0).axis).toBe(0);
  expect(along(-1).axis).toBe(1);
  expect(along(0).scaleValues()).toEqual(Float32Array.of(3 / 127, 3000 / 127));
  const errors = (tensor: Tensor) =>
    data.flat().map((x, i) => Math.abs(x - (tensor.toFloat32()[i] ?? 0)) / x);
  expect(Math.max(...errors(along(0)))).toBeLessThan(0.01);
  expect(Math.max(...errors(along(1)))).toBeGreaterThan(0.9);
  expect(byIndex(along(0))).toEqual([...along(0).toFloat32()]);
  // Memory holds columns.
  expect([...along(0).data]).toEqual([42, 85, 127, 42, 85, 127]);
  expect(along(0).to('e4m3fn').axis).toBe(0);
  expect(along(0).to('int8:channel', { axis: 1 }).axis).toBe(1);
});

test('transposing moves nothing', () => {
  const tensor = Tensor.from(wave(2 * 3 * 32), { format: 'mxfp4', shape: [2, 3, 32] });
  const turned = tensor.transpose([2, 0, 1]);
  expect(turned.shape).toEqual([32, 2, 3]);
  expect(turned.axis).toBe(0);
  expect(turned.bytes.buffer).toBe(tensor.bytes.buffer);
  expect(turned.at(5, 1, 2)).toBe(tensor.at(1, 2, 5));
  expect([...turned.transpose([1, 2, 0])]).toEqual([...tensor]);
  expect(tensor.transpose().shape).toEqual([32, 3, 2]);
  expect(tensor.transpose([-1, 0, 1]).shape).toEqual([32, 2, 3]);
  expect([...turned.toFloat64()]).toEqual([...turned.toFloat32()]);
  for (const axes of [
    [0, 1],
    [0, 1, 1],
    [0, 1, 3],
    [0, 1, 2, 3],
  ]) {
    expect(
      codeOf(() => tensor.transpose(axes)),
      String(axes),
    ).toBe('ERR_AXIS');
  }
});

test('reshaping keeps groups whole', () => {
  const tensor = Tensor.from(wave(8 * 64), { format: 'int4:g32:f16', shape: [8, 64] });
  expect(tensor.reshape([2, 4, 64]).at(1, 3, 63)).toBe(tensor.at(7, 63));
  expect(tensor.reshape([16, -1]).shape).toEqual([16, 32]);
  expect([...tensor.reshape([16, 32])]).toEqual([...tensor]);
  expect(tensor.reshape([512]).bytes.buffer).toBe(tensor.bytes.buffer);
  expect(codeOf(() => tensor.reshape([32, 16]))).toBe('ERR_GROUPS');
  expect(codeOf(() => tensor.reshape([8, 63]))).toBe('ERR_SHAPE');
  expect(codeOf(() => tensor.reshape([-1, 63]))).toBe('ERR_SHAPE');
  expect(codeOf(() => tensor.reshape([-1, -1]))).toBe('ERR_SHAPE');
  const rows = Tensor.from(wave(64), { format: 'int8:channel', shape: [8, 8] });
  expect([...rows.reshape([2, 4, 8])]).toEqual([...rows]);
  expect(codeOf(() => rows.reshape([4, 16]))).toBe('ERR_GROUPS');
  // What has one scale, or none, takes any shape, also transposed: codes are then packed anew.
  for (const format of ['int8', 'e2m3', 'f16', 'int3:tensor:f32:zp']) {
    const plain = Tensor.from(wave(35), { format, shape: [5, 7] }).transpose();
    expect([...plain.reshape([35])], format).toEqual([...plain]);
  }
  expect(codeOf(() => tensor.transpose().reshape([512]))).toBe('ERR_GROUPS');
});

test('whole rows are views, other slices are packed anew', () => {
  const tensor = Tensor.from(wave(8 * 64), { format: 'int4:g32:f16', shape: [2, 4, 64] });
  const rows = tensor.slice([1], [1, 3]);
  expect(rows.shape).toEqual([1, 2, 64]);
  expect(rows.bytes.buffer).toBe(tensor.bytes.buffer);
  expect(rows.bytes.byteOffset).toBe(tensor.bytes.byteOffset + 5 * 32);
  expect([...rows]).toEqual([...tensor].slice(5 * 64, 7 * 64));
  const columns = tensor.slice(null, [0, 2], [32, 64]);
  expect(columns.bytes.buffer).not.toBe(tensor.bytes.buffer);
  expect(columns.at(1, 1, 3)).toBe(tensor.at(1, 1, 35));
  expect(tensor.slice().bytes.buffer).toBe(tensor.bytes.buffer);
  expect(tensor.slice([-1]).shape).toEqual([1, 4, 64]);
  expect(tensor.slice([1, 9]).shape).toEqual([1, 4, 64]);
  expect(tensor.slice([1, 0]).shape).toEqual([0, 4, 64]);
  expect(codeOf(() => tensor.slice(null, null, [1, 33]))).toBe('ERR_GROUPS');
  expect(codeOf(() => tensor.slice(null, null, null, null))).toBe('ERR_AXIS');
  expect(codeOf(() => tensor.slice([0.5]))).toBe('ERR_OPTION');
  // Rounding again is for those who ask for it.
  expect(tensor.to('f32').slice(null, null, [1, 33]).to('int4:g32:f16').shape).toEqual([2, 4, 32]);
});

test('slices have the values of the whole, for every format and any ranges', () => {
  const names = formatNames().filter((name) => name !== 'complex2');
  fc.assert(
    fc.property(
      fc.constantFrom(
        ...names,
        'int4:g8:f16:zp',
        'int3:g8:f16:min',
        'int5:channel',
        'e2m1:2x8',
        'uint7:tensor',
        'bitmod3:g8',
      ),
      fc.array(fc.tuple(fc.nat(6), fc.nat(6)), { minLength: 2, maxLength: 2 }),
      fc.tuple(fc.nat(5), fc.nat(5)),
      fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
      (format, outer, inner, axes) => {
        const unit = describe(format).record?.elements ?? 8;
        const columns = 5 * unit;
        let tensor: Tensor;
        try {
          tensor = Tensor.from(wave(4 * 5 * columns), { format, shape: [4, 5, columns] }).transpose(axes);
        } catch (error) {
          // Types of GGUF that have no encoder.
          expect(error).toMatchObject({ code: 'ERR_FORMAT_UNSUPPORTED' });
          return;
        }
        const stored = [...outer, [inner[0] * unit, inner[1] * unit] as const];
        const ranges = axes.map((axis) => stored[axis] ?? null);
        let part: Tensor;
        try {
          part = tensor.slice(...ranges);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_GROUPS' });
          return;
        }
        const expected: number[] = [];
        const all = tensor.toFloat32();
        const [n0 = 0, n1 = 0, n2 = 0] = tensor.shape;
        const inside = (i: number, axis: number) => {
          const [begin = 0, end = 0] = ranges[axis] ?? [];
          return i >= begin && i < end;
        };
        for (let i = 0; i < n0; i++)
          for (let j = 0; j < n1; j++)
            for (let k = 0; k < n2; k++)
              if (inside(i, 0) && inside(j, 1) && inside(k, 2))
                expected.push(all[(i * n1 + j) * n2 + k] ?? 0);
        expect([...part.toFloat32()]).toEqual(expected);
        expect(part.size).toBe(expected.length);
      },
    ),
    { numRuns: 300 },
  );
});

test('one int8 store has views of any lower precision', () => {
  const stored = Tensor.from(wave(256), { format: 'int8:g32:f16', shape: [4, 64] });
  const low = stored.view(4);
  expect(low.format.name).toBe('int4full:g32:f16');
  const codes = [...(stored.data as Int8Array)].map((code) => Math.min(7, Math.floor(code / 16 + 0.5)));
  const packed = codes.map((code, i) => (i % 2 === 0 ? (code & 15) | (((codes[i + 1] ?? 0) & 15) << 4) : -1));
  expect([...low.bytes]).toEqual(packed.filter((byte) => byte >= 0));
  expect([...low.scaleValues()]).toEqual([...stored.scaleValues()].map((scale) => scale * 16));
  expect([...stored.view(8)]).toEqual([...stored]);
  expect(stored.transpose().view(4).shape).toEqual([64, 4]);
  expect(codeOf(() => stored.view(9))).toBe('ERR_FORMAT_UNSUPPORTED');
  expect(codeOf(() => stored.view(0))).toBe('ERR_OPTION');
  expect(codeOf(() => Tensor.from([1], { format: 'nvfp4' }).view(2))).toBe('ERR_FORMAT_UNSUPPORTED');
});

test('zero points and minimums are there to be read', () => {
  const tensor = Tensor.from([-1, 14, 0, 2.5], { format: 'int4:g2:f16:zp' });
  expect([...tensor.zeroPointValues()]).toEqual([1, 0]);
  expect([...tensor.scaleValues()]).toEqual(
    [1, 0.16662597656125].map(Math.fround).map((x, i) => (i === 0 ? x : tensor.scaleValues()[1])),
  );
  expect(tensor.zeroPoints).toEqual(Uint8Array.of(0x01));
  const minimum = Tensor.from([5, 6, 7, 8], { format: 'int2:tensor:min' });
  expect([...minimum.zeroPointValues()]).toEqual([5]);
  expect([...minimum]).toEqual([5, 6, 7, 8]);
  expect(Tensor.from([1], { format: 'f32' }).scaleValues().length).toBe(0);
  expect(Tensor.from(wave(128), { format: 'bitmod4' }).selectors?.length).toBe(1);
});

test('single elements are found, and others are not', () => {
  const tensor = Tensor.from(
    [
      [1, 2],
      [3, 4],
    ],
    { format: 'f32' },
  );
  expect([tensor.at(1, 0), tensor.at(-1, -1)]).toEqual([3, 4]);
  for (const indices of [[2, 0], [0, -3], [0.5, 0], [0], [0, 0, 0]]) {
    expect(
      codeOf(() => tensor.at(...indices)),
      String(indices),
    ).toBe('ERR_INDEX');
  }
});

test('results go into arrays of the caller', () => {
  const tensor = Tensor.from(
    [
      [1, 2],
      [3, 4],
    ],
    { format: 'e4m3fn' },
  );
  const out = new Float32Array(4);
  expect(tensor.transpose().toFloat32(out)).toBe(out);
  expect([...out]).toEqual([1, 3, 2, 4]);
  expect(codeOf(() => tensor.toFloat32(new Float32Array(3)))).toBe('ERR_SHAPE');
  // @ts-expect-error not a Float32Array
  expect(codeOf(() => tensor.toFloat32([0, 0, 0, 0]))).toBe('ERR_OPTION');
  // Shared memory is as good as any.
  expect([...tensor.toFloat32(new Float32Array(new SharedArrayBuffer(16)))]).toEqual([1, 2, 3, 4]);
});

test('a disposed tensor is of no use, what shares its memory is', () => {
  let kept: Tensor;
  {
    const tensor = Tensor.from(wave(64), { format: 'mxfp4', shape: [2, 32] });
    kept = tensor.slice([1]);
    tensor.dispose();
    tensor[Symbol.dispose]();
    expect(tensor.disposed).toBe(true);
    for (const use of [
      () => tensor.toFloat32(),
      () => tensor.at(0, 0),
      () => tensor.data,
      () => tensor.to('f32'),
      () => tensor.slice([1]),
      () => tensor.toMessage(),
      () => tensor.byteLength,
      () => [...tensor],
    ]) {
      expect(codeOf(use)).toBe('ERR_DISPOSED');
    }
  }
  expect(kept.toFloat32().length).toBe(32);
});

test('converting keeps shape and axis, and loses only what the format loses', () => {
  const tensor = Tensor.from(wave(96), { format: 'f32', shape: [3, 32] }).transpose();
  const low = tensor.to('mxfp8_e4m3', { rounding: 'towardZero' });
  expect([low.shape, low.axis]).toEqual([[32, 3], 0]);
  expect([...low.to('f32')]).toEqual([...low]);
  expect([...low.to(parseFormat('bf16'))]).toEqual([...low]);
  expect([...low].every((value, i) => Math.abs(value) <= Math.abs([...tensor][i] ?? 0))).toBe(true);
});
