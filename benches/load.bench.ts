// Time to load a model that is in the page cache, and the memory that it then takes, each in a process of its own.

import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { resolveModel } from '../ts/index.ts';
import type { Row } from './lib/results.ts';
import { summarize } from './lib/statistics.ts';

const REPETITIONS = 7;

/** What `load-child.ts` prints. Times in milliseconds, memory in bytes, over that of Node alone. */
interface Sample {
  loadMs: number;
  firstTokenMs: number;
  loadedBytes: number;
  generatedBytes: number;
  kvBytes: number;
}

export default async function load(): Promise<Row[]> {
  const model = await resolveModel('smollm2');
  const fileBytes = statSync(model).size;
  const child = fileURLToPath(new URL('lib/load-child.ts', import.meta.url));
  const samples: Sample[] = [];
  for (let i = 0; i <= REPETITIONS; i++) {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', child, model]);
    // The first brings the file into the page cache.
    if (i > 0) samples.push(JSON.parse(stdout));
  }
  const mega = (bytes: (sample: Sample) => number) => summarize(samples.map((sample) => bytes(sample) / 1e6));
  return [
    { what: 'load, ms', ...summarize(samples.map((sample) => sample.loadMs)) },
    { what: 'from load to first token, ms', ...summarize(samples.map((sample) => sample.firstTokenMs)) },
    { what: 'resident after load, MB', ...mega((sample) => sample.loadedBytes) },
    { what: 'resident after 64 tokens, MB', ...mega((sample) => sample.generatedBytes) },
    {
      what: 'of that beyond file and KV cache, MB',
      ...mega((sample) => sample.generatedBytes - fileBytes - sample.kvBytes),
    },
  ];
}
