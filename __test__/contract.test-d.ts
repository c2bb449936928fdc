import { expectTypeOf, test } from 'vitest';
import type * as generated from '../ts/native/binding.d.cts';
import type {
  NativeBinding,
  NativeEvent,
  NativeGenerateRequest,
  NativeLoadOptions,
  NativePiece,
} from '../ts/native/contract.ts';

test('the declarations that the native build generates are those that the TypeScript half is written against', () => {
  expectTypeOf<typeof generated>().toExtend<NativeBinding>();
  expectTypeOf<generated.NativeEvent>().toEqualTypeOf<NativeEvent>();
  expectTypeOf<generated.NativePiece>().toEqualTypeOf<NativePiece>();
  expectTypeOf<generated.NativeGenerateRequest>().toEqualTypeOf<NativeGenerateRequest>();
  expectTypeOf<generated.NativeLoadOptions>().toEqualTypeOf<NativeLoadOptions>();
});
