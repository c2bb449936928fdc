import { present } from '../llm/request.ts';
import type { Message, Prompt } from '../llm/types.ts';
import { type Command, usageError } from './command.ts';
import {
  CONTEXT_FLAG,
  GENERATION_FLAGS,
  generationOptions,
  LOAD_FLAGS,
  loadOptions,
  timingLine,
} from './generation-flags.ts';
import { readStdin } from './input.ts';
import { withModel } from './load-model.ts';

/** `dyadic run`: one prompt, one answer. */
export const run: Command = {
  summary: 'Continue a prompt, or answer it with --chat',
  usage: 'MODEL [PROMPT]',
  positionals: [1, 2],
  flags: {
    prompt: { value: 'TEXT', short: 'p', help: 'the prompt (default: second argument, else stdin)' },
    chat: { help: "put the prompt through the model's chat template" },
    system: { value: 'TEXT', help: 'system message, with --chat' },
    ...GENERATION_FLAGS,
    ...CONTEXT_FLAG,
    ...LOAD_FLAGS,
  },
  examples: [
    ["dyadic run smollm2 'Once upon a time' -n 64", 'continue a text'],
    ["dyadic run smollm2 --chat -p 'What is the capital of France?'", 'answer a question'],
    ['dyadic run ./model.gguf -n 100 --json < prompt.txt', 'text, ids and timings for a program'],
  ],
  async run(context) {
    const { positionals, values, terminal, interrupts } = context;
    const [name = '', argument] = positionals;
    const flag = values.text('prompt');
    if (flag !== undefined && argument !== undefined)
      throw usageError('the prompt is given twice: as an argument and as --prompt');
    const system = values.text('system');
    if (system !== undefined && !values.has('chat')) throw usageError('--system needs --chat');
    const given = flag ?? argument;
    if (given === undefined && process.stdin.isTTY)
      throw usageError('no prompt: give one as an argument, by --prompt or on stdin');
    const text = given ?? (await readStdin());
    const messages: Message[] = [
      ...(system === undefined ? [] : [{ role: 'system', content: system } as const]),
      { role: 'user', content: text },
    ];
    const prompt: Prompt = values.has('chat') ? messages : text;
    const options = await generationOptions(values);
    const load = { ...loadOptions(values), ...present({ contextLength: values.number('context') }) };

    return withModel(context, name, load, (model) =>
      interrupts.during(async (signal) => {
        const stream = model.generate(prompt, { ...options, signal });
        if (!terminal.json) {
          for await (const piece of stream) await terminal.write(piece.text);
          await terminal.write('\n');
        }
        const {
          text: answer,
          tokens,
          promptTokens,
          finishReason,
          seed,
          usage,
          timings,
        } = await stream.result();
        if (terminal.json) {
          await terminal.writeJson({
            text: answer,
            ids: tokens,
            promptIds: promptTokens,
            finishReason,
            seed,
            usage,
            timings,
          });
        } else terminal.note(timingLine({ usage, timings }));
        return undefined;
      }),
    );
  },
};
