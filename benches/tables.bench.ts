// Look-up tables against integer dot products, at each width that has both: `DYADIC_ISA=avx2 npm run bench -- tables` for CPUs without VNNI.

import { linear, type PackedWeights, packWeights, Tensor } from '../ts/index.ts';
import type { Row } from './lib/results.ts';
import { summarize } from './lib/statistics.ts';

const FORMATS = ['bipolar1:g128:f16', 'int2:g128:f16', 'int3:g128:f16', 'int4:g128:f16'] as const;
/** In the second-level cache, and from memory. */
const CASES = [
  { rows: 1024, columns: 2048, matrices: 1 },
  { rows: 4096, columns: 4096, matrices: 24 },
] as const;
const KERNELS = ['dot', 'tables'] as const;
const ROUNDS = 15;
/** Microseconds of a turn, at least. */
const TURN = 4000;

export default async function tables(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const format of FORMATS) {
    for (const { rows: height, columns, matrices } of CASES) {
      const values = Float32Array.from({ length: height * columns }, (_, i) => ((i * 0.618034) % 2) - 1);
      const tensor = Tensor.from(values, { format, shape: [height, columns] });
      const sets = KERNELS.map((kernel) =>
        Array.from({ length: matrices }, () => packWeights(tensor, { kernel })),
      );
      const x = values.slice(0, columns);
      const out = new Float32Array(height);
      const pass = (set: readonly PackedWeights[]) => {
        for (const weights of set) linear(x, weights, { out, threads: 1 });
      };
      const times = sets.map((set) => {
        pass(set);
        return [] as number[];
      });
      // Turn by turn, so that both see the same load.
      for (let round = 0; round < ROUNDS; round++) {
        sets.forEach((set, k) => {
          const started = performance.now();
          let passes = 0;
          do pass(set);
          while (++passes < 1000 && (performance.now() - started) * 1000 < TURN);
          times[k]?.push(((performance.now() - started) * 1000) / passes / matrices);
        });
      }
      const [dot, table] = times.map(summarize);
      if (dot === undefined || table === undefined) throw new Error('two kernels');
      rows.push({
        format,
        shape: `${height} x ${columns}`,
        from: matrices === 1 ? 'cache' : 'memory',
        kernels: sets.map(([first]) => first?.kernel),
        dotMicroseconds: dot,
        tablesMicroseconds: table,
        tablesOverDot: {
          median: Number((dot.median / table.median).toFixed(2)),
          min: Number((dot.min / table.min).toFixed(2)),
        },
      });
      for (const weights of sets.flat()) weights.dispose();
      tensor.dispose();
    }
  }
  return rows;
}
