import { legend, line, picture, SERIES, showPower, tag, text } from '../../svg.ts';
import type { Line } from './number-line.ts';
import { showNumber } from './numbers.ts';

const [WIDTH, HEIGHT] = [960, 460];
const [LEFT, RIGHT, TOP, BOTTOM] = [72, 28, 92, 58];
const [INNER_WIDTH, INNER_HEIGHT] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
/** Points of a curve for each factor of two. */
const PER_OCTAVE = 16;
/** Numbers beyond 2^±28 are left out: beyond them are bf16, which looks the same everywhere, and posits of which there are few. */
const MOST_OCTAVES = 28;

/** The largest relative error of rounding to nearest anywhere in [low, high], given the rising positive values. */
function worst(values: readonly number[], low: number, high: number): number {
  const index = (x: number) => {
    let [from, to] = [0, values.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((values[middle] ?? 0) <= x) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  const largest = values.at(-1) ?? 0;
  const nearest = (x: number) => {
    const above = index(x);
    const below = above === 0 ? 0 : (values[above - 1] ?? 0);
    const next = values[above] ?? largest;
    return Math.min(Math.abs(x - below), Math.abs(next - x)) / x;
  };
  let most = Math.max(nearest(low), nearest(high));
  for (let i = index(low); i <= index(high) && i < values.length; i++) {
    const middle = ((i === 0 ? 0 : (values[i - 1] ?? 0)) + (values[i] ?? 0)) / 2;
    if (middle >= low && middle <= high) most = Math.max(most, nearest(middle));
  }
  return most;
}

/** The largest relative error at each magnitude, of each format: flat for floats, falling for integers. */
export function errorCurves(lines: readonly Line[]): string {
  const positives = lines.map(({ values }) => values.filter((value) => value > 0));
  const ends = positives.map((values) => [values[0] ?? 1, values.at(-1) ?? 1] as const);
  const low = Math.max(-MOST_OCTAVES, Math.floor(Math.log2(Math.min(...ends.map(([first]) => first)))) - 1);
  const high = Math.min(MOST_OCTAVES, Math.ceil(Math.log2(Math.max(...ends.map(([, last]) => last)))) + 1);
  const count = (high - low) * PER_OCTAVE;
  const bin = (k: number) => 2 ** (low + k / PER_OCTAVE);
  // The largest within a factor of √2 to either side: the saw teeth of single steps would hide each other.
  const curves = positives.map((values) =>
    Array.from({ length: count }, (_, i) =>
      Math.min(1, worst(values, bin(i - PER_OCTAVE / 2), bin(i + 1 + PER_OCTAVE / 2))),
    ),
  );
  const least = Math.floor(Math.log2(Math.min(...curves.map((curve) => Math.min(...curve)))));
  const x = (octave: number) => LEFT + ((octave - low) / (high - low)) * INNER_WIDTH;
  const y = (error: number) => TOP + (Math.log2(error) / Math.max(least, -26)) * INNER_HEIGHT;

  const columns = Math.max(1, Math.ceil(((high - low) * 46) / INNER_WIDTH));
  const vertical = [];
  for (let octave = Math.ceil(low / columns) * columns; octave <= high; octave += columns) {
    vertical.push(
      line(x(octave), TOP, x(octave), TOP + INNER_HEIGHT, 'grid'),
      text(x(octave), TOP + INNER_HEIGHT + 18, showPower(octave), { class: 'label small middle' }),
    );
  }
  const rows = Math.max(1, Math.ceil(-least / 9));
  const horizontal = [];
  for (let power = 0; power >= least; power -= rows) {
    const percent = 100 * 2 ** power;
    const label = `${showNumber(Number(percent.toPrecision(2)))} %`;
    horizontal.push(
      line(LEFT, y(2 ** power), LEFT + INNER_WIDTH, y(2 ** power), 'grid'),
      text(LEFT - 8, y(2 ** power) + 4, label, { class: 'label small end' }),
    );
  }
  const paths = curves.map((curve, k) => {
    const points = curve.map((error, i) => {
      const at = `${x(low + (i + 0.5) / PER_OCTAVE).toFixed(1)} ${y(error).toFixed(1)}`;
      return `${i === 0 ? 'M' : 'L'}${at}`;
    });
    return tag('path', { d: points.join(''), class: `curve stroke${k % SERIES}` });
  });
  const names = lines.map(({ description }) => description.element);
  const title = 'Largest relative error of rounding to nearest, within a factor of two';
  const body = [
    text(LEFT - 40, 34, title, { class: 'title' }),
    legend(LEFT - 40, 66, names),
    ...vertical,
    ...horizontal,
    ...paths,
    text(LEFT + INNER_WIDTH / 2, HEIGHT - 14, 'magnitude of the value, without scales', {
      class: 'label middle',
    }),
  ];
  return picture(WIDTH, HEIGHT, title, `${title} by magnitude, of ${names.join(', ')}.`, body.join(''));
}
