import { doctor as examine } from '../llm/files.ts';
import { cacheDirectory } from '../models/cache.ts';
import type { Command } from './command.ts';
import { packageVersion } from './version.ts';

/** `key: value` lines, nested objects indented, lists of kernels by name. */
function lines(value: object, indent = ''): string {
  return Object.entries(value)
    .map(([key, item]) => {
      if (item === null || typeof item !== 'object') return `${indent}${key}: ${item ?? 'none'}\n`;
      if (!Array.isArray(item)) return `${indent}${key}:\n${lines(item, `${indent}  `)}`;
      if (item.every((element) => typeof element !== 'object'))
        return `${indent}${key}: ${item.join(', ')}\n`;
      return `${indent}${key}:\n${item.map(({ name }) => `${indent}  ${name}\n`).join('')}`;
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
    const { cpu, architecture, isa, isas, threads, limits, kernels } = examine();
    const report = {
      version: packageVersion(),
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      cpu,
      architecture,
      isa,
      isas,
      threads,
      limits,
      cache: cacheDirectory(),
      kernels,
    };
    if (terminal.json) await terminal.writeJson(report);
    else await terminal.write(lines(report));
    return undefined;
  },
};
