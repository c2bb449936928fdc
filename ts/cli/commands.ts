import { bench } from './bench.ts';
import { chat } from './chat.ts';
import { classify } from './classify.ts';
import type { Command } from './command.ts';
import { doctor } from './doctor.ts';
import { formats } from './formats/index.ts';
import { inspect } from './inspect.ts';
import { list } from './list.ts';
import { perplexity } from './perplexity.ts';
import { pull } from './pull.ts';
import { quantize } from './quantize.ts';
import { run } from './run.ts';
import { tokenize } from './tokenize.ts';

/** Every command, in the order of the help. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  chat,
  run,
  pull,
  list,
  inspect,
  classify,
  quantize,
  tokenize,
  perplexity,
  bench,
  formats,
  doctor,
};
