import type { FormatErrors } from '../../laboratory.ts';
import { line, niceTicks, picture, tag, text } from '../../svg.ts';

const WIDTH = 960;
const [LEFT, RIGHT, TOP, BOTTOM] = [190, 84, 92, 44];
const ROW = 26;
const INNER = WIDTH - LEFT - RIGHT;
/** What no format of so many bits goes beyond on normal samples: 6.02 dB a bit (rate distortion). */
const DECIBELS_A_BIT = 20 * Math.log10(2);

/** The ratio of each format as a bar, best first; `bound` marks what the bits could give at best on independent normal numbers. */
export function sqnrBars(errors: readonly FormatErrors[], samples: string, bound: boolean): string {
  const shown = errors.filter(({ sqnr }) => Number.isFinite(sqnr));
  const height = TOP + shown.length * ROW + BOTTOM;
  const limits = shown.map(({ sqnr, bitsPerElement }) =>
    bound ? Math.max(sqnr, bitsPerElement * DECIBELS_A_BIT) : sqnr,
  );
  const most = Math.max(1, ...limits);
  const x = (decibels: number) => LEFT + (Math.max(0, decibels) / most) * INNER;
  const bottom = TOP + shown.length * ROW;
  const grid = niceTicks(0, most, 8).flatMap((decibels) => [
    line(x(decibels), TOP - 4, x(decibels), bottom, 'grid'),
    text(x(decibels), bottom + 18, `${decibels} dB`, { class: 'label small middle' }),
  ]);
  const bars = shown.flatMap(({ format, sqnr, bitsPerElement }, i) => {
    const y = TOP + i * ROW;
    const end = x(sqnr);
    const best = x(bitsPerElement * DECIBELS_A_BIT);
    return [
      text(LEFT - 58, y + 15, format, { class: 'label end' }),
      text(LEFT - 10, y + 15, bitsPerElement.toFixed(2), { class: 'label small end' }),
      tag('rect', {
        x: LEFT,
        y: y + 3,
        width: Math.max(1, end - LEFT),
        height: ROW - 9,
        rx: 3,
        class: 'fill0',
      }),
      ...(bound
        ? [tag('rect', { x: best - 1.5, y: y + 1, width: 3, height: ROW - 5, rx: 1.5, class: 'fill1' })]
        : []),
      text(WIDTH - 16, y + 15, `${sqnr.toFixed(2)} dB`, { class: 'label end' }),
    ];
  });
  const title = `Signal to quantization noise: ${samples}`;
  const note = bound
    ? 'bits an element left of the bars; the marks are 6.02 dB for each of them, the bound for independent normal numbers'
    : 'bits an element left of the bars';
  const head = text(24, 34, title, { class: 'title' }) + text(24, 58, note, { class: 'label' });
  const spoken = shown.map(({ format, sqnr }) => `${format} ${sqnr.toFixed(1)} dB`).join(', ');
  return picture(WIDTH, height, title, spoken, head + grid.join('') + bars.join(''));
}
