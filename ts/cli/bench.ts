import { availableParallelism } from 'node:os';
import { present } from '../llm/request.ts';
import { benchKernels } from './bench-kernels.ts';
import { benchSoftmax } from './bench-softmax.ts';
import { type Command, usageError } from './command.ts';
import { kernelOptions } from './generation-flags.ts';
import { withModel } from './load-model.ts';
import { table } from './terminal.ts';

/** Smallest, middle and largest of some figures. */
interface Summary {
  min: number;
  median: number;
  max: number;
}

function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (i: number) => sorted[i] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    min: at(0),
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    max: at(sorted.length - 1),
  };
}

const show = ({ min, median, max }: Summary) => [min, median, max].map((value) => value.toFixed(1));

/** `dyadic bench`: tokens a second. */
export const bench: Command = {
  summary: 'Measure tokens per second, prompt and decode; or matrix products; or softmax',
  usage: 'MODEL|kernels|softmax',
  positionals: [1, 1],
  flags: {
    threads: { value: 'N,N', short: 't', help: 'thread counts to measure (default: 1 and all)' },
    prompt: { value: 'N', help: 'length of the prompt (default 128)' },
    decode: { value: 'N', help: 'tokens decoded from an empty cache (default 64)' },
    repetitions: { value: 'N', short: 'r', help: 'repetitions of each (default 5)' },
    'kv-type': { value: 'TYPE', help: 'KV cache: f16 (default), f32 or int8' },
    isa: { value: 'NAME', help: 'instruction set (default: DYADIC_ISA, else the best)' },
    formats: {
      value: 'NAME,…',
      help: 'kernels: number formats of the weights (default: all that have kernels)',
    },
  },
  examples: [
    ['dyadic bench smollm2', 'a table for this machine'],
    ['dyadic bench kernels', 'products of each format, and this machine'],
    ['dyadic bench softmax --isa avx512,avx2 --json', 'elements per second by row length'],
    ['dyadic bench smollm2 --threads 1,2 --prompt 128 --decode 64 --json', 'for a program'],
  ],
  async run(context) {
    const { positionals, values, terminal, interrupts } = context;
    const counts = values.numbers('threads') ?? [...new Set([1, availableParallelism()])];
    if (counts.some((count) => !Number.isInteger(count) || count < 1))
      throw usageError('--threads: expected thread counts such as 1,2');
    if (positionals[0] === 'kernels') return benchKernels(context, counts);
    if (positionals[0] === 'softmax') return benchSoftmax(context, counts);
    const promptTokens = values.number('prompt') ?? 128;
    const decodeTokens = values.number('decode') ?? 64;
    const repetitions = values.number('repetitions') ?? 5;
    const load = {
      ...kernelOptions(values),
      threads: Math.max(...counts),
      contextLength: Math.max(promptTokens, decodeTokens, 8),
    };
    return withModel(context, positionals[0] ?? '', load, async (model) => {
      const rows: { threads: number; promptTokensPerSecond: Summary; decodeTokensPerSecond: Summary }[] = [];
      for (const threads of counts) {
        const onProgress = terminal.progress();
        const options = { threads, promptTokens, decodeTokens, repetitions, ...present({ onProgress }) };
        const result = await interrupts.during((signal) => model.benchmark({ ...options, signal }));
        rows.push({
          threads,
          promptTokensPerSecond: summarize(result.prompt),
          decodeTokensPerSecond: summarize(result.decode),
        });
      }
      const { architecture, name, kernels } = model.info;
      if (terminal.json) {
        await terminal.writeJson({
          model: { architecture, name },
          kernels,
          promptTokens,
          decodeTokens,
          repetitions,
          rows,
        });
        return undefined;
      }
      const line = (threads: number, what: string, summary: Summary) => [
        threads,
        what,
        ...show(summary).map((text) => text.padStart(9)),
      ];
      await terminal.write(
        table([
          ['threads', 'tokens/s', ...['min', 'median', 'max'].map((text) => text.padStart(9))],
          ...rows.flatMap((row) => [
            line(row.threads, `prompt ${promptTokens}`, row.promptTokensPerSecond),
            line(row.threads, `decode ${decodeTokens}`, row.decodeTokensPerSecond),
          ]),
        ]),
      );
      return undefined;
    });
  },
};
