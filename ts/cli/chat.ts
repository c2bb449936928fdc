import readline from 'node:readline';
import { codeOf } from '../errors.ts';
import type { Chat } from '../llm/chat.ts';
import { present } from '../llm/request.ts';
import type { GenerateOptions, Generation } from '../llm/types.ts';
import type { Command, Context } from './command.ts';
import {
  CONTEXT_FLAG,
  GENERATION_FLAGS,
  generationOptions,
  LOAD_FLAGS,
  loadOptions,
  timingLine,
} from './generation-flags.ts';
import { EXIT_INTERRUPTED } from './interrupts.ts';
import { withModel } from './load-model.ts';

const HELP = `  /help    this list
  /reset   forget the conversation
  /exit    leave (or Ctrl-D)
  Ctrl-C   stop the answer; twice to leave
  A line that ends with \\ goes on in the next one.
`;

/** What came of asking for a line: its text; Ctrl-C on a begun one; Ctrl-C on an empty one; Ctrl-D. */
type Line = { text: string } | 'cleared' | 'interrupted' | 'closed';

/**
 * Reads lines from a terminal, with history and editing. The interface lives for one line only: while an answer streams the terminal is
 * in its normal mode, so that Ctrl-C is a signal and type-ahead waits for the next question.
 */
class Prompter {
  #history: string[] = [];

  ask(prompt: string): Promise<Line> {
    return new Promise((resolve) => {
      const lines = readline.createInterface({
        input: process.stdin,
        output: process.stdout,
        prompt,
        history: this.#history,
        historySize: 500,
        removeHistoryDuplicates: true,
      });
      // Closing emits `close` again; the promise is settled by then.
      const finish = (line: Line) => {
        resolve(line);
        lines.close();
      };
      lines.on('history', (history) => {
        this.#history = history;
      });
      lines.once('line', (text) => finish({ text }));
      lines.once('close', () => resolve('closed'));
      lines.on('SIGINT', () => {
        process.stdout.write('\n');
        finish(lines.line === '' ? 'interrupted' : 'cleared');
      });
      lines.prompt();
    });
  }
}

async function answer(
  { terminal, interrupts }: Context,
  chat: Chat,
  question: string,
  options: GenerateOptions,
): Promise<Generation | undefined> {
  return interrupts.during(async (signal) => {
    try {
      const stream = chat.send(question, { ...options, signal });
      if (!terminal.json) {
        for await (const piece of stream) await terminal.write(piece.text);
        await terminal.write('\n');
      }
      return await stream.result();
    } catch (error) {
      if (codeOf(error) === 'ERR_ABORTED') {
        if (!terminal.json) await terminal.write('\n');
        terminal.note('(stopped; Ctrl-C again leaves)');
        return undefined;
      }
      if (codeOf(error) !== 'ERR_CONTEXT_LENGTH' || terminal.json) throw error;
      terminal.error(`${error instanceof Error ? error.message : error}`);
      terminal.warn(
        '/reset starts anew; dyadic chat --drop-oldest forgets old turns by itself, --context N makes room',
      );
      return undefined;
    }
  });
}

/** Lines of a file or a pipe, each a question, as if they had been typed. */
async function converse(context: Context, chat: Chat, options: GenerateOptions): Promise<number | undefined> {
  const { terminal, interrupts } = context;
  const turns: Pick<Generation, 'text' | 'finishReason' | 'usage' | 'timings'>[] = [];
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line.trim() === '') continue;
    if (line.trim() === '/exit') break;
    if (line.trim() === '/reset') {
      chat.reset();
      continue;
    }
    const generation = await answer(context, chat, line, options);
    if (generation === undefined && interrupts.exitCode !== undefined) return interrupts.exitCode;
    if (generation === undefined) return 1;
    const { text, finishReason, usage, timings } = generation;
    turns.push({ text, finishReason, usage, timings });
    terminal.note(timingLine(generation));
  }
  if (terminal.json) await terminal.writeJson({ messages: chat.messages, turns });
  return undefined;
}

async function converseInTerminal(
  context: Context,
  chat: Chat,
  options: GenerateOptions,
): Promise<number | undefined> {
  const { terminal, interrupts } = context;
  const prompter = new Prompter();
  let wasInterrupted = false;
  let unfinished = '';
  terminal.note('/help lists the commands; Ctrl-D leaves.');
  for (;;) {
    const line = await prompter.ask(terminal.paint('cyan', unfinished === '' ? '> ' : '. '));
    if (line === 'closed') {
      await terminal.write('\n');
      return undefined;
    }
    if (line === 'interrupted' && wasInterrupted) return EXIT_INTERRUPTED;
    wasInterrupted = line === 'interrupted';
    if (line === 'interrupted' || line === 'cleared') {
      unfinished = '';
      if (wasInterrupted) terminal.note('Ctrl-C again leaves.');
      continue;
    }
    if (line.text.endsWith('\\')) {
      unfinished += `${line.text.slice(0, -1)}\n`;
      continue;
    }
    const question = unfinished + line.text;
    unfinished = '';
    const command = question.trim();
    if (command === '') continue;
    if (command === '/exit' || command === '/quit') return undefined;
    if (command === '/help') await terminal.write(HELP);
    else if (command === '/reset') {
      chat.reset();
      terminal.note('The conversation is forgotten.');
    } else if (/^\/\w+$/.test(command)) terminal.note(`No command ${command}; /help lists them.`);
    else {
      const before = chat.messages.length;
      const generation = await answer(context, chat, question, options);
      wasInterrupted = interrupts.exitCode !== undefined;
      interrupts.exitCode = undefined;
      if (generation === undefined) continue;
      if (chat.messages.length < before + 2)
        terminal.note('(the oldest turns were dropped: the context is full)');
      terminal.note(timingLine(generation));
    }
  }
}

/** `dyadic chat`: a conversation. */
export const chat: Command = {
  summary: 'Talk with a model in the terminal',
  usage: '[MODEL]',
  positionals: [0, 1],
  flags: {
    system: { value: 'TEXT', short: 's', help: 'system message' },
    'drop-oldest': { help: 'forget the oldest turns when the context is full, instead of refusing' },
    ...GENERATION_FLAGS,
    ...CONTEXT_FLAG,
    ...LOAD_FLAGS,
  },
  examples: [
    ['dyadic chat', 'talk with smollm2, which is fetched at first'],
    ["dyadic chat ./model.gguf --system 'You are brief.'", 'another model, with a system message'],
    ['printf "Hello\\nAnd now?\\n" | dyadic chat smollm2 --json', 'two turns, for a program'],
  ],
  async run(context) {
    const { positionals, values, terminal } = context;
    // Sampling that small models were tuned for; greedy answers of theirs tend to repeat themselves.
    const options: GenerateOptions = { temperature: 0.2, topP: 0.9, ...(await generationOptions(values)) };
    const load = { ...loadOptions(values), ...present({ contextLength: values.number('context') }) };
    return withModel(context, positionals[0] ?? 'smollm2', load, async (model) => {
      const system = values.text('system');
      const conversation = model.chat({
        ...present({ system }),
        contextOverflow: values.has('drop-oldest') ? 'dropOldest' : 'error',
      });
      const inTerminal = process.stdin.isTTY && terminal.isInteractive && !terminal.json;
      return inTerminal
        ? converseInTerminal(context, conversation, options)
        : converse(context, conversation, options);
    });
  },
};
