// Compiles ts/ to dist/, and nothing else stays there: what a removed module left behind would be published.

import { rmSync } from 'node:fs';
import path from 'node:path';
import { root, run } from './lib/process.mjs';

rmSync(path.join(root, 'dist'), { recursive: true, force: true });
const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
process.exitCode = (await run(process.execPath, [tsc, '-p', 'tsconfig.build.json'])).status;
