// What a program sees: a million values into a format and back, against Float32Array.prototype.set of the same values.

import { Tensor } from '../ts/index.ts';
import type { Row } from './lib/results.ts';
import { summarize } from './lib/statistics.ts';

const ROWS = 1024;
const COLUMNS = 1024;
const REPETITIONS = 15;
/** With and without a kernel. */
const FORMATS = [
  'f16',
  'e4m3fn',
  'mxfp4',
  'nvfp4',
  'int4:g32:f16',
  'int8:channel',
  'nf4',
  'q4_0',
  'int4:g128:f16:zp',
  'bitmod4',
];

/** Milliseconds of a call. */
function time(call: () => unknown): number {
  const start = performance.now();
  call();
  return performance.now() - start;
}

export default async function tensors(): Promise<Row[]> {
  // Uniform, by the golden ratio: no format has an easy time with it.
  const values = Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => ((i * 0.618034) % 2) - 1);
  const out = new Float32Array(values.length);
  const rows: Row[] = [
    {
      what: 'copy 2^20 f32, ms',
      ...summarize(Array.from({ length: REPETITIONS }, () => time(() => out.set(values)))),
    },
  ];
  for (const format of FORMATS) {
    const samples = Array.from({ length: REPETITIONS }, () => {
      let tensor: Tensor | undefined;
      const from = time(() => {
        tensor = Tensor.from(values, { format, shape: [ROWS, COLUMNS] });
      });
      return { from, to: time(() => tensor?.toFloat32(out)) };
    });
    rows.push(
      { what: `Tensor.from ${format}, ms`, ...summarize(samples.map(({ from }) => from)) },
      { what: `toFloat32 ${format}, ms`, ...summarize(samples.map(({ to }) => to)) },
    );
  }
  return rows;
}
