import { doctor as examine } from '../llm/files.ts';
import { cacheDirectory } from '../models/cache.ts';
import type { Command } from './command.ts';
import { packageVersion } from './version.ts';

function lines(value: object, indent = ''): string {
  return Object.entries(value)
    .map(([key, item]) => {
      if (item === null || typeof item !== 'object') return `${indent}${key}: ${item}\n`;
      if (!Array.isArray(item)) return `${indent}${key}:\n${lines(item, `${indent}  `)}`;
      if (item.every((element) => typeof element !== 'object'))
        return `${indent}${key}: ${item.join(', ')}\n`;
      return `${indent}${key}:\n${item.map((element) => `${indent}  ${JSON.stringify(element)}\n`).join('')}`;
    })
    .join('');
}

/** `dyadic doctor`: what dyadic sees of this machine. */
export const doctor: Command = {
  summary: 'Show what dyadic finds on this machine: CPU, instruction sets, kernels, threads',
  usage: '',
  positionals: [0, 0],
  flags: {},
  examples: [['dyadic doctor --json', 'for a bug report']],
  async run({ terminal }) {
    const report = {
      ...examine(),
      version: packageVersion(),
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      cache: cacheDirectory(),
    };
    if (terminal.json) await terminal.writeJson(report);
    else await terminal.write(lines(report));
    return undefined;
  },
};
