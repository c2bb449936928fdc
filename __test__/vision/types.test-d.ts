import { expectTypeOf, test } from 'vitest';
import {
  type Classification,
  type ImageSource,
  type NetworkImages,
  type PixelImage,
  quantizeIntegerOnly,
  type VisionInput,
  type VisionLoadOptions,
  VisionTransformer,
} from '../../ts/index.ts';

declare const options: VisionLoadOptions;
declare const integers: VisionTransformer;
declare const floats: VisionTransformer<Float32Array>;

test('logits are of the precision that was loaded', () => {
  expectTypeOf(VisionTransformer.load('fashion')).resolves.toEqualTypeOf<VisionTransformer<Int32Array>>();
  expectTypeOf(VisionTransformer.load('fashion', { threads: 1 })).resolves.toEqualTypeOf<VisionTransformer>();
  expectTypeOf(VisionTransformer.load('fashion', { precision: 'float32' })).resolves.toEqualTypeOf<
    VisionTransformer<Float32Array>
  >();
  expectTypeOf(VisionTransformer.load('fashion', options)).resolves.toEqualTypeOf<
    VisionTransformer | VisionTransformer<Float32Array>
  >();
  expectTypeOf(integers.logits('x.png')).resolves.toEqualTypeOf<Int32Array>();
  expectTypeOf(floats.logits('x.png')).resolves.toEqualTypeOf<Float32Array>();
});

test('the calls of the guide have the types that they should', () => {
  expectTypeOf(integers.classify('x.png')).resolves.toEqualTypeOf<Classification[]>();
  expectTypeOf(integers.classifyBatch(['x.png'])).resolves.toEqualTypeOf<Classification[][]>();
  expectTypeOf<Classification>().toEqualTypeOf<{ label: string; index: number; score: number }>();
  expectTypeOf(integers.input).toEqualTypeOf<Readonly<VisionInput>>();
  expectTypeOf(integers.labels).toEqualTypeOf<readonly string[]>();
  expectTypeOf(integers).toExtend<AsyncDisposable & Disposable>();
});

test('pictures are paths, URLs, pixels, or what a canvas gives', () => {
  expectTypeOf<string>().toExtend<ImageSource>();
  expectTypeOf<URL>().toExtend<ImageSource>();
  expectTypeOf<{
    data: Uint8ClampedArray;
    width: number;
    height: number;
    colorSpace: string;
  }>().toExtend<PixelImage>();
  expectTypeOf<Uint8Array>().not.toExtend<ImageSource>();
  expectTypeOf<readonly ImageSource[]>().toExtend<NetworkImages>();
  expectTypeOf<Uint8Array>().toExtend<NetworkImages>();
  expectTypeOf(quantizeIntegerOnly).parameter(1).toEqualTypeOf<NetworkImages>();
});

test('mistakes do not compile', () => {
  // @ts-expect-error misspelt
  VisionTransformer.load('fashion', { thread: 1 });
  // @ts-expect-error there is no such precision
  VisionTransformer.load('fashion', { precision: 'float16' });
  // @ts-expect-error made by load only
  new VisionTransformer();
  // @ts-expect-error of a batch only
  void integers.classify('x.png', { onProgress() {} });
  // @ts-expect-error its size cannot be changed
  integers.input.width = 3;
});
