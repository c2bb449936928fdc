/** Attributes of an element. */
type Attributes = Readonly<Record<string, string | number>>;

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escapeText = (text: string) => text.replace(/[&<>"]/g, (letter) => ESCAPES[letter] ?? letter);
/** Coordinates to a hundredth of a pixel. */
const show = (value: string | number) =>
  typeof value === 'number' ? String(Math.round(value * 100) / 100) : value;

/** One element; `content` is SVG already. */
export function tag(name: string, attributes: Attributes, content = ''): string {
  const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${escapeText(show(value))}"`);
  return content === '' ? `<${name}${list.join('')}/>` : `<${name}${list.join('')}>${content}</${name}>`;
}

/** Text at a point; `class` says size and colour. */
export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return tag('text', { x, y, ...attributes }, escapeText(content));
}

export function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return tag('line', { x1, y1, x2, y2, class: style });
}

/** Colours of series, told apart also by people who do not see red and green apart (after Okabe and Ito), on white and on black. */
export const SERIES = 6;
const LIGHT = ['#0b62c4', '#d4530d', '#008266', '#a8398f', '#8a6100', '#4b5563'];
const DARK = ['#62aef7', '#ff9557', '#35c9a0', '#e98fd3', '#e3b341', '#aab4c2'];

const theme = (ink: string, soft: string, faint: string, background: string, series: readonly string[]) =>
  [
    `.background{fill:${background}}`,
    `.title,.name{fill:${ink}}`,
    `.label{fill:${soft}}`,
    `.axis{stroke:${soft}}`,
    `.grid{stroke:${faint}}`,
    `.track{fill:${faint}}`,
    ...series.map((colour, k) => `.fill${k}{fill:${colour}}.stroke${k}{stroke:${colour}}`),
  ].join('');

const FONT = "font-family:'Inter','Segoe UI',system-ui,'DejaVu Sans',sans-serif";
const STYLE = [
  `text{${FONT};font-size:12px}`,
  '.title{font-size:17px;font-weight:600}',
  '.name{font-size:14px;font-weight:600}',
  '.small{font-size:11px}',
  '.end{text-anchor:end}.middle{text-anchor:middle}',
  '.axis,.grid{stroke-width:1}',
  '.tick{stroke-width:1.2}',
  '.curve{fill:none;stroke-width:2;stroke-linejoin:round}',
  theme('#16202c', '#55606e', '#e3e7ec', '#ffffff', LIGHT),
  `@media (prefers-color-scheme:dark){${theme('#eef2f7', '#a3adba', '#2c343f', '#11161d', DARK)}}`,
].join('');

/** A whole picture; `title` and `description` are what screen readers say. */
export function picture(
  width: number,
  height: number,
  title: string,
  description: string,
  body: string,
): string {
  const head =
    tag('title', {}, escapeText(title)) + tag('desc', {}, escapeText(description)) + tag('style', {}, STYLE);
  const background = tag('rect', { width, height, rx: 8, class: 'background' });
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${show(width)} ${show(height)}`,
    width,
    height,
    role: 'img',
  };
  return `${tag('svg', attributes, `${head}${background}${body}`)}\n`;
}

/** A legend on one line: a swatch and a name for each series. */
export function legend(x: number, y: number, names: readonly string[]): string {
  let at = x;
  return names
    .map((name, k) => {
      const swatch = tag('rect', {
        x: at,
        y: y - 9,
        width: 14,
        height: 4,
        rx: 2,
        class: `fill${k % SERIES}`,
      });
      const label = text(at + 20, y - 3, name, { class: 'label' });
      at += 20 + name.length * 7.2 + 22;
      return swatch + label;
    })
    .join('');
}

/** A power of two as people write it: `8`, `2⁻⁹`. */
export function showPower(exponent: number): string {
  if (exponent >= 0 && exponent < 10) return String(2 ** exponent);
  const digits = String(Math.abs(exponent)).replace(/\d/g, (digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)] ?? '');
  return `2${exponent < 0 ? '⁻' : ''}${digits}`;
}

/** Numbers 1, 2 or 5 times a power of ten apart, about `count` of them, from `low` to `high`. */
export function niceTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}
