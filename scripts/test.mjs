// `npm test`: every test of the project, from a fresh clone on. `npm run test:full` (--full) adds what takes long.
//
// The last line sums all runners: `N passed, N failed, N skipped`. A Rust test is also skipped where it says so through
// `dyadic_testkit::skip`.

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { bringUpToDate } from './lib/build.mjs';
import { root, run, took, version } from './lib/process.mjs';

const { values: options } = parseArgs({ options: { full: { type: 'boolean', default: false } } });
const results = path.join(root, 'build/test');
const skips = path.join(results, 'skips.txt');
/** crates/node is tested from JavaScript. */
const crates = ['--workspace', '--exclude', 'dyadic-node'];

/** @typedef {{ name: string, passed: number, failed: number, skipped: number }} Count */
/** @type {Count[]} */
const counts = [];

/** @param {string} name */
function announce(name) {
  console.log(`\n== ${name}`);
}

/**
 * Runs `cargo test` and counts what its test programs report.
 *
 * @param {string} name
 * @param {readonly string[]} args After `cargo test`.
 * @param {Record<string, string>} [env]
 * @param {readonly string[]} [prefix] What runs Cargo.
 */
async function cargoTest(name, args, env = {}, prefix = []) {
  announce(name);
  rmSync(skips, { force: true });
  const [program = '', ...command] = [...prefix, 'cargo', 'test', '--no-fail-fast', ...args];
  const { status, output } = await run(program, command, { env: { ...env, DYADIC_TEST_SKIPS: skips } });
  const count = { name, passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm,
  )) {
    count.passed += Number(passed);
    count.failed += Number(failed);
    count.skipped += Number(ignored);
  }
  const early = existsSync(skips) ? readFileSync(skips, 'utf8').trim().split('\n').length : 0;
  count.passed -= early;
  count.skipped += early;
  // A crate that does not compile, or a test program that crashes, reports no result.
  if (status !== 0 && count.failed === 0) count.failed = 1;
  counts.push(count);
}

/**
 * Runs a program that is one test.
 *
 * @param {string} name
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Record<string, string>} [env]
 */
async function one(name, command, args, env = {}) {
  announce(name);
  const { status } = await run(command, args, { env });
  counts.push({ name, passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 });
}

/**
 * @param {string} name
 * @param {string} reason
 */
function skip(name, reason) {
  announce(name);
  console.log(`skipped: ${reason}`);
  counts.push({ name, passed: 0, failed: 0, skipped: 1 });
}

/**
 * @param {string} name
 * @param {readonly string[]} [args] After `vitest run`.
 * @param {Record<string, string>} [env]
 */
