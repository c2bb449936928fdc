import { type FormatDescription, formatNames, parseFormat } from '../../formats.ts';
import type { Terminal } from '../terminal.ts';
import { cut, showNumber, showRange } from './numbers.ts';

/** The order of surveys of low-precision training. */
const SECTIONS: readonly (readonly [title: string, families: readonly string[]])[] = [
  ['Integers and fixed point', ['integer', 'bipolar', 'ternary', 'fixed point', 'sparse digits']],
  ['Floating point', ['float']],
  ['Custom', ['code book', 'posit', 'power', 'complex']],
];

/** Whether a format is more than its element with what goes without saying. */
function isBlock({ name, element, scale, record }: FormatDescription): boolean {
  return record !== null || (scale !== null && (scale.per !== 'tensor' || name !== element));
}

/** Rows of texts in columns, each as wide as it must be; numbers to the right; the last one as wide as the terminal leaves it. */
function columns(rows: readonly (readonly string[])[], right: readonly number[], width: number): string[] {
  const widths = (rows[0] ?? []).map((_, k) => Math.max(...rows.map((row) => (row[k] ?? '').length)));
  return rows.map((row) => {
    const cells = row.map((cell, k) =>
      right.includes(k) ? cell.padStart(widths[k] ?? 0) : cell.padEnd(widths[k] ?? 0),
    );
    return cut(`  ${cells.join('  ')}`.trimEnd(), width);
  });
}

/** `dyadic formats`: every listed format. */
export async function listFormats(terminal: Terminal): Promise<void> {
  // Some names are short for others.
  const named = formatNames().map((name) => parseFormat(name).describe());
  const descriptions = [...new Map(named.map((description) => [description.name, description])).values()];
  if (terminal.json) {
    await terminal.writeJson({ formats: descriptions });
    return;
  }
  const width = terminal.isInteractive ? terminal.columns : 200;
  const write = async (title: string, head: readonly string[], rows: string[][], right: number[]) => {
    const [first = '', ...others] = columns([head, ...rows], right, width);
    await terminal.write(`${terminal.paint('bold', title)}\n${terminal.paint('dim', first)}\n`);
    await terminal.write(`${others.join('\n')}\n\n`);
  };
  for (const [title, families] of SECTIONS) {
    const elements = descriptions
      .filter((description) => families.includes(description.family) && !isBlock(description))
      .sort((a, b) => a.bits - b.bits);
    const rows = elements.map(({ name, bits, range, minPositive, epsilon, distinctValues }) => [
      name,
      String(bits),
      showRange(range),
      showNumber(minPositive),
      epsilon === null ? '' : showNumber(epsilon),
      String(distinctValues),
    ]);
    await write(title, ['name', 'bits', 'range', 'smallest', 'epsilon', 'values'], rows, [1, 5]);
  }
  const blocks = descriptions.filter(isBlock).sort((a, b) => b.bitsPerElement - a.bitsPerElement);
  const rows = blocks.map(({ name, element, bitsPerElement, scales }) => [
    name,
    bitsPerElement.toFixed(3).replace(/\.?0+$/, ''),
    element,
    scales,
  ]);
  await write('Blocks that share scales', ['name', 'bits', 'element', 'scales'], rows, [1]);
  terminal.note('dyadic formats NAME draws one, also others such as e5m6 or nvfp4:16x16.');
}
