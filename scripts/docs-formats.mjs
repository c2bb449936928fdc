// Writes docs/formats.md from the descriptors of crates/formats. The tests of that crate fail where the file is stale.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const args = ['run', '--release', '--quiet', '--locked', '-p', 'dyadic-formats', '--example', 'formats_docs'];
const { status, stdout, error } = spawnSync('cargo', args, {
  cwd: root,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
if (error !== undefined) throw error;
if (status !== 0) process.exit(status ?? 1);
writeFileSync(path.join(root, 'docs/formats.md'), stdout);
