import { performance } from 'node:perf_hooks';
import { VisionTransformer } from '../vision/vision-transformer.ts';
import type { Command } from './command.ts';
import { table } from './terminal.ts';

const percent = (score: number): string => `${(100 * score).toFixed(1)} %`;

/** `dyadic classify`: what pictures show. */
export const classify: Command = {
  summary: 'Say what pictures show, with a network of integers',
  usage: 'IMAGE...',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    model: { value: 'MODEL', short: 'm', help: "'fashion' (in the package), or a file of integers" },
    top: { value: 'N', help: 'classes for each picture, best first (3)' },
    threads: { value: 'N', help: 'threads, of those that the process may use' },
  },
  examples: [
    ['dyadic classify shirt.png', 'the three likeliest garments'],
    ['dyadic classify *.png --top 1 --json', 'for a program'],
  ],
  async run({ positionals, values, terminal, interrupts }) {
    const threads = values.number('threads');
    return interrupts.during(async (signal) => {
      using model = await VisionTransformer.load(values.text('model') ?? 'fashion', {
        ...(threads === undefined ? {} : { threads }),
        signal,
      });
      const top = values.number('top') ?? Math.min(3, model.labels.length);
      const start = performance.now();
      const results = await model.classifyBatch(positionals, { top, signal });
      const seconds = (performance.now() - start) / 1000;
      if (terminal.json) {
        await terminal.writeJson({
          model: model.describe().name,
          images: positionals.map((image, index) => ({ image, classes: results[index] ?? [] })),
          seconds,
        });
        return undefined;
      }
      const rows = positionals.map((image, index) => [
        image,
        ...(results[index] ?? []).map(({ label, score }) => `${label} ${percent(score)}`),
      ]);
      await terminal.write(table(rows));
      return undefined;
    });
  },
};
