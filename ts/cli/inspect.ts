import { inspectModel } from '../llm/files.ts';
import { fileSize, mebibytes } from '../models/cache.ts';
import type { VisionFile } from '../vision/types.ts';
import { inspectVision } from '../vision/vision-transformer.ts';
import type { Command } from './command.ts';
import { type Terminal, table } from './terminal.ts';

const MAX_VALUE_LENGTH = 80;

function oneLine(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH - 1)}…` : text;
}

/** Vision models are named by a path: what is no file is left to the models with names. */
async function visionFile(model: string): Promise<VisionFile | undefined> {
  return (await fileSize(model)) === undefined ? undefined : inspectVision(model);
}

async function writeVision(terminal: Terminal, file: VisionFile): Promise<void> {
  const { name, mode, labels, input, weights, nodes } = file;
  await terminal.write(`${terminal.paint('bold', name)}\n`);
  const [kind, number] = mode === 'float32' ? ['float32', 'float'] : [`integers alone (${mode})`, 'int'];
  await terminal.write(
    `${kind}, ${(weights / 1e6).toFixed(2)} M weights, images of ${input.width} x ${input.height} x ${input.channels}, ${labels.length} classes\n\n`,
  );
  const rows = nodes.map(({ name: node, op, shape, bits, weightBits }, index) => [
    index,
    op,
    node,
    shape.join(' x '),
    `${number}${bits}`,
    weightBits === null ? '' : `weights ${number}${weightBits}`,
  ]);
  await terminal.write(table(rows));
}

/** `dyadic inspect`: what is in a model file. */
export const inspect: Command = {
  summary: 'Show metadata and tensors of a model file',
  usage: 'MODEL',
  positionals: [1, 1],
  flags: {
    tensors: { help: 'list every tensor instead of the sum by type' },
  },
  examples: [
    ['dyadic inspect smollm2', 'metadata, and tensors by type'],
    ['dyadic inspect ./model.dyadic', 'the nodes of a network of integers; also of a vision model of floats'],
    ['dyadic inspect ./model.gguf --json', 'all of it, for a program'],
  ],
  async run({ positionals, values, terminal }) {
    const vision = await visionFile(positionals[0] ?? '');
    if (vision !== undefined) {
      await (terminal.json ? terminal.writeJson(vision) : writeVision(terminal, vision));
      return undefined;
    }
    const file = await inspectModel(positionals[0] ?? '');
    if (terminal.json) {
      await terminal.writeJson(file);
      return undefined;
    }
    const { architecture, name, version, parameters, tensorBytes, types, metadata, tensors } = file;
    await terminal.write(`${terminal.paint('bold', name ?? 'without a name')}\n`);
    await terminal.write(
      `${architecture ?? 'no architecture'}, GGUF ${version}, ${(parameters / 1e6).toFixed(1)} M parameters, ${mebibytes(tensorBytes)}\n\n`,
    );
    await terminal.write(table(Object.entries(metadata).map(([key, value]) => [key, oneLine(value)])));
    const rows = values.has('tensors')
      ? tensors.map(({ name: tensor, type, shape, bytes }) => [tensor, type, shape.join(' x '), bytes ?? '?'])
      : Object.entries(types).map(([type, sum]) => [type, sum.tensors, `tensors, ${mebibytes(sum.bytes)}`]);
    await terminal.write(`\n${table(rows)}`);
    return undefined;
  },
};
