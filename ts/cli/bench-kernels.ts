import { setImmediate as turn } from 'node:timers/promises';
import { DyadicError } from '../errors.ts';
import type { FormatString } from '../format-types.ts';
import { callNative, parseFormat } from '../formats.ts';
import { doctor } from '../llm/files.ts';
import type { OnProgress } from '../models/progress.ts';
import { native } from '../native/load.ts';
import { linear, PackedWeights, packWeights } from '../ops/linear.ts';
import { allocate, byteLengthOf } from '../tensor/memory.ts';
import { adopt, type Tensor } from '../tensor.ts';
import { type Context, usageError } from './command.ts';
import { table } from './terminal.ts';

const ROWS = 4096;
const COLUMNS = 4096;
const PROMPT_TOKENS = 128;
/** Packed bytes of the matrices that come from memory, one after the other: several times what a cache holds. */
const MEMORY_BYTES = 160e6;
/** How long each line is measured, in milliseconds. */
const DURATION = 80;

/** Integers of every width, and everything else that has a kernel of its own. */
export const KERNEL_FORMATS: readonly FormatString[] = [
  ...(['int8', 'int7', 'int6', 'int5', 'int4', 'int3', 'int2', 'bipolar1'] as const).map(
    (element) => `${element}:g128:f16` as const,
  ),
  'ternary:channel:f16',
  'int4:g32:f16',
  'int4:g128:f16:zp',
  'nf4:g64:f16',
  'mxfp4',
  'nvfp4',
  ...(['q8_0', 'q6_k', 'q5_k', 'q4_k', 'q4_1', 'q4_0', 'iq4_nl', 'iq4_xs', 'q3_k', 'q2_k'] as const),
  ...(['tq1_0', 'tq2_0', 'q2_0', 'q1_0'] as const),
];

/** What so many threads of this machine can do at most in a second. */
export interface Limits {
  threads: number;
  /** Bytes read from memory, and from the caches. */
  memoryBytes: number;
  cacheBytes: number;
  /** Operations on 8-bit integers; a multiplication and an addition are two. */
  int8Operations: number;
}

/** `memory` and `cache` are one token times weights that come from there, `prompt` is many tokens. */
type Work = 'memory' | 'cache' | 'prompt';

/** One measurement. */
export interface KernelRow {
  format: string;
  /** Bits a weight takes in memory, scales included. */
  bitsPerWeight: number;
  kernel: string;
  work: Work;
  tokens: number;
  threads: number;
  /** Of one product with 4096 × 4096 weights. */
  leastMicroseconds: number;
  medianMicroseconds: number;
  gigabytesPerSecond: number;
  gigaoperationsPerSecond: number;
  /** The least time that reading these weights or the multipliers allow, over the least time of the product. */
  fractionOfLimit: number;
}

export interface KernelOptions {
  formats: readonly string[];
  threads: readonly number[];
  signal: AbortSignal;
  onProgress: OnProgress | undefined;
}

export function machineLimits(threads: number): Limits {
  return { threads, ...JSON.parse(callNative(() => native().machineLimits(threads))) };
}

/** Weights of any format: random bytes below 0x40, so that every scale is a small number whatever its type. */
function randomWeights(name: string): Tensor {
  const format = parseFormat(name);
  const parts = allocate(format, ROWS, COLUMNS);
  const words = new Uint32Array(parts.codes.buffer, 0, Math.floor(byteLengthOf(parts) / 4));
  let state = 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[i] = (state ^ (state >>> 13)) & 0x3f3f3f3f;
  }
  return adopt({ format, dimensions: [ROWS, COLUMNS], order: [0, 1], parts });
}

/** Times of each call over `products`, in microseconds. Turn by turn, so that all see the same load. */
function time(products: number, calls: readonly (() => void)[]): number[][] {
  const times = calls.map((call): number[] => {
    call();
    return [];
  });
  const end = performance.now() + DURATION * calls.length;
  for (let turns = 0; turns < 3 || performance.now() < end; turns++) {
    calls.forEach((call, k) => {
      const started = performance.now();
      call();
      times[k]?.push(((performance.now() - started) * 1000) / products);
    });
  }
  return times.map((list) => list.sort((a, b) => a - b));
}

