// `npm start`: from a fresh clone to an answer. Installs and builds what is missing, classifies pictures of garments with the network of integers
// that is in the package, fetches a language model on first use, asks it a question.
// Without network or Python it shows the machine at work instead, and still ends well.

import { rm } from 'node:fs/promises';
import { cpus } from 'node:os';
import path from 'node:path';
import { bringUpToDate } from './lib/build.mjs';
import { root, runOnTerminal } from './lib/process.mjs';

const QUESTION = 'What is the capital of France, and what is it known for?';

/** @param {string} text */
const heading = (text) => console.log(`\n${process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text}`);

/**
 * Shows a command as a user would type it, and runs it.
 *
 * @param {readonly string[]} args
 */
async function dyadic(...args) {
  const shown = args.map((arg) => (/^[\w./:@=-]+$/.test(arg) ? arg : `'${arg}'`));
  console.log(`$ npx dyadic ${shown.join(' ')}`);
  return runOnTerminal(process.execPath, ['dist/cli/main.js', ...args]);
}

/** @param {{ isa: string, threads: number, kernels: unknown[] }} report What `doctor()` of crates/node says. */
function describeMachine({ isa, threads, kernels }) {
  const cpu = cpus()[0]?.model.trim() ?? process.arch;
  const plural = threads === 1 ? 'thread' : 'threads';
  return `${cpu}: ${isa}, ${threads} ${plural}, ${kernels.length} kernels`;
}

/** Random weights in the shape of a small language model: the kernels work as hard as on real ones. */
async function showKernels() {
  const { writeSyntheticModel } = await import('./lib/synthetic-model.mjs');
  const file = path.join(root, 'build/synthetic.gguf');
  await writeSyntheticModel(file);
  heading('The kernels at work on random weights of 30 million parameters in Q4_0');
  const status = await dyadic('bench', path.relative(root, file), '--prompt', '64', '--decode', '32');
  await rm(file, { force: true });
  return status;
}

/** Test pictures of Fashion-MNIST, by a vision transformer that is integers alone, beside the floats that it was made of. */
async function showGarments() {
  heading(
    'Garments, seen by a vision transformer without one floating-point operation, and by the same in float32',
  );
  const garments = await dyadic('classify', 'models/fashion-vit/garments', '--compare');
  console.log();
  const sample = '__test__/golden/fashion-mnist/t10k-200';
  const files = [`${sample}-images-idx3-ubyte`, '--labels', `${sample}-labels-idx1-ubyte`];
  return garments || dyadic('classify', '--compare', ...files);
}

if (!(await bringUpToDate({ quiet: true }))) process.exit(1);
const { doctor } = await import('../dist/index.js');
heading(describeMachine(/** @type {any} */ (doctor())));
const garments = await showGarments();
heading('A language model');
let status = await dyadic('run', 'smollm2', '--chat', '--prompt', QUESTION, '--max-tokens', '200');
if (status === 0) {
  heading('Next');
  console.log(`  npx dyadic chat smollm2             talk to it
  npx dyadic bench smollm2            how fast it is here
  npx dyadic doctor                   which kernels this CPU gets, and why
  npx dyadic --help                   everything else
  README.md                           the same from a program, in six lines`);
} else {
  // What went wrong, and the other ways to get a model, were just said.
  heading('There is no model to ask yet. What this machine can do:');
  status = await dyadic('doctor');
  status ||= await showKernels();
  heading('With a model');
  console.log('  npx dyadic run PATH.gguf --chat --prompt "Hello"');
}
process.exitCode = status || garments;