async function vitest(name, args = [], env = {}) {
  announce(name);
  const file = path.join(results, 'vitest.json');
  rmSync(file, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const program = path.join(root, 'node_modules/vitest/vitest.mjs');
  const { status } = await run(process.execPath, [program, 'run', ...reporters, ...args], { env });
  const count = { name, passed: 0, failed: 0, skipped: 0 };
  if (existsSync(file)) {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    count.passed = report.numPassedTests;
    count.failed = report.numFailedTests;
    count.skipped = report.numPendingTests + report.numTodoTests;
  }
  // A file that does not load, a crashed process or an unhandled rejection is no failed test.
  if (status !== 0 && count.failed === 0) count.failed = 1;
  counts.push(count);
}

/**
 * The model of the tests on real weights, fetched on first use.
 *
 * @returns {Promise<string | undefined>} Its path.
 */
async function fetchModel() {
  if (process.env.DYADIC_TEST_MODEL) return process.env.DYADIC_TEST_MODEL;
  announce('model');
  const { status, output } = await run(process.execPath, ['dist/cli/main.js', 'pull', 'smollm2', '--json'], {
    quiet: true,
  });
  const json = output.split('\n').find((line) => line.startsWith('{'));
  if (status === 0 && json) {
    const { path: file } = JSON.parse(json);
    console.log(file);
    return file;
  }
  console.log(output.trim());
  console.log('The model could not be fetched: tests that need it are skipped.');
  return undefined;
}

/**
 * The images of the tests on all of Fashion-MNIST, fetched on first use.
 *
 * @returns {Promise<string | undefined>} Their folder.
 */
async function fetchImages() {
  if (process.env.DYADIC_FASHION) return process.env.DYADIC_FASHION;
  announce('Fashion-MNIST');
  const folder = path.join(homedir(), '.cache/dyadic/fashion-mnist');
  const { status } = await run(process.execPath, ['scripts/fetch-fashion-mnist.mjs', '--out', folder]);
  if (status === 0) return folder;
  console.log('The images could not be fetched: tests that need them are skipped.');
  return undefined;
}

/** Whether the packages of `arm64-setup.sh` are there. */
function isDebian() {
  const file = '/etc/os-release';
  return existsSync(file) && /^ID=debian$/m.test(readFileSync(file, 'utf8'));
}

/** Where `arm64-setup.sh` puts the toolchain and the emulator. */
const arm64Folder = path.join(homedir(), '.cache/dyadic-arm64');

/**
 * Rust tests as an arm64 CPU would run them.
 *
 * @param {string} name
 * @param {string} cpu
 * @param {readonly string[]} args After `cargo test`.
 */
async function arm64Test(name, cpu, args) {
  const withToolchain = ['bash', '-c', '. "$0/env" && exec "$@"', arm64Folder];
  const env = { QEMU_CPU: cpu, CARGO_TARGET_DIR: path.join(root, 'target/arm64') };
  const target = ['--target', 'aarch64-unknown-linux-gnu'];
  await cargoTest(`${name} on arm64, ${cpu}`, [...target, ...args], env, withToolchain);
}

/** The Rust tests as a Raspberry Pi 4, a Raspberry Pi 5 and the emulator's best CPU would run them. */
async function arm64() {
  await one('arm64 toolchain', 'bash', ['scripts/arm64-setup.sh', arm64Folder]);
  if (counts.at(-1)?.failed) return;
  for (const cpu of ['cortex-a72', 'cortex-a76', 'max']) await arm64Test('Rust', cpu, [...crates, '--tests']);
}

/** The instruction sets below this CPU's best, whose kernels the tests force. */
function lesserInstructionSets() {
  if (process.arch === 'arm64') return ['scalar', 'neon'];
  return process.arch === 'x64' ? ['scalar', 'avx2'] : ['scalar'];
}

const started = performance.now();
mkdirSync(results, { recursive: true });
if (!(await bringUpToDate())) {
  console.log('\n0 passed, 1 failed, 0 skipped');
  process.exit(1);
}
const model = await fetchModel();
if (model) process.env.DYADIC_TEST_MODEL = model;
const images = options.full ? await fetchImages() : undefined;
if (images) process.env.DYADIC_FASHION = images;

const proptest = options.full ? { PROPTEST_CASES: '4096' } : {};
const ignored = options.full ? ['--', '--include-ignored'] : [];
await cargoTest('Rust', [...crates, ...ignored], proptest);
for (const isa of lesserInstructionSets()) {
  // Kernels of every instruction set were compared above; here the layers that choose among them run on each.
  const programs = ['-p', 'dyadic-tensor', '--test', 'products', '-p', 'dyadic-model', '--test', 'engine'];
  await cargoTest(`Rust, DYADIC_ISA=${isa}`, programs, { DYADIC_ISA: isa });
}
if (!options.full && existsSync(path.join(arm64Folder, 'env'))) {
  // A sample: the modules whose kernels are written once over lanes.
  const modules = ['softmax', 'activation', 'norm', 'rope', 'attention'].map((name) => `${name}::`);
  await arm64Test('Kernels over lanes', 'cortex-a72', ['-p', 'dyadic-kernels', '--lib', '--', ...modules]);
}
await vitest('TypeScript');

if (options.full) {
  for (const isa of lesserInstructionSets()) {
    await vitest(`TypeScript, DYADIC_ISA=${isa}`, [], { DYADIC_ISA: isa });
  }
  await cargoTest(
    'thread pool under loom',
    ['-p', 'dyadic-tensor', '--lib', '--target-dir', 'target/loom', 'pool::loom_tests'],
    { RUSTFLAGS: '--cfg loom' },
  );
  if (await version('cargo', ['fuzz', '--version'])) {
    await one('fuzzing', process.execPath, ['scripts/fuzz.mjs', '--seconds', '60']);
  } else {
    skip('fuzzing', 'cargo-fuzz is not installed (cargo install cargo-fuzz)');
  }
  if (process.arch === 'x64' && isDebian()) {
    await arm64();
  } else {
    skip('arm64 under emulation', 'needs Debian on x64');
  }
}

console.log();
const total = { passed: 0, failed: 0, skipped: 0 };
for (const { name, ...count } of counts) {
  total.passed += count.passed;
  total.failed += count.failed;
  total.skipped += count.skipped;
  console.log(`${name}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
}
console.log(`in ${took(started)}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;
