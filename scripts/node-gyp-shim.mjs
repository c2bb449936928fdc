// Stands in for node-gyp under prebuildify: builds the addon into build/Release of the current folder, with Cargo.
//
// prebuildify says what to build for in PREBUILD_PLATFORM, PREBUILD_ARCH and PREBUILD_LIBC; node-gyp's own arguments are of no use here.
// DYADIC_GLIBC=2.17 sets the oldest glibc that the result runs on. It, and every Linux target that is not this machine's, is built by
// cargo-zigbuild, which must be installed together with zig and the target's standard library.

import { cpSync } from 'node:fs';
import path from 'node:path';
import { bringUpToDate } from './lib/build.mjs';
import { root, run } from './lib/process.mjs';

/** Rust's names of the targets. */
const TRIPLES = /** @type {Record<string, string>} */ ({
  'linux-x64-glibc': 'x86_64-unknown-linux-gnu',
  'linux-x64-musl': 'x86_64-unknown-linux-musl',
  'linux-arm64-glibc': 'aarch64-unknown-linux-gnu',
  'linux-arm64-musl': 'aarch64-unknown-linux-musl',
  'darwin-x64': 'x86_64-apple-darwin',
  'darwin-arm64': 'aarch64-apple-darwin',
  'win32-x64': 'x86_64-pc-windows-msvc',
  'win32-arm64': 'aarch64-pc-windows-msvc',
});

const {
  PREBUILD_PLATFORM: platform = process.platform,
  PREBUILD_ARCH: arch = process.arch,
  PREBUILD_LIBC: libc = 'glibc',
  DYADIC_GLIBC: glibc = '',
} = process.env;

const isLinux = platform === 'linux';
const name = isLinux ? `${platform}-${arch}-${libc}` : `${platform}-${arch}`;
const triple = TRIPLES[name];
if (!triple) {
  console.error(`no Rust target for ${name}; one of: ${Object.keys(TRIPLES).join(', ')}`);
  process.exit(1);
}

const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report.getReport());
const hostLibc = report.header.glibcVersionRuntime ? 'glibc' : 'musl';
const isHost = platform === process.platform && arch === process.arch && (!isLinux || libc === hostLibc);
const floor = isLinux && libc === 'glibc' && glibc !== '';

const destination = path.resolve('build/Release');
if (isHost && !floor) {
  // What `npm run build` makes; built anew only where it is older than its sources.
  if (!(await bringUpToDate())) process.exit(1);
  const built = path.join(root, 'build/Release');
  if (built !== destination) cpSync(built, destination, { recursive: true });
} else {
  const target = floor ? `${triple}.${glibc}` : triple;
  const napi = path.join(root, 'node_modules/@napi-rs/cli/dist/cli.js');
  const options = ['--platform', '--release', '--no-js', '--manifest-path', 'crates/node/Cargo.toml'];
  const cross = isLinux ? ['--cross-compile'] : [];
  const output = ['--output-dir', destination, '--target', target];
  process.exitCode = (await run(process.execPath, [napi, 'build', ...options, ...cross, ...output])).status;
}
