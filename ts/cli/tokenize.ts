import type { Command } from './command.ts';
import { readStdin } from './input.ts';
import { withModel } from './load-model.ts';

/** `dyadic tokenize`: text from stdin to token ids. */
export const tokenize: Command = {
  summary: 'Turn the text on stdin into token ids',
  usage: 'MODEL < TEXT',
  positionals: [1, 1],
  flags: {
    'no-special': { help: 'take the text of special tokens letter by letter' },
  },
  examples: [
    ["printf 'Hello, world!' | dyadic tokenize smollm2", 'one id and its text a line'],
    ['dyadic tokenize smollm2 --json < text', '{"ids":[…]}; no BOS is added'],
  ],
  async run(context) {
    const { positionals, values, terminal } = context;
    const text = await readStdin();
    return withModel(context, positionals[0] ?? '', {}, async (model) => {
      const ids = model.tokenize(text, { special: !values.has('no-special') });
      if (terminal.json) await terminal.writeJson({ ids });
      else
        for (const id of ids)
          await terminal.write(`${String(id).padStart(8)}  ${JSON.stringify(model.detokenize([id]))}\n`);
      return undefined;
    });
  },
};
