import { writeFile } from 'node:fs/promises';
import { fromFileSystem } from '../../errors.ts';
import { parseFormat } from '../../formats.ts';
import { type Command, type Context, usageError, type Values } from '../command.ts';
import { measure, showComparison } from './compare.ts';
import { errorCurves } from './error-curve.ts';
import { listFormats } from './list.ts';
import { type Line, numberLines } from './number-line.ts';
import { finiteValues, showFormat } from './picture.ts';
import { readSamples, type Samples, SYNTHETIC, synthesize } from './samples.ts';
import { sqnrBars } from './sqnr-bars.ts';

const KINDS = ['values', 'error', 'sqnr'] as const;
/** More ticks than this on one line are a bar. */
const MOST_TICKS = 1024;
/** More curves than this look alike. */
const MOST_CURVES = 6;

/** The tensor that a file or the flags name. */
async function samplesOf(files: readonly string[], values: Values): Promise<Samples> {
  const synthetic = Object.keys(SYNTHETIC).filter((name) => values.has(name));
  const [file] = files;
  const [name] = synthetic;
  if (files.length + synthetic.length !== 1) {
    const flags = Object.keys(SYNTHETIC).map((flag) => `--${flag}`);
    throw usageError(`give one FILE.npy or one of ${flags.join(', ')}`);
  }
  return file === undefined ? synthesize(name ?? '') : readSamples(file);
}

/** Formats separated by commas. */
function formatsOption(values: Values): string[] | undefined {
  return values
    .text('formats')
    ?.split(',')
    .map((format) => format.trim());
}

function linesOf(names: readonly string[], most: number): Line[] {
  if (names.length === 0) throw usageError('plot: name at least one format');
  return names.map((name) => {
    const description = parseFormat(name).describe();
    const values = finiteValues(description.element);
    if (values === undefined || values.length > most) {
      throw usageError(
        `plot: ${description.element} has ${description.distinctValues} values; at most ${most} can be drawn`,
      );
    }
    return { description, values };
  });
}

async function plot([kind, ...names]: readonly string[], values: Values): Promise<string> {
  if (kind === 'sqnr') {
    const isFile = (name: string) => name.endsWith('.npy');
    const samples = await samplesOf(names.filter(isFile), values);
    const named = names.filter((name) => !isFile(name));
    const { errors } = measure(samples, named.length > 0 ? named : formatsOption(values));
    return sqnrBars(errors, samples.title, values.has('gaussian'));
  }
  if (kind === 'values') return numberLines(linesOf(names, MOST_TICKS));
  if (kind === 'error') {
    if (names.length > MOST_CURVES) throw usageError(`plot error: at most ${MOST_CURVES} formats`);
    return errorCurves(linesOf(names, 2 ** 16));
  }
  throw usageError(`plot: expected one of ${KINDS.join(', ')}${kind === undefined ? '' : `, got '${kind}'`}`);
}

async function run({ positionals, values, terminal }: Context): Promise<undefined> {
  const [first, ...rest] = positionals;
  if (first === undefined) {
    await listFormats(terminal);
  } else if (first === 'compare') {
    await showComparison(await samplesOf(rest, values), formatsOption(values), terminal);
  } else if (first === 'plot') {
    const svg = await plot(rest, values);
    const file = values.text('output');
    if (file === undefined) {
      if (terminal.json) await terminal.writeJson({ svg });
      else await terminal.write(svg);
      return undefined;
    }
    await writeFile(file, svg).catch((error: unknown) => {
      throw fromFileSystem(error, file);
    });
    if (terminal.json) await terminal.writeJson({ file, bytes: Buffer.byteLength(svg) });
    else terminal.note(`wrote ${file}`);
  } else {
    for (const name of positionals) await showFormat(name, terminal);
  }
  return undefined;
}

/** `dyadic formats`: number formats, to look at and to compare. */
export const formats: Command = {
  summary: 'Show number formats: bits, values, and what they lose',
  usage: '[NAME… | compare FILE.npy | plot values|error|sqnr NAME…]',
  positionals: [0, 64],
  flags: {
    ...Object.fromEntries(
      Object.entries(SYNTHETIC).map(([name, { help }]) => [name, { help: `compare, plot sqnr: ${help}` }]),
    ),
    formats: {
      value: 'LIST',
      help: 'compare, plot sqnr: formats, separated by commas (a list of common ones)',
    },
    output: { value: 'FILE', short: 'o', help: 'plot: write the SVG here instead of to stdout' },
  },
  examples: [
    ['dyadic formats', 'every format that is listed'],
    ['dyadic formats e4m3fn', 'bits, range, values'],
    ['dyadic formats compare weights.npy', 'errors of common formats, best first'],
    ['dyadic formats compare --gaussian --formats nvfp4,mxfp4,nf4', 'of these, on the normal distribution'],
    ['dyadic formats plot values e4m3fn e5m2 -o values.svg', 'number lines'],
    ['dyadic formats plot error e4m3fn e5m2 int8 bf16 -o error.svg', 'relative error by magnitude'],
    ['dyadic formats plot sqnr --gaussian -o sqnr.svg', 'bars of signal to noise'],
  ],
  run,
};
