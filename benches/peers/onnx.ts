// The smallest writer of ONNX models that a benchmark needs: one node, f32 tensors in and out (https://onnx.ai/onnx/repo-docs/IR.html).

type Field = Uint8Array | string | number;

const FLOAT = 1;
const UINT8 = 2;
const ATTRIBUTE = { float: 1, int: 2, string: 3 } as const;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

/** A field of a message: numbers as varints, everything else with its length before it. */
function field(number: number, value: Field): Uint8Array {
  if (typeof value === 'number') return Uint8Array.from([...varint(number * 8), ...varint(value)]);
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  return Buffer.concat([Uint8Array.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
}

const message = (...fields: Uint8Array[]): Uint8Array => Buffer.concat(fields);

/** A tensor that goes in or comes out. */
function value(name: string, shape: readonly number[]): Uint8Array {
  const dimensions = shape.map((size) => field(1, field(1, size)));
  const tensor = message(field(1, FLOAT), field(2, message(...dimensions)));
  return message(field(1, name), field(2, field(1, tensor)));
}

function attribute(name: string, content: number | string): Uint8Array {
  if (typeof content === 'string')
    return message(field(1, name), field(4, content), field(20, ATTRIBUTE.string));
  if (Number.isInteger(content) && content >= 0)
    return message(field(1, name), field(3, content), field(20, ATTRIBUTE.int));
  const float = Buffer.alloc(5);
  float.writeUInt8(2 * 8 + 5);
  float.writeFloatLE(content, 1);
  return message(field(1, name), float, field(20, ATTRIBUTE.float));
}

/** A tensor that the model holds. */
export interface Constant {
  shape: readonly number[];
  data: Uint8Array | Float32Array;
}

function constant(name: string, { shape, data }: Constant): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const type = data instanceof Float32Array ? FLOAT : UINT8;
  return message(...shape.map((size) => field(1, size)), field(2, type), field(8, name), field(9, bytes));
}

/** What {@link oneNode} takes where a model is more than an operator of the standard. */
export interface NodeOptions {
  /** Who defined the operator; ONNX where absent. */
  domain?: string;
  /** Inputs after the others that never change. */
  constants?: Readonly<Record<string, Constant>>;
  /** The shape of the output; that of the first input where absent. */
  output?: readonly number[];
}

/** A model of one operator from inputs of these shapes to the output `Y`. */
export function oneNode(
  operator: string,
  inputs: Readonly<Record<string, readonly number[]>>,
  attributes: Readonly<Record<string, number | string>> = {},
  { domain = '', constants = {}, output }: NodeOptions = {},
): Uint8Array {
  const names = [...Object.keys(inputs), ...Object.keys(constants)];
  const [first = []] = Object.values(inputs);
  const node = message(
    ...names.map((name) => field(1, name)),
    field(2, 'Y'),
    field(4, operator),
    ...Object.entries(attributes).map(([name, content]) => field(5, attribute(name, content))),
    field(7, domain),
  );
  const graph = message(
    field(1, node),
    field(2, operator),
    ...Object.entries(constants).map(([name, content]) => field(5, constant(name, content))),
    ...Object.entries(inputs).map(([name, shape]) => field(11, value(name, shape))),
    field(12, value('Y', output ?? first)),
  );
  const opset = (name: string, version: number) => field(8, message(field(1, name), field(2, version)));
  const others = domain === '' ? [] : [opset(domain, 1)];
  return message(field(1, 9), field(7, graph), opset('', 20), ...others);
}
