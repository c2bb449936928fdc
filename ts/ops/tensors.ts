import type { Format } from '../formats.ts';
import type { NativeOperand } from '../native/ops-contract.ts';
import { allocate } from '../tensor/memory.ts';
import { isIdentity, matrixOf, sizeOf } from '../tensor/shape.ts';
import { adopt, layoutOfTensor, Tensor, type TensorOptions } from '../tensor.ts';
import { float32, type Operand } from './arrays.ts';

/** Floats that the native half reads and writes, by their numbers. */
const FLOATS = ['f32', 'f16', 'bf16'];
/** The number of integers of 8 bits. */
const INTEGERS = 3;

/**
 * A tensor's numbers as they lie in memory, where the native half reads them: f32, f16, bf16, and signed integers of 8 bits with one scale or
 * none. Others are decoded.
 * @internal
 */
export function nativeOperand(x: Operand, name: string): NativeOperand {
  if (!(x instanceof Tensor)) return float32(x, name);
  const { order, parts } = layoutOfTensor(x);
  const { element, scale, superScale, zeroPoint, record } = x.format.describe();
  if (record !== null || zeroPoint !== null || superScale !== null || !isIdentity(order))
    return x.toFloat32();
  const kind = FLOATS.indexOf(element);
  if (kind >= 0 && scale === null) return { bytes: parts.codes, kind, scale: 1 };
  if ((element === 'int8' || element === 'int8full') && (scale === null || scale.per === 'tensor'))
    return { bytes: parts.codes, kind: INTEGERS, scale: scale === null ? 1 : (x.scaleValues()[0] ?? 1) };
  return x.toFloat32();
}

/** Memory that a result is written to, and the tensor once it is there. */
interface Result {
  out: NativeOperand;
  tensor: () => Tensor;
}

/** Memory of a format that the native half writes. */
function written(shape: readonly number[], format: Format, kind: number): Result {
  const { rows, columns } = matrixOf(shape);
  const parts = allocate(format, rows, columns);
  // Codes of probabilities: 255 is 1. Without elements there is no scale.
  const { buffer, byteOffset, byteLength } = parts.scales;
  if (kind === INTEGERS && byteLength > 0) new DataView(buffer, byteOffset).setFloat32(0, 1 / 255, true);
  const order = shape.map((_, axis) => axis);
  return {
    out: { bytes: parts.codes, kind, scale: 1 },
    tensor: () => adopt({ format, dimensions: shape, order, parts }),
  };
}

/**
 * A result of a shape and format, which is rounded afterwards where the native half does not write the format.
 * @internal
 */
export function resultOf(shape: readonly number[], format: Format): Result {
  const kind = FLOATS.indexOf(format.name);
  if (kind >= 0) return written(shape, format, kind);
  const out = new Float32Array(sizeOf(shape));
  const options: TensorOptions = { format, shape };
  return { out, tensor: () => Tensor.from(out, options) };
}

/**
 * A result of numbers from 0 to 1, as the nearest multiples of 1/255.
 * @internal
 */
export function probabilities(shape: readonly number[], format: Format<'uint8'>): Result {
  return written(shape, format, INTEGERS);
}

/**
 * The result of an operation that keeps the shape, as a tensor of the same format.
 * @internal
 */
export function mapTensor<F extends string>(
  x: Tensor<F>,
  compute: (x: NativeOperand, out: NativeOperand) => void,
): Tensor<F> {
  const { out, tensor } = resultOf(x.shape, x.format);
  compute(nativeOperand(x, 'x'), out);
  return tensor() as Tensor<F>;
}
