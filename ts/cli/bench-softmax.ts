import { callNative } from '../formats.ts';
import { doctor } from '../llm/files.ts';
import { native } from '../native/load.ts';
import { SOFTMAX_ALGORITHMS, type SoftmaxAlgorithm } from '../ops/softmax.ts';
import type { Context } from './command.ts';
import { usageError } from './command.ts';
import { table } from './terminal.ts';

/** One measurement. */
interface SoftmaxRow {
  n: number;
  algorithm: SoftmaxAlgorithm;
  isa: string;
  threads: number;
  elementsPerSecond: number;
}

/** From a head of attention to more than a cache holds. */
const LENGTHS = [1 << 10, 8 << 10, 64 << 10, 512 << 10, 2 << 20, 4 << 20, 16 << 20];
/** Elements that each measurement goes over at least, so that short rows are timed often. */
const ELEMENTS = 32 << 20;
/** Below it a row is not worth two threads. */
const SPLIT_ROW = 128 << 10;

/** Logits of standard deviation 10, the same each time. */
function logits(length: number): Float32Array {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  // The sum of four uniform numbers is normal enough.
  const scale = 10 / Math.sqrt(4 / 12);
  return Float32Array.from({ length }, () => scale * (uniform() + uniform() + uniform() + uniform() - 2));
}

/** `dyadic bench softmax`: the algorithms over row lengths. Rounds go through all of them, so that all see the same load; the best counts. */
export async function benchSoftmax(
  { values, terminal }: Context,
  threadCounts: number[],
): Promise<undefined> {
  const { isa: best, isas } = doctor();
  const asked = values.text('isa')?.split(',');
  const chosen = asked ?? isas.filter((isa) => isa === best || isa === 'avx2');
  const wrong = chosen.find((isa) => !isas.includes(isa));
  if (wrong !== undefined) throw usageError(`--isa: '${wrong}' is none of ${isas.join(', ')}`);
  const rounds = values.number('repetitions') ?? 5;
  const algorithms = SOFTMAX_ALGORITHMS.slice(1);
  const all = logits(LENGTHS.at(-1) ?? 0);
  const target = new Float32Array(all.length);
  const rows: SoftmaxRow[] = [];
  for (const isa of chosen) {
    for (const threads of threadCounts) {
      for (const n of LENGTHS.filter((length) => threads === 1 || length >= SPLIT_ROW)) {
        const [x, out] = [all.subarray(0, n), target.subarray(0, n)];
        const times = algorithms.map(() => Number.POSITIVE_INFINITY);
        const calls = Math.max(1, Math.min(2000, Math.round(ELEMENTS / n / 4)));
        for (let round = 0; round < rounds; round++) {
          algorithms.forEach((_, i) => {
            const time = callNative(() => native().timeSoftmax(x, out, i + 1, isa, threads, calls));
            times[i] = Math.min(times[i] ?? time, time);
          });
        }
        algorithms.forEach((algorithm, i) => {
          const elementsPerSecond = Math.round(n / (times[i] ?? Number.NaN));
          rows.push({ n, algorithm, isa, threads, elementsPerSecond });
        });
      }
    }
  }
  if (terminal.json) await terminal.writeJson({ rows });
  else {
    const head = ['n', 'algorithm', 'isa', 'threads', 'G elements/s'];
    const cells = rows.map((row) => [
      String(row.n),
      row.algorithm,
      row.isa,
      String(row.threads),
      (row.elementsPerSecond / 1e9).toFixed(2),
    ]);
    await terminal.write(table([head, ...cells]));
  }
  return undefined;
}
