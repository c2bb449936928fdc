// Fetches the 70,000 images of Fashion-MNIST (MIT) out of their Debian package: `node scripts/fetch-fashion-mnist.mjs [--out FOLDER]`,
// by default ~/.cache/dyadic/fashion-mnist. Needs apt-get and dpkg; nothing is installed. Elsewhere, put the four IDX files there.

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { run } from './lib/process.mjs';

const PACKAGE = 'dataset-fashion-mnist';
const FOLDER_IN_PACKAGE = 'usr/share/datasets/fashion-mnist';

/** The SHA-256 of each file, unpacked. */
const FILES = {
  'train-images-idx3-ubyte': 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
  'train-labels-idx1-ubyte': 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
  't10k-images-idx3-ubyte': '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
  't10k-labels-idx1-ubyte': '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
};

/** @param {Uint8Array} bytes */
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/**
 * Runs a program of Debian.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} cwd
 */
async function debian(command, args, cwd) {
  const { status, output } = await run(command, args, { cwd, quiet: true });
  if (status === 127) {
    throw new Error(`there is no ${command} here: Fashion-MNIST comes from the Debian package ${PACKAGE}.
On another system put ${Object.keys(FILES).join(', ')} into the folder`);
  }
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${output}`);
}

const fallback = path.join(homedir(), '.cache/dyadic/fashion-mnist');
const { values } = parseArgs({ options: { out: { type: 'string', default: fallback } } });
const out = path.resolve(values.out);

/** @param {string} name */
const isThere = (name) =>
  existsSync(path.join(out, name)) &&
  sha256(readFileSync(path.join(out, name))) === FILES[/** @type {keyof FILES} */ (name)];

/** Fetches the package and writes the files whose checksum is right. */
async function fetchAll() {
  const temporary = mkdtempSync(path.join(tmpdir(), 'fashion-mnist-'));
  try {
    await debian('apt-get', ['download', PACKAGE], temporary);
    const archive = readdirSync(temporary).find((file) => file.endsWith('.deb'));
    if (!archive) throw new Error(`apt-get downloaded no package ${PACKAGE}`);
    await debian('dpkg', ['-x', archive, '.'], temporary);
    mkdirSync(out, { recursive: true });
    for (const [name, expected] of Object.entries(FILES)) {
      const bytes = gunzipSync(readFileSync(path.join(temporary, FOLDER_IN_PACKAGE, `${name}.gz`)));
      const found = sha256(bytes);
      if (found !== expected) throw new Error(`${name}: the SHA-256 is ${found}, expected ${expected}`);
      writeFileSync(path.join(out, `${name}.part`), bytes);
      renameSync(path.join(out, `${name}.part`), path.join(out, name));
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

try {
  if (!Object.keys(FILES).every(isThere)) await fetchAll();
  console.log(out);
} catch (error) {
  console.error(`fetch-fashion-mnist: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
