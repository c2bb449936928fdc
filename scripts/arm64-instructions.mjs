// How many SIMD instructions the arm64 products take for 16 bytes of weights, loads and stores not counted: compiles dyadic-kernels for arm64 to assembly
// and counts in the loop over blocks of one token. Prints the table of docs/kernels.md.
//
//     bash scripts/arm64-setup.sh && . ~/.cache/dyadic-arm64/env && node scripts/arm64-instructions.mjs

import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { root, run } from './lib/process.mjs';

const TARGET = 'aarch64-unknown-linux-gnu';

/** Bytes of codes of a block, 16 rows of 32 columns, for each bit. */
const BLOCK_BYTES = 64;

/** Instructions that multiply or look up, and how many of them a block of one token has at `bits` bits. */
const KINDS = [
  { kernel: /^matmul_.*__neon_dotprod$/, instruction: /^sdot$/, ofBlock: () => 32 },
  { kernel: /^matmul_.*__neon$/, instruction: /^s(mull|mlal)2?$/, ofBlock: () => 64 },
  // Two look-ups, of low and high bytes of the table, for 4 columns of 16 rows and each bit.
  { kernel: /^lut_.*__neon$/, instruction: /^tbl$/, ofBlock: (/** @type {number} */ bits) => 16 * bits },
  { kernel: /^int8_lut_.*__neon$/, instruction: /^tbl$/, ofBlock: (/** @type {number} */ bits) => 8 * bits },
];

/** The width and the kernels of it that are of interest. */
const LAYOUTS = [
  { bits: 4, layout: 'u4z8_f16g128' },
  { bits: 2, layout: 'u2z1_f16g256' },
  { bits: 1, layout: 'b1_f16g128' },
];

function newestAssembly() {
  const folder = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), TARGET, 'release/deps');
  const files = readdirSync(folder).filter((name) => /^dyadic_kernels-.*\.s$/.test(name));
  const paths = files.map((name) => path.join(folder, name));
  return paths.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0] ?? '';
}

/**
 * @param {readonly string[]} lines
 * @returns {Map<string, string>} The function of each kernel, by the registry's own tables: the address of a name, then that of its function.
 */
function functionsOfKernels(lines) {
  /** @type {Map<string, string>} */
  const names = new Map();
  /** @type {Map<string, string>} */
  const functions = new Map();
  let label = '';
  for (const line of lines) {
    label = /^(\.L[\w.$]+):/.exec(line)?.[1] ?? label;
    const name = /^\t\.ascii\t"(\w+__neon\w*)"/.exec(line)?.[1];
    if (name) names.set(label, name);
  }
  for (const [index, line] of lines.entries()) {
    const name = names.get(/^\t\.xword\t(\.L[\w.$]+)/.exec(line)?.[1] ?? '');
    const symbol = lines.slice(index, index + 8).find((next) => /^\t\.xword\t_ZN/.test(next));
    if (name && symbol) functions.set(name, symbol.slice('\t.xword\t'.length));
  }
  return functions;
}

/**
 * @param {readonly string[]} lines
 * @param {string} symbol
 * @returns {string[][]} The instructions of each loop of a function.
 */
function loopsOf(lines, symbol) {
  const start = lines.indexOf(`${symbol}:`);
  const body = lines.slice(
    start,
    lines.findIndex((line, index) => index > start && line.startsWith('.Lfunc_end')),
  );
  const labels = new Map(body.map((line, index) => [/^(\.L\w+):/.exec(line)?.[1], index]));
  return body.flatMap((line, end) => {
    const begin = labels.get(/^\t(?:b|cb|tb)[\w.]*\t.*?(\.LBB\w+)$/.exec(line)?.[1] ?? '-');
    if (begin === undefined || begin > end) return [];
    return [body.slice(begin, end + 1).filter((next) => /^\t[a-z]/.test(next))];
  });
}

const { status } = await run('cargo', [
  ...['rustc', '--release', '-p', 'dyadic-kernels', '--lib', '--target', TARGET],
  ...['--config', 'profile.release.lto=false', '--', '--emit', 'asm'],
]);
if (status !== 0) process.exit(1);
const lines = readFileSync(newestAssembly(), 'utf8').split('\n');
console.log('| kernel | SIMD instructions for 16 bytes of weights |\n|---|---|');
for (const [name, symbol] of [...functionsOfKernels(lines)].sort()) {
  const of = LAYOUTS.find(({ layout }) => name.includes(layout));
  const kind = KINDS.find(({ kernel }) => kernel.test(name));
  if (!of || !kind) continue;
  const counts = loopsOf(lines, symbol).flatMap((loop) => {
    const simd = loop.filter((line) => /\b[vq]\d+\b|\bv\d+\./.test(line) && !/^\t(ld|st)/.test(line));
    const products = simd.filter((line) => kind.instruction.test(/^\t([\w]+)/.exec(line)?.[1] ?? ''));
    // A loop over the four groups of rows that a tile has may be left inside.
    const times = [1, 4].find((times) => products.length * times === kind.ofBlock(of.bits));
    return times ? [Array.from({ length: times }, () => simd).flat()] : [];
  });
  const least = counts.sort((a, b) => a.length - b.length)[0];
  if (!least) {
    console.log(`| \`${name}\` | no loop of one token found |`);
    continue;
  }
  const sixteens = (of.bits * BLOCK_BYTES) / 16;
  console.log(`| \`${name}\` | ${(least.length / sixteens).toFixed(1)} |`);
}
