import type { FormatDescription } from '../../formats.ts';
import { line, niceTicks, picture, showPower, tag, text } from '../../svg.ts';
import { showNumber, showRange } from './numbers.ts';

const WIDTH = 960;
const MARGIN = 32;
const INNER = WIDTH - 2 * MARGIN;
const TOP = 62;
/** Heights of the head of a format, of its values, and of their logarithms with a caption. */
const HEAD = 18;
const LINEAR = 48;
const LOGARITHMIC = 62;
const GAP = 16;
/** Pixels of a letter of a label, and between two labels. */
const LETTER = 6.8;
const LABEL_GAP = 10;

/** A format and its finite values, rising. */
export interface Line {
  description: FormatDescription;
  values: readonly number[];
}

/** A label at a share of the line. */
interface Mark {
  at: number;
  label: string;
}

interface Tick {
  at: number;
  subnormal: boolean;
}

/** Where a label begins and ends, in pixels: those at the ends of a line stay within it. */
function extent({ at, label }: Mark): [number, number] {
  const width = label.length * LETTER;
  const start = Math.min(Math.max(at * INNER - width / 2, 0), INNER - width);
  return [start, start + width];
}

/** The marks that can be read: the ends, and of the others those that touch nothing before them. */
function legible(marks: readonly Mark[]): Mark[] {
  const last = marks.at(-1);
  if (last === undefined) return [];
  const kept: Mark[] = [];
  const [limit] = extent(last);
  let free = Number.NEGATIVE_INFINITY;
  for (const mark of marks.slice(0, -1)) {
    const [start, end] = extent(mark);
    if (start >= free && end + LABEL_GAP <= limit) {
      kept.push(mark);
      free = end + LABEL_GAP;
    }
  }
  return [...kept, last];
}

/** An axis with a tick for each value; `base` is its height. */
function axis(base: number, ticks: readonly Tick[], marks: readonly Mark[]): string {
  const x = (at: number) => MARGIN + at * INNER;
  return [
    line(MARGIN, base, MARGIN + INNER, base, 'axis'),
    ...ticks.map(({ at, subnormal }) =>
      line(x(at), base - 18, x(at), base - 1, `tick stroke${subnormal ? 1 : 0}`),
    ),
    ...legible(marks).flatMap((mark) => {
      const [start, end] = extent(mark);
      return [
        line(x(mark.at), base, x(mark.at), base + 5, 'axis'),
        text(MARGIN + (start + end) / 2, base + 18, mark.label, { class: 'label small middle' }),
      ];
    }),
  ].join('');
}

/** Powers with raised exponents, and the minus sign of typesetting. */
const typeset = (label: string) =>
  label.replace(/2\^(-?\d+)/g, (_, exponent: string) => showPower(Number(exponent))).replaceAll('-', '−');

/** Three digits are enough for a label. */
const shortNumber = (value: number) =>
  typeset(
    Number.isInteger(Math.log2(Math.abs(value)))
      ? showNumber(value)
      : showNumber(Number(value.toPrecision(3))),
  );

function linear({ values }: Line, y: number): string {
  const low = values[0] ?? 0;
  const high = values.at(-1) ?? 1;
  const at = (value: number) => (value - low) / (high - low);
  const few = values.length <= 32;
  const marked = few ? values : [low, ...niceTicks(low, high, 10), high];
  return axis(
    y + 24,
    values.map((value) => ({ at: at(value), subnormal: false })),
    marked.map((value) => ({ at: at(value), label: shortNumber(value) })),
  );
}

/** The positive values by their logarithms: a binade is as wide as any other, and subnormal numbers thin out. */
function logarithmic({ description, values }: Line, y: number): string {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log2(positive[0] ?? 1));
  const high = Math.max(low + 1, Math.ceil(Math.log2(positive.at(-1) ?? 1)));
  const { minNormal } = description;
  const ticks = positive.map((value) => ({
    at: (Math.log2(value) - low) / (high - low),
    subnormal: minNormal !== null && value < minNormal,
  }));
  const step = Math.max(1, Math.ceil((high - low) / 18));
  const marks = Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, i) => ({
    at: (i * step) / (high - low),
    label: showPower(low + i * step),
  }));
  const colour = ticks.some(({ subnormal }) => subnormal) ? ', subnormal numbers in orange' : '';
  const caption = `values above 0 by their logarithms${colour}`;
  return text(MARGIN, y + 8, caption, { class: 'label small' }) + axis(y + 36, ticks, marks);
}

const hasLogarithms = ({ family, distinctValues }: FormatDescription) =>
  (family === 'float' || family === 'posit' || family === 'power') && distinctValues > 16;

/** Every value of each format as a tick. */
export function numberLines(lines: readonly Line[]): string {
  let y = TOP;
  const parts = lines.map((entry) => {
    const { description } = entry;
    const { name, bits, distinctValues, range, element } = description;
    const of = name === element ? '' : `, the codes of ${name}`;
    const facts = `${bits} bits, ${distinctValues} values, ${typeset(showRange(range))}`;
    const head =
      text(MARGIN, y + 6, `${element}${of}`, { class: 'name' }) +
      text(WIDTH - MARGIN, y + 6, facts, { class: 'label end' });
    y += HEAD;
    let drawn = linear(entry, y);
    y += LINEAR;
    if (hasLogarithms(description)) {
      drawn += logarithmic(entry, y);
      y += LOGARITHMIC;
    }
    y += GAP;
    return head + drawn;
  });
  const names = lines.map(({ description }) => description.element);
  const title = names.length === 1 ? `The values of ${names[0]}` : 'The values of formats';
  const spoken = `Number lines of ${names.join(', ')}: a tick for each value.`;
  const head = text(MARGIN, 34, title, { class: 'title' });
  return picture(WIDTH, y, title, spoken, head + tag('g', {}, parts.join('')));
}
