/** Names of formats that editors complete; every other string of the grammar is accepted as well. */
export type FormatName =
  | `int${2 | 3 | 4 | 5 | 6 | 7 | 8 | 16 | 32}`
  | `uint${1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 16 | 32}`
  | `bipolar${1 | 2 | 4}`
  | 'binary'
  | 'ternary'
  | 'e2m1'
  | 'e1m2'
  | 'e3m0'
  | 'e2m3'
  | 'e3m2'
  | 'e4m3fn'
  | 'e4m3'
  | 'e4m3fnuz'
  | 'e4m3b11fnuz'
  | 'e5m2'
  | 'e5m2fnuz'
  | 'e3m4'
  | 'f16'
  | 'bf16'
  | 'tf32'
  | 'f32'
  | 'ue4m3'
  | 'ue5m3'
  | 'e8m0'
  | 'nf4'
  | 'af4'
  | 'nf4dq'
  | 'bnbfp4'
  | 'mxfp8_e4m3'
  | 'mxfp8_e5m2'
  | 'mxfp6_e2m3'
  | 'mxfp6_e3m2'
  | 'mxfp4'
  | 'mxint8'
  | 'nvfp4'
  | 'nvfp4_4over6'
  | 'bfp12'
  | `msfp${12 | 13 | 14 | 15 | 16}`
  | 'bitmod3'
  | 'bitmod4'
  | 'q4_0'
  | 'q4_1'
  | 'q5_0'
  | 'q5_1'
  | 'q8_0'
  | 'q2_k'
  | 'q3_k'
  | 'q4_k'
  | 'q5_k'
  | 'q6_k'
  | 'tq1_0'
  | 'tq2_0';

/**
 * A format string: `element[:gN|channel|tensor|RxC][:scale][:zp]`, or a named block format.
 *
 * @example `'e4m3fn'`, `'int4:g128:f16'`, `'int8:channel:zp'`, `'nvfp4'`, `'mxfp8_e4m3'`, `'q4_k'`
 */
export type FormatString = FormatName | (string & {});

/** The element type of a runtime with `Float16Array` (Node 24), where the declarations in use know it. */
export type Float16Data = typeof globalThis extends {
  Float16Array: { new (buffer: ArrayBufferLike, byteOffset: number, length: number): infer T };
}
  ? T
  : Uint16Array;

/** {@link TensorData} of a format whose codes fill 8, 16 or 32 bits. */
interface DataOfElement {
  f32: Float32Array;
  float32: Float32Array;
  fp32: Float32Array;
  f16: Float16Data;
  float16: Float16Data;
  fp16: Float16Data;
  half: Float16Data;
  bf16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  int8full: Int8Array;
  int16: Int16Array;
  int16full: Int16Array;
  int32: Int32Array;
  int32full: Int32Array;
  uint16: Uint16Array;
  uint32: Uint32Array;
}

/** What {@link Tensor.data} may be. */
export type TensorData =
  | Float32Array
  | Float16Data
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array;

/** The element of a format string: zero points and minimums make an integer unsigned. */
type ElementOf<F extends string> = F extends `${infer E}:${infer Parts}`
  ? `:${Parts}:` extends `${string}:${'zp' | 'min'}:${string}`
    ? E extends `int${infer Bits}`
      ? `uint${Bits}`
      : E
    : E
  : F;

/**
 * The typed array of {@link Tensor.data} for a format: the natural one where a code fills 8, 16 or 32 bits, else packed bytes.
 *
 * @example `DataOf<'f32'>` is `Float32Array`, `DataOf<'int8:channel'>` is `Int8Array`, `DataOf<'nvfp4'>` is `Uint8Array`
 */
export type DataOf<F extends string> = string extends F
  ? TensorData
  : ElementOf<F> extends keyof DataOfElement
    ? DataOfElement[ElementOf<F>]
    : Uint8Array;
