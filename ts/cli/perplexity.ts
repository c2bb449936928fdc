import { present } from '../llm/request.ts';
import type { Command } from './command.ts';
import { LOAD_FLAGS, loadOptions } from './generation-flags.ts';
import { readText } from './input.ts';
import { withModel } from './load-model.ts';

/** `dyadic perplexity`: how well a model predicts a text. */
export const perplexity: Command = {
  summary: 'Measure how well a model predicts a text',
  usage: 'MODEL FILE',
  positionals: [2, 2],
  flags: {
    context: { value: 'N', short: 'c', help: 'tokens in a chunk (default 512)' },
    chunks: { value: 'N', help: 'chunks from the start of the text (default: all)' },
    ...LOAD_FLAGS,
  },
  examples: [
    ['dyadic perplexity smollm2 book.txt --chunks 8', 'the first 8 chunks of 512 tokens; - reads stdin'],
  ],
  async run(context) {
    const { positionals, values, terminal, interrupts } = context;
    const [name = '', file = ''] = positionals;
    const text = await readText(file);
    const contextLength = values.number('context') ?? 512;
    return withModel(context, name, { ...loadOptions(values), contextLength }, async (model) => {
      const onProgress = terminal.progress();
      const options = present({ contextLength, chunks: values.number('chunks'), onProgress });
      const result = await interrupts.during((signal) => model.perplexity(text, { ...options, signal }));
      if (terminal.json) await terminal.writeJson(result);
      else {
        await terminal.write(
          `perplexity ${result.perplexity.toFixed(4)} over ${result.tokens} tokens; ` +
            `${result.perplexitySecondHalf.toFixed(4)} over the second half of each chunk\n`,
        );
      }
      return undefined;
    });
  },
};