/** Measures the limits of this machine and the products of each format. */
export async function measureKernels({
  formats,
  threads,
  signal,
  onProgress,
}: KernelOptions): Promise<{ limits: Limits[]; rows: KernelRow[] }> {
  let limits = threads.map(machineLimits);
  const x = Float32Array.from({ length: PROMPT_TOKENS * COLUMNS }, (_, i) => ((i * 0.618034) % 2) - 1);
  const out = new Float32Array(PROMPT_TOKENS * ROWS);
  const found: Measured[] = [];
  for (const [done, format] of formats.entries()) {
    onProgress?.({ stage: 'benchmark', fraction: done / formats.length });
    const tensor = randomWeights(format);
    const matrices = [packWeights(tensor)];
    const [first] = matrices as [PackedWeights];
    try {
      while (matrices.length * first.byteLength < MEMORY_BYTES) matrices.push(packWeights(tensor));
      const cases: readonly [Work, number, readonly PackedWeights[]][] = [
        ['memory', 1, matrices],
        ['cache', 1, [first, first, first, first]],
        ['prompt', PROMPT_TOKENS, [first]],
      ];
      for (const count of threads) {
        for (const [work, tokens, list] of cases) {
          // Lets a signal in.
          await turn();
          if (signal.aborted) throw new DyadicError('ERR_ABORTED', 'the benchmark was aborted');
          const [input, output] = [x.subarray(0, tokens * COLUMNS), out.subarray(0, tokens * ROWS)];
          const product = () => {
            for (const weights of list) linear(input, weights, { out: output, threads: count });
          };
          // Reading the same bytes is the limit of one token: how fast memory is depends on the pages too.
          const read = () => {
            for (const weights of list) PackedWeights.open(weights).read(count);
          };
          const [times = [], reads] = time(list.length, tokens === 1 ? [product, read] : [product]);
          found.push({ format, packed: first, work, tokens, threads: count, times, reads });
        }
      }
    } finally {
      for (const weights of matrices) weights.dispose();
      tensor.dispose();
    }
  }
  // Again, since the machine may have been busy.
  limits = limits.map((before) => higher(before, machineLimits(before.threads)));
  onProgress?.({ stage: 'benchmark', fraction: 1 });
  const limitOf = new Map(limits.map((limit) => [limit.threads, limit]));
  return { limits, rows: found.map((item) => rowOf(item, limitOf.get(item.threads))) };
}

const round = (value: number) => Number(value.toPrecision(4));

function higher(a: Limits, b: Limits): Limits {
  return {
    threads: a.threads,
    memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
    cacheBytes: Math.max(a.cacheBytes, b.cacheBytes),
    int8Operations: Math.max(a.int8Operations, b.int8Operations),
  };
}

/** What was measured: rising times in microseconds of products, and of reading their weights. */
interface Measured extends Pick<KernelRow, 'format' | 'work' | 'tokens' | 'threads'> {
  packed: PackedWeights;
  times: readonly number[];
  reads: readonly number[] | undefined;
}

function rowOf({ packed, times, reads, ...what }: Measured, limits: Limits | undefined): KernelRow {
  const least = times[0] ?? Number.NaN;
  const operations = 2 * ROWS * COLUMNS * what.tokens;
  const multiplying = (operations / (limits?.int8Operations ?? Number.NaN)) * 1e6;
  const reading = reads?.[0] ?? 0;
  return {
    ...what,
    kernel: packed.kernel,
    bitsPerWeight: round((packed.byteLength * 8) / (ROWS * COLUMNS)),
    leastMicroseconds: round(least),
    medianMicroseconds: round(times[times.length >> 1] ?? Number.NaN),
    gigabytesPerSecond: round(packed.byteLength / least / 1e3),
    gigaoperationsPerSecond: round(operations / least / 1e3),
    fractionOfLimit: round(Math.max(reading, multiplying) / least),
  };
}

/** `dyadic bench kernels`: products of packed weights against the limits of the machine. */
export async function benchKernels(
  { values, terminal, interrupts }: Context,
  threads: number[],
): Promise<undefined> {
  if (values.text('isa') !== undefined)
    throw usageError('--isa: not for kernels; set DYADIC_ISA, which chooses for the whole process');
  const formats = values.text('formats')?.split(',') ?? KERNEL_FORMATS;
  const onProgress = terminal.progress();
  const { limits, rows } = await interrupts.during((signal) =>
    measureKernels({ formats, threads, signal, onProgress }),
  );
  const { cpu, isa } = doctor();
  if (terminal.json) {
    await terminal.writeJson({ cpu, isa, shape: [ROWS, COLUMNS], limits, rows });
    return undefined;
  }
  const giga = (value: number) => (value / 1e9).toFixed(1);
  const limitLines = limits.map(
    ({ threads: count, memoryBytes, cacheBytes, int8Operations }) =>
      `${count} thread${count === 1 ? '' : 's'}: at most ${giga(memoryBytes)} GB/s from memory, ${giga(cacheBytes)} from the caches, ${giga(int8Operations)} Gop/s of int8\n`,
  );
  const head = ['weights', 'bits', 'work', 'threads', 'us', 'GB/s', 'Gop/s', 'of limit', 'kernel'];
  const lines = rows.map((row) => [
    row.format,
    row.bitsPerWeight.toFixed(2).padStart(5),
    row.work,
    row.threads,
    row.leastMicroseconds.toFixed(0).padStart(6),
    row.gigabytesPerSecond.toFixed(1).padStart(5),
    row.gigaoperationsPerSecond.toFixed(0).padStart(6),
    `${(row.fractionOfLimit * 100).toFixed(0).padStart(3)} %`,
    row.kernel,
  ]);
  await terminal.write(
    `${cpu}, ${isa}\n${limitLines.join('')}Products with ${ROWS} x ${COLUMNS} weights, least times:\n\n${table([head, ...lines])}`,
  );
  return undefined;
}
