import { expectTypeOf, test } from 'vitest';
import {
  type DataOf,
  type Format,
  type FormatDescription,
  lMul,
  parseFormat,
  Tensor,
  type TensorData,
} from '../../ts/index.ts';

test('the element type follows the format', () => {
  expectTypeOf<DataOf<'f32'>>().toEqualTypeOf<Float32Array>();
  expectTypeOf<DataOf<'float32'>>().toEqualTypeOf<Float32Array>();
  expectTypeOf<DataOf<'bf16'>>().toEqualTypeOf<Uint16Array>();
  expectTypeOf<DataOf<'int8'>>().toEqualTypeOf<Int8Array>();
  expectTypeOf<DataOf<'int8:g32:f16'>>().toEqualTypeOf<Int8Array>();
  expectTypeOf<DataOf<'int8:channel:zp'>>().toEqualTypeOf<Uint8Array>();
  expectTypeOf<DataOf<'int16:g32:zp:f16'>>().toEqualTypeOf<Uint16Array>();
  expectTypeOf<DataOf<'int32:none'>>().toEqualTypeOf<Int32Array>();
  expectTypeOf<DataOf<'int4:g128:f16'>>().toEqualTypeOf<Uint8Array>();
  expectTypeOf<DataOf<'nvfp4'>>().toEqualTypeOf<Uint8Array>();
  expectTypeOf<DataOf<'e4m3fn'>>().toEqualTypeOf<Uint8Array>();
  expectTypeOf<DataOf<string>>().toEqualTypeOf<TensorData>();
  expectTypeOf<DataOf<'f32' | 'nvfp4'>>().toExtend<Float32Array | Uint8Array>();
});

test('tensors keep the literal of their format', () => {
  const tensor = Tensor.from([1, 2], { format: 'int8', shape: [2] });
  expectTypeOf(tensor).toEqualTypeOf<Tensor<'int8', Int8Array>>();
  expectTypeOf(tensor.data).toEqualTypeOf<Int8Array>();
  expectTypeOf(tensor.format).toEqualTypeOf<Format<'int8'>>();
  expectTypeOf(tensor.slice([0, 1]).data).toEqualTypeOf<Int8Array>();
  expectTypeOf(tensor.transpose().reshape([2]).data).toEqualTypeOf<Int8Array>();
  expectTypeOf(tensor.to('f32').data).toEqualTypeOf<Float32Array>();
  expectTypeOf(tensor.to(parseFormat('bf16')).data).toEqualTypeOf<Uint16Array>();
  expectTypeOf(tensor.view(4)).toEqualTypeOf<Tensor>();
  expectTypeOf(tensor.toFloat32()).toExtend<Float32Array>();
  expectTypeOf(tensor).toExtend<Tensor>();
  expectTypeOf(tensor).toExtend<Iterable<number> & Disposable>();
  expectTypeOf(Tensor.fromMessage(tensor.toMessage())).toEqualTypeOf<Tensor>();
  const computed = `int${4 + 4}:g32` as string;
  expectTypeOf(Tensor.from([1], { format: computed }).data).toEqualTypeOf<TensorData>();
});

test('formats and L-Mul', () => {
  expectTypeOf(parseFormat('nvfp4')).toEqualTypeOf<Format<'nvfp4'>>();
  expectTypeOf(parseFormat('nvfp4')).toExtend<Format>();
  expectTypeOf(parseFormat('nvfp4').describe()).toEqualTypeOf<FormatDescription>();
  expectTypeOf(lMul(1, 2)).toEqualTypeOf<number>();
  expectTypeOf(lMul(Float32Array.of(1), Float32Array.of(2))).toExtend<Float32Array>();
});

test('mistakes do not compile', () => {
  // @ts-expect-error a format is needed
  Tensor.from([1], { shape: [1] });
  // @ts-expect-error misspelt
  Tensor.from([1], { format: 'f32', roundin: 'toOdd' });
  // @ts-expect-error no such mode
  Tensor.from([1], { format: 'f32', rounding: 'up' });
  // @ts-expect-error BigInts are no numbers
  Tensor.from(BigInt64Array.of(1n), { format: 'f32' });
  // @ts-expect-error made by from only
  new Tensor();
  // @ts-expect-error a number and an array
  lMul(1, Float32Array.of(1));
});
