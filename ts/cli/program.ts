import { codeOf, DyadicError } from '../errors.ts';
import { didYouMean } from '../spelling.ts';
import { type Command, helpOf, parseCommandLine, usageError } from './command.ts';
import { COMMANDS } from './commands.ts';
import { EXIT_INTERRUPTED, type Interrupts } from './interrupts.ts';
import { type Output, Terminal } from './terminal.ts';
import { packageVersion } from './version.ts';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const commands = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`,
  );
  return `Low-precision inference for Node

Usage: dyadic COMMAND [options]

Commands:
${commands.join('\n')}

  dyadic COMMAND --help   options and examples of a command
  dyadic --version

A MODEL is a known name (dyadic list), hf:OWNER/REPO/FILE.gguf, or the path of a GGUF file.
Environment: DYADIC_CACHE, DYADIC_THREADS, DYADIC_ISA, DYADIC_PYTHON, HF_TOKEN, HF_ENDPOINT, http_proxy, https_proxy, no_proxy, NO_COLOR.
`;
}

/** Errors of options speak of flags here, not of properties. */
function describeError(error: unknown, command: Command | undefined): { code: string; message: string } {
  const code = codeOf(error) ?? 'ERR_INTERNAL';
  const message = error instanceof Error ? error.message : String(error);
  const [, property = '', rest] = /^(\w+)(: .*)$/s.exec(message) ?? [];
  const kebab = property.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  // `contextLength` is `--context`, `promptTokens` `--prompt`.
  const flag = Object.keys(command?.flags ?? {}).find(
    (name) => kebab === name || kebab.startsWith(`${name}-`),
  );
  return code === 'ERR_OPTION' && flag !== undefined
    ? { code, message: `--${flag}${rest}` }
    : { code, message };
}

/** Runs a command line (without `node` and the script) and returns the exit code. */
export async function main(
  args: readonly string[],
  interrupts: Interrupts,
  stdout: Output = process.stdout,
  stderr: Output = process.stderr,
): Promise<number> {
  const [name, ...rest] = args;
  const modes = { json: args.includes('--json'), quiet: args.includes('--quiet') || args.includes('-q') };
  const terminal = new Terminal(modes, stdout, stderr);
  let command: Command | undefined;
  try {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      const asked = name === 'help' && rest[0] !== undefined ? COMMANDS[rest[0]] : undefined;
      await terminal.write(asked === undefined ? help() : helpOf(rest[0] ?? '', asked));
      return 0;
    }
    if (name === '--version' || name === '-V') {
      await terminal.write(`${packageVersion()}\n`);
      return 0;
    }
    command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined)
      throw usageError(`no command '${name}'${didYouMean(name, Object.keys(COMMANDS))}`);
    const { positionals, values } = parseCommandLine(command, rest);
    if (values.has('help')) {
      await terminal.write(helpOf(name, command));
      return 0;
    }
    const [fewest] = command.positionals;
    if (positionals.length < fewest) throw usageError(`missing argument: dyadic ${name} ${command.usage}`);
    const exitCode = await command.run({ positionals, values, terminal, interrupts });
    return exitCode ?? interrupts.exitCode ?? 0;
  } catch (error) {
    terminal.clearProgress();
    const described = describeError(error, command);
    const interrupted = described.code === 'ERR_ABORTED';
    if (terminal.json) await terminal.writeJson({ error: described });
    else if (!interrupted) terminal.error(`${described.message} (${described.code})`);
    if (interrupted) return interrupts.exitCode ?? EXIT_INTERRUPTED;
    // A defect of ours: where it happened helps whoever reports it.
    if (!(error instanceof DyadicError)) terminal.warn(error instanceof Error ? (error.stack ?? '') : '');
    if (described.code !== 'ERR_USAGE' && described.code !== 'ERR_OPTION') return EXIT_ERROR;
    if (!terminal.json) terminal.warn(`See: dyadic ${command === undefined ? '' : `${name} `}--help`);
    return EXIT_USAGE;
  }
}
