import type { Format } from '../formats.ts';

/** The formats of element types of `.npy` and safetensors files, by the names of the latter. */
export const FORMAT_OF_DTYPE: Readonly<Record<string, string>> = {
  BOOL: 'uint1:none',
  F4: 'e2m1',
  F6_E2M3: 'e2m3',
  F6_E3M2: 'e3m2',
  U8: 'uint8:none',
  I8: 'int8full:none',
  F8_E5M2: 'e5m2',
  F8_E4M3: 'e4m3fn',
  F8_E8M0: 'e8m0',
  F8_E4M3FNUZ: 'e4m3fnuz',
  F8_E5M2FNUZ: 'e5m2fnuz',
  U16: 'uint16:none',
  I16: 'int16full:none',
  F16: 'f16',
  BF16: 'bf16',
  U32: 'uint32:none',
  I32: 'int32full:none',
  F32: 'f32',
};

/** Types of 64 bits, which no format has: their arrays, and the format that their numbers are rounded to or must fit into. */
export const WIDE_DTYPES: Readonly<
  Record<
    string,
    { format: string; read: (buffer: ArrayBuffer) => Float64Array | BigInt64Array | BigUint64Array }
  >
> = {
  F64: { format: 'f32', read: (buffer) => new Float64Array(buffer) },
  I64: { format: 'int32full:none', read: (buffer) => new BigInt64Array(buffer) },
  U64: { format: 'uint32:none', read: (buffer) => new BigUint64Array(buffer) },
};

/** Elements that a type holds as well as those of {@link FORMAT_OF_DTYPE}. */
const DTYPE_OF_ELEMENT: ReadonlyMap<string, string> = new Map([
  ...Object.entries(FORMAT_OF_DTYPE).map(([dtype, format]): [string, string] => [
    format.replace(':none', ''),
    dtype,
  ]),
  ['int8', 'I8'],
  ['int16', 'I16'],
  ['int32', 'I32'],
]);

/** The type that holds the codes of a format as they are; `undefined` where there is none, or scales belong to them. */
export function dtypeOf(format: Format): string | undefined {
  const { element, scale, record } = format.describe();
  return scale === null && record === null ? DTYPE_OF_ELEMENT.get(element) : undefined;
}
