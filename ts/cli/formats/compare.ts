import { DyadicError } from '../../errors.ts';
import { compareFormats, type FormatErrors } from '../../laboratory.ts';
import { type Terminal, table } from '../terminal.ts';
import type { Samples } from './samples.ts';

/** What people choose among, from 8 bits down. */
export const DEFAULT_FORMATS = [
  'int8:g128:f16',
  'mxint8',
  'mxfp8_e4m3',
  'mxfp8_e5m2',
  'int6:g128:f16',
  'mxfp6_e2m3',
  'mxfp6_e3m2',
  'nvfp4',
  'nvfp4_4over6',
  'mxfp4',
  'nf4',
  'q4_0',
  'int4:g32:f16',
  'int4:g128:f16',
  'int4:g128:f16:zp',
  'bitmod4',
  'bfp12',
  'int3:g128:f16:zp',
  'bitmod3',
  'w2mix',
  'int2:g64:f16:zp',
  'ternary',
  'binary',
] as const;

/** The errors of the formats asked for, or of the default ones that fit the shape, and which of these do not. */
export function measure(
  { values, shape }: Samples,
  formats: readonly string[] | undefined,
): { errors: FormatErrors[]; skipped: string[] } {
  if (formats !== undefined) return { errors: compareFormats(values, formats, { shape }), skipped: [] };
  const skipped: string[] = [];
  const errors = DEFAULT_FORMATS.flatMap((format) => {
    try {
      return compareFormats(values, [format], { shape });
    } catch (error) {
      // Formats of records take whole records a row.
      if (!(error instanceof DyadicError) || error.code !== 'ERR_SHAPE') throw error;
      skipped.push(format);
      return [];
    }
  });
  return { errors: errors.sort((a, b) => b.sqnr - a.sqnr), skipped };
}

const share = (part: number, whole: number) =>
  part === 0 ? '0' : `${((100 * part) / whole).toPrecision(2)} %`;

/** `dyadic formats compare`: the errors of formats on one tensor, best first. */
export async function showComparison(
  samples: Samples,
  formats: readonly string[] | undefined,
  terminal: Terminal,
): Promise<void> {
  const { errors, skipped } = measure(samples, formats);
  if (terminal.json) {
    await terminal.writeJson({ title: samples.title, shape: samples.shape, formats: errors, skipped });
    return;
  }
  const rows = errors.map(({ format, bitsPerElement, sqnr, mse, maxError, clipped, underflowed, count }) => [
    format,
    bitsPerElement.toFixed(2).padStart(5),
    (Number.isFinite(sqnr) ? sqnr.toFixed(2) : String(sqnr)).padStart(7),
    mse.toExponential(2),
    maxError.toPrecision(3),
    share(clipped, count),
    share(underflowed, count),
  ]);
  const head = ['format', ' bits', 'SQNR dB', 'MSE', 'max error', 'clipped', 'to zero'];
  const text = table([head, ...rows]);
  const width = Math.max(...text.split('\n').map((line) => line.length));
  const [first = '', ...lines] = text.trimEnd().split('\n');
  await terminal.write(`${terminal.paint('bold', samples.title)}, shape ${samples.shape.join(' × ')}\n\n`);
  await terminal.write(`${terminal.paint('dim', first)}\n`);
  const best = Math.max(...errors.map(({ sqnr }) => sqnr).filter(Number.isFinite), 1);
  const room = terminal.isInteractive ? Math.min(40, terminal.columns - width - 3) : 0;
  for (const [i, line] of lines.entries()) {
    const ratio = Math.max(0, Math.min(1, (errors[i]?.sqnr ?? 0) / best));
    const bar = room < 8 ? '' : terminal.paint('cyan', '█'.repeat(Math.round(ratio * room)));
    await terminal.write(`${bar === '' ? line : `${line.padEnd(width)}  ${bar}`}\n`);
  }
  if (skipped.length > 0)
    terminal.note(`\nleft out, for rows that are no whole records: ${skipped.join(', ')}`);
}
