// Look-up tables against integer dot products, at each width that has both: `DYADIC_ISA=avx2 npm run bench -- tables` for CPUs without VNNI.

import { linear, packWeights, Tensor } from '../ts/index.ts';
import type { Row } from './lib/results.ts';
import { summarize } from './lib/statistics.ts';

const FORMATS = ['bipolar1:g128:f16', 'int2:g128:f16', 'int3:g128:f16', 'int4:g128:f16'] as const;
/** In the second-level cache, and from memory. */
const CASES = [
  { rows: 1024, columns: 2048, matrices: 1 },
  { rows: 4096, columns: 4096, matrices: 24 },
] as const;
const KERNELS = [
  { kernel: 'dot', activations: 'int8-g32' },
  { kernel: 'tables', activations: 'int8-g32' },
  { kernel: 'int8-tables', activations: 'int8-tables' },
] as const;
const ROUNDS = 15;
/** Microseconds of a turn, at least. */
const TURN = 4000;

export default async function tables(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const format of FORMATS) {
    for (const { rows: height, columns, matrices } of CASES) {
      const values = Float32Array.from({ length: height * columns }, (_, i) => ((i * 0.618034) % 2) - 1);
      const tensor = Tensor.from(values, { format, shape: [height, columns] });
      const sets = KERNELS.map(({ kernel, activations }) => ({
        activations,
        packed: Array.from({ length: matrices }, () => packWeights(tensor, { kernel })),
      }));
      const x = values.slice(0, columns);
      const out = new Float32Array(height);
      const pass = ({ activations, packed }: (typeof sets)[number]) => {
        for (const weights of packed) linear(x, weights, { out, threads: 1, activations });
      };
      const times = sets.map((set) => {
        pass(set);
        return [] as number[];
      });
      // Turn by turn, so that all see the same load.
      for (let round = 0; round < ROUNDS; round++) {
        sets.forEach((set, k) => {
          const started = performance.now();
          let passes = 0;
          do pass(set);
          while (++passes < 1000 && (performance.now() - started) * 1000 < TURN);
          times[k]?.push(((performance.now() - started) * 1000) / passes / matrices);
        });
      }
      const [dot, table, rounded] = times.map(summarize);
      if (dot === undefined || table === undefined || rounded === undefined) throw new Error('three kernels');
      const overDot = (tables: typeof dot) => ({
        median: Number((dot.median / tables.median).toFixed(2)),
        min: Number((dot.min / tables.min).toFixed(2)),
      });
      rows.push({
        format,
        shape: `${height} x ${columns}`,
        from: matrices === 1 ? 'cache' : 'memory',
        kernels: sets.map(({ packed }) => packed[0]?.kernel),
        dotMicroseconds: dot,
        tablesMicroseconds: table,
        tablesOverDot: overDot(table),
        roundedTablesMicroseconds: rounded,
        roundedTablesOverDot: overDot(rounded),
      });
      for (const { packed } of sets) for (const weights of packed) weights.dispose();
      tensor.dispose();
    }
  }
  return rows;
}
