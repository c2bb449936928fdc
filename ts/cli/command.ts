import { type ParseArgsConfig, parseArgs } from 'node:util';
import { codeOf, DyadicError } from '../errors.ts';
import { didYouMean } from '../spelling.ts';
import type { Interrupts } from './interrupts.ts';
import type { Terminal } from './terminal.ts';

/** A flag of a command. */
export interface Flag {
  /** What stands for the value in the help; without it the flag has none. */
  value?: string;
  short?: string;
  /** May be given several times. */
  multiple?: boolean;
  help: string;
}

/** The flags as they were given: by name, text of each occurrence. */
export class Values {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  texts(name: string): string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
  }

  /** A number; its range is checked by the call that it is an option of. */
  number(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parseNumber(`--${name}`, text);
  }

  /** Numbers separated by commas. */
  numbers(name: string): number[] | undefined {
    return this.text(name)
      ?.split(',')
      .map((text) => parseNumber(`--${name}`, text));
  }
}

function parseNumber(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value))
    throw usageError(`${flag}: expected a number, got '${text}'`);
  return value;
}

/** What a command works with. */
export interface Context {
  positionals: readonly string[];
  values: Values;
  terminal: Terminal;
  interrupts: Interrupts;
}

/** One command of the program. */
export interface Command {
  /** One line, for the list of commands. */
  summary: string;
  /** What follows the name, such as `MODEL FILE`. */
  usage: string;
  /** Fewest and most positional arguments. */
  positionals: readonly [min: number, max: number];
  flags: Readonly<Record<string, Flag>>;
  /** Command lines, each with what it does. */
  examples: readonly (readonly [line: string, what: string])[];
  /** Exit code; nothing is 0. */
  run: (context: Context) => Promise<number | undefined>;
}

/** Flags of every command. */
export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  json: { help: 'write one JSON document to stdout, everything else to stderr' },
  quiet: { short: 'q', help: 'no progress, no timings' },
  help: { short: 'h', help: 'show this help' },
};

/** A mistake in the command line: exit code 2. */
export function usageError(message: string): DyadicError {
  return new DyadicError('ERR_USAGE', message);
}

/** Takes a command line apart. */
export function parseCommandLine(
  command: Command,
  args: readonly string[],
): { positionals: string[]; values: Values } {
  const flags = { ...command.flags, ...COMMON_FLAGS };
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, { value, short, multiple }] of Object.entries(flags)) {
    options[name] = {
      type: value === undefined ? 'boolean' : 'string',
      ...(short === undefined ? {} : { short }),
      ...(multiple === undefined ? {} : { multiple }),
    };
  }
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      options,
      allowPositionals: true,
      strict: true,
    });
    const [, most] = command.positionals;
    if (positionals.length > most) throw usageError(`unexpected argument '${positionals[most]}'`);
    return { positionals, values: new Values(values) };
  } catch (error) {
    if (!codeOf(error)?.startsWith('ERR_PARSE_ARGS') || !(error instanceof Error)) throw error;
    const unknown = /^Unknown option '--?([^']+)'/.exec(error.message)?.[1];
    if (unknown === undefined) throw usageError(error.message);
    throw usageError(
      `unknown option '--${unknown}'${didYouMean(
        `--${unknown}`,
        Object.keys(flags).map((flag) => `--${flag}`),
      )}`,
    );
  }
}

function flagLine(name: string, { value, short, help }: Flag): string {
  const left = `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
  return `  ${left.padEnd(28)} ${help}`;
}

/** The help text of a command. */
export function helpOf(name: string, command: Command): string {
  const flags = Object.entries({ ...command.flags, ...COMMON_FLAGS }).map(([flag, spec]) =>
    flagLine(flag, spec),
  );
  const width = Math.max(...command.examples.map(([line]) => line.length));
  const examples = command.examples.map(([line, what]) => `  ${line.padEnd(width)}  # ${what}`);
  const usage = `Usage: dyadic ${name} ${command.usage ? `${command.usage} ` : ''}[options]`;
  return `${command.summary}\n\n${usage}\n\nOptions:\n${flags.join('\n')}\n\nExamples:\n${examples.join('\n')}\n`;
}
