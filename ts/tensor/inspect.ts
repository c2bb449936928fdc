import { showShape } from './shape.ts';

/** Values that are printed. */
const SHOWN = 8;
/** Significant digits of a printed value: enough to tell those of 16-bit formats apart. */
const DIGITS = 5;

/** What is said of a tensor. */
interface Shown {
  readonly format: { readonly name: string };
  readonly shape: readonly number[];
  readonly size: number;
  readonly disposed: boolean;
  readonly bitsPerElement: number;
  readonly byteLength: number;
  at(...indices: number[]): number;
}

/** A tensor in one line: format, shape, size, and its first values. */
export function inspectTensor(tensor: Shown): string {
  const head = `Tensor ${tensor.format.name} ${showShape(tensor.shape)}`;
  if (tensor.disposed) return `${head} (disposed)`;
  const values = firstValues(tensor).map((value) => String(Number(value.toPrecision(DIGITS))));
  const rest = tensor.size - values.length;
  if (rest > 0) values.push(`… ${rest} more`);
  const bits = Number(tensor.bitsPerElement.toFixed(3));
  const list = values.length > 0 ? `{ ${values.join(', ')} }` : '{}';
  return `${head}, ${bits} bits an element, ${tensor.byteLength} bytes ${list}`;
}

/** The first few values in row-major order, one by one: a tensor may be large. */
function firstValues(tensor: Shown): number[] {
  const { shape } = tensor;
  return Array.from({ length: Math.min(SHOWN, tensor.size) }, (_, index) => {
    let rest = index;
    const indices = new Array<number>(shape.length);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const length = shape[axis] ?? 1;
      indices[axis] = rest % length;
      rest = Math.floor(rest / length);
    }
    return tensor.at(...indices);
  });
}
