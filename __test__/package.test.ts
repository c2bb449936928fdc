import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const model = process.env.DYADIC_TEST_MODEL;

interface Packed {
  filename: string;
  /** Bytes. */
  size: number;
  files: { path: string }[];
}

let directory: string;
let packed: Packed;
let app: string;

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const run = promisify(execFile);
  const { stdout } = await run('npm', args, { cwd, shell: process.platform === 'win32', maxBuffer: 2 ** 26 });
  return stdout;
}

async function pack(directory: string, destination: string): Promise<Packed> {
  const json = await npm(directory, 'pack', '--json', '--ignore-scripts', '--pack-destination', destination);
  const [first]: Packed[] = JSON.parse(json);
  if (first === undefined) throw new Error(`npm pack printed ${json}`);
  return first;
}

/** Runs a program in the folder of an application that has the package installed, and gives what it prints. */
async function runApp(...args: string[]): Promise<string> {
  // build/Release would be preferred to a prebuild; there is none here, but that is what this asserts.
  const env = { ...process.env, PREBUILDS_ONLY: '1' };
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: app, env });
  return stdout;
}

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dyadic-package-'));
  const stage = path.join(directory, 'stage');
  const tarballs = path.join(directory, 'tarballs');
  app = path.join(directory, 'app');
  await Promise.all([stage, tarballs, app].map((folder) => mkdir(folder)));
  // Staged apart: prebuildify empties build/Release, which other tests load from.
  for (const name of ['package.json', 'README.md', 'LICENSE', 'dist', 'models']) {
    await cp(path.join(root, name), path.join(stage, name), { recursive: true });
  }
  await symlink(path.join(root, 'scripts'), path.join(stage, 'scripts'));
  await npm(root, 'run', 'prebuildify', '--', '--cwd', stage);
  packed = await pack(stage, tarballs);
  // The one dependency beside it, so that nothing is fetched.
  const dependency = await pack(path.join(root, 'node_modules/node-gyp-build'), tarballs);
  await writeFile(path.join(app, 'package.json'), '{ "private": true }');
  const files = [packed, dependency].map(({ filename }) => path.join(tarballs, filename));
  await npm(app, 'install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', ...files);
}, 600_000);

afterAll(() => rm(directory, { recursive: true, force: true }));

describe('the package', () => {
  test('holds the compiled code, the prebuild, a network of integers, and nothing else', () => {
    const names = packed.files.map((file) => file.path);
    expect(names).toContain('dist/index.js');
    expect(names).toContain('dist/index.d.ts');
    expect(names).toContain('models/fashion-vit/model.dyadic');
    const own =
      /^(dist\/|prebuilds\/|models\/fashion-vit\/model\.dyadic$|package\.json$|README\.md$|LICENSE$)/;
    expect(names.filter((name) => !own.test(name))).toEqual([]);
    const libc = process.platform === 'linux' ? /\.(glibc|musl)\.node$/ : /\.node$/;
    const prebuilds = names.filter((name) => name.startsWith('prebuilds/'));
    expect(prebuilds).toHaveLength(1);
    expect(prebuilds[0]).toMatch(new RegExp(`^prebuilds/${process.platform}-${process.arch}/`));
    expect(prebuilds[0]).toMatch(libc);
  });

  test('is under 4 MB', () => {
    expect(packed.size).toBeLessThan(4e6);
  });

  test('has no install script', async () => {
    const { scripts } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'));
    expect(Object.keys(scripts)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^(pre|post)?install$/)]),
    );
  });

  test('runs where it was installed without scripts', async () => {
    const program = `
      import { doctor } from 'dyadic';
      const { isa, kernels } = doctor();
      console.log(JSON.stringify({ isa, kernels: kernels.length }));`;
    const { isa, kernels } = JSON.parse(await runApp('--input-type=module', '--eval', program));
    expect(isa).toMatch(/^\w+$/);
    expect(kernels).toBeGreaterThan(5);
  });

  test('can be required', async () => {
    expect(await runApp('--print', `typeof require('dyadic').LanguageModel.load`)).toBe('function\n');
  });

  test('brings the program', async () => {
    const shim = path.join(app, 'node_modules/dyadic/dist/cli/main.js');
    const report = JSON.parse(await runApp(shim, 'doctor', '--json'));
    expect(report.version).toBe('0.1.0');
  });

  test('classifies, and says where the floats are', async () => {
    const program = `
      import { VisionTransformer } from 'dyadic';
      const vit = await VisionTransformer.load('fashion');
      const [best] = await vit.classify(process.argv[1]);
      const floats = VisionTransformer.load('fashion', { precision: 'float32' });
      console.log(best.index, await floats.catch(({ code, message }) => code + ' ' + message));`;
    const bag = path.join(root, 'models/fashion-vit/garments/0018-bag.png');
    expect(await runApp('--input-type=module', '--eval', program, bag)).toMatch(
      /^8 ERR_MODEL_NOT_FOUND the float32 weights .* models\/fashion-vit\/model\.safetensors from the repository/,
    );
  });

  test.skipIf(!model)('generates text', async () => {
    const program = `
      import { LanguageModel } from 'dyadic';
      const model = await LanguageModel.load(process.argv[1]);
      const { usage } = await model.generateText('Once upon a time', { maxTokens: 8, temperature: 0 });
      console.log(usage.completionTokens);
      await model.dispose();`;
    expect(await runApp('--input-type=module', '--eval', program, String(model))).toBe('8\n');
  });
});
