// Runs every fuzz target of every crate for a bounded time: `node scripts/fuzz.mjs [--seconds 30]`. Needs cargo-fuzz.

import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root, run } from './lib/process.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '30' } } });

for (const crate of readdirSync(path.join(root, 'crates'))) {
  const targets = path.join(root, 'crates', crate, 'fuzz/fuzz_targets');
  if (!existsSync(targets)) continue;
  for (const file of readdirSync(targets)) {
    const target = path.basename(file, '.rs');
    console.log(`== ${crate}: ${target}, ${values.seconds} s`);
    const limits = ['--', `-max_total_time=${values.seconds}`, '-rss_limit_mb=2048', '-timeout=10'];
    const { status } = await run('cargo', ['fuzz', 'run', target, ...limits], {
      cwd: path.join(root, 'crates', crate),
      // libFuzzer's instrumentation is unstable, and the compiler of this project is not a nightly.
      env: { RUSTC_BOOTSTRAP: '1' },
    });
    if (status !== 0) process.exitCode = 1;
  }
}
