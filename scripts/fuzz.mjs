// Runs every fuzz target of every crate for a bounded time: `node scripts/fuzz.mjs [--seconds 30]`. Needs cargo-fuzz.

import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root, run } from './lib/process.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '30' } } });

/**
 * Prints what libFuzzer sums up, and everything where something was found.
 *
 * @param {readonly string[]} args After `cargo`.
 * @param {string} cwd
 */
async function cargo(args, cwd) {
  // libFuzzer's instrumentation is unstable, and the compiler of this project is not a nightly. What the crates share is built once.
  const env = { RUSTC_BOOTSTRAP: '1', CARGO_TARGET_DIR: path.join(root, 'target/fuzz') };
  const { status, output } = await run('cargo', args, { cwd, env, quiet: true });
  if (status === 0) {
    console.log(/^Done \d+ runs.*$/m.exec(output)?.[0] ?? 'done');
  } else {
    console.log(output);
    process.exitCode = 1;
  }
}

for (const name of readdirSync(path.join(root, 'crates'))) {
  const crate = path.join(root, 'crates', name);
  const targets = path.join(crate, 'fuzz/fuzz_targets');
  if (!existsSync(targets)) continue;
  if (existsSync(path.join(crate, 'fuzz/examples/seeds.rs'))) {
    console.log(`== ${name}: seeds`);
    await cargo(['run', '--quiet', '--manifest-path', 'fuzz/Cargo.toml', '--example', 'seeds'], crate);
  }
  for (const file of readdirSync(targets)) {
    const target = path.basename(file, '.rs');
    console.log(`== ${name}: ${target}, ${values.seconds} s`);
    const limits = ['-malloc_limit_mb=256', '-max_len=16384', '-timeout=10'];
    await cargo(['fuzz', 'run', target, '--', `-max_total_time=${values.seconds}`, ...limits], crate);
  }
}
