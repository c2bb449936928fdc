import { type FormatDescription, parseFormat } from '../../formats.ts';
import type { Terminal } from '../terminal.ts';
import { showNumber, showRange } from './numbers.ts';

const LETTERS: Readonly<Record<string, string>> = {
  sign: 'S',
  exponent: 'E',
  mantissa: 'M',
  integer: 'I',
  fraction: 'F',
  index: 'x',
  bits: 'x',
};
const COLOURS = { sign: 'red', exponent: 'green', mantissa: 'cyan' } as const;
const isColoured = (name: string): name is keyof typeof COLOURS => name in COLOURS;

/**
 * A box for each field, with the numbers of its bits above and its name below:
 *
 *      7   6     3   2   0
 *    ┌───┬─────────┬───────┐
 *    │ S │ E E E E │ M M M │
 *    └───┴─────────┴───────┘
 *     sign exponent  mantissa
 */
export function bitPicture(
  { bits, fields }: FormatDescription,
  paint: Terminal['paint'] = (_style, text) => text,
): string[] {
  let top = bits - 1;
  const boxes = fields.map((field) => {
    const letter = LETTERS[field.name] ?? 'x';
    const letters = field.bits > 12 ? `${letter} × ${field.bits}` : Array(field.bits).fill(letter).join(' ');
    const label =
      field.name === 'bits' || field.name === 'index' ? field.name : `${field.name} ${field.bits}`;
    const [first, last] = [String(top), String(top - field.bits + 1)];
    top -= field.bits;
    const numbers = field.bits === 1 ? first : `${first} ${last}`;
    const width = Math.max(letters.length, label.length, numbers.length) + 2;
    const centred = (text: string) => {
      const left = Math.floor((width - text.length) / 2);
      return ' '.repeat(left) + text + ' '.repeat(width - text.length - left);
    };
    const above = field.bits === 1 ? centred(first) : ` ${first.padEnd(width - 2 - last.length)}${last} `;
    const coloured = isColoured(field.name) ? paint(COLOURS[field.name], centred(letters)) : centred(letters);
    return { above, letters: coloured, line: '─'.repeat(width), label: centred(label) };
  });
  const row = (separator: string, part: (box: (typeof boxes)[number]) => string) =>
    boxes.map(part).join(separator);
  return [
    ` ${row(' ', (box) => box.above)}`,
    `┌${row('┬', (box) => box.line)}┐`,
    `│${row('│', (box) => box.letters)}│`,
    `└${row('┴', (box) => box.line)}┘`,
    ` ${row(' ', (box) => box.label)}`,
  ].map((line) => line.trimEnd());
}

/** Most codes whose values a line is drawn of. */
const LINE_CODES = 2 ** 16;
const LEVELS = ' ▁▂▃▄▅▆▇█';

/** Where the values lie between the smallest and the largest: the higher a column, the more of them; in logarithmic steps. */
export function valueLine(values: readonly number[], width: number): string[] {
  const low = values[0] ?? 0;
  const high = values.at(-1) ?? 0;
  const counts = new Array<number>(width).fill(0);
  const columnOf = (value: number) => Math.min(width - 1, Math.floor(((value - low) / (high - low)) * width));
  for (const value of values) counts[columnOf(value)] = (counts[columnOf(value)] ?? 0) + 1;
  const most = Math.log2(1 + Math.max(...counts));
  const bars = counts.map((count) => {
    const level = count === 0 ? 0 : Math.max(1, Math.round((Math.log2(1 + count) / most) * 8));
    return LEVELS[level];
  });
  const [left, right] = [showNumber(low), showNumber(high)];
  const zero = low < 0 && high > 0 ? columnOf(0) : -1;
  const axis = '─'.repeat(width).split('');
  if (zero >= 0) axis[zero] = '┴';
  const labels = `${left}${' '.repeat(Math.max(1, width - left.length - right.length))}${right}`.split('');
  if (zero > left.length && zero < width - right.length - 1) labels[zero] = '0';
  return [bars.join(''), axis.join(''), labels.join('')];
}

/** The finite values of an element format, rising, each once; `undefined` where there are too many codes. */
export function finiteValues(element: string): number[] | undefined {
  const format = parseFormat(element);
  const { codes, range } = format.describe();
  if (codes > LINE_CODES) return undefined;
  const values = new Set<number>();
  for (let code = 0; code < codes; code++) {
    const value = format.decode(code);
    // NaN is in no range, −0 is 0, and some codes are never encoded, such as −8 of a symmetric integer.
    if (value >= range[0] && value <= range[1]) values.add(value + 0);
  }
  return [...values].sort((a, b) => a - b);
}

function facts(description: FormatDescription): [string, string][] {
  const { range, minPositive, minNormal, epsilon, codes, distinctValues, nanCodes, infinityCodes } =
    description;
  const rows: [string, string | null][] = [
    ['bits an element', String(description.bitsPerElement)],
    ['scales', description.scales || null],
    ['range', showRange(range)],
    ['smallest above 0', showNumber(minPositive)],
    ['smallest normal', minNormal === null ? null : showNumber(minNormal)],
    ['epsilon', epsilon === null ? null : showNumber(epsilon)],
    ['codes', String(codes)],
    ['values', String(distinctValues)],
    ['NaN, ∞ codes', nanCodes + infinityCodes === 0 ? null : `${nanCodes}, ${infinityCodes}`],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== null);
}

/** `dyadic formats NAME`: bits, facts, values. */
export async function showFormat(name: string, terminal: Terminal): Promise<void> {
  const description = parseFormat(name).describe();
  if (terminal.json) {
    await terminal.writeJson(description);
    return;
  }
  const width = Math.min(terminal.columns, 120) - 4;
  const element = description.element === description.name ? '' : `, of ${description.element}`;
  const title = `${terminal.paint('bold', description.name)}  ${description.family}${element}, ${description.bits} bits\n\n`;
  const indent = (lines: readonly string[]) => `${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n\n`;
  await terminal.write(title + indent(bitPicture(description, terminal.paint.bind(terminal))));
  const rows = facts(description);
  const label = Math.max(...rows.map(([text]) => text.length));
  await terminal.write(
    indent(rows.map(([text, value]) => `${terminal.paint('dim', text.padEnd(label))}  ${value}`)),
  );
  const values = finiteValues(description.element);
  if (values !== undefined && values.length > 1) await terminal.write(indent(valueLine(values, width)));
  if (description.values !== null) {
    const digits = Math.ceil(description.bits / 4);
    const cells = description.values.map(
      ({ value, code }) => `${code.toString(16).padStart(digits, '0')} ${showNumber(value)}`,
    );
    const cell = Math.max(...cells.map((text) => text.length)) + 3;
    const perLine = Math.max(1, Math.floor((width + 3) / cell));
    const lines = Array.from({ length: Math.ceil(cells.length / perLine) }, (_, i) =>
      cells
        .slice(i * perLine, (i + 1) * perLine)
        .map((text) => text.padEnd(cell))
        .join('')
        .trimEnd(),
    );
    await terminal.write(`  ${terminal.paint('dim', 'codes and values')}\n${indent(lines)}`);
  }
}
