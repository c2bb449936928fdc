// `npm run bench` runs all benchmarks, `npm run bench -- event-loop load` those named.

import { readdirSync } from 'node:fs';
import path from 'node:path';
import { record } from './lib/results.ts';

const suffix = '.bench.ts';
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(suffix))
  .map((file) => file.slice(0, -suffix.length));
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}; there are: ${names.join(', ')}`);
  process.exit(1);
}
for (const name of asked.length > 0 ? asked : names) {
  const { default: measure } = await import(path.join(import.meta.dirname, name + suffix));
  await record(name, measure);
}
