import { cacheDirectory, mebibytes } from '../models/cache.ts';
import { listModels } from '../models/resolve.ts';
import type { Command } from './command.ts';
import { table } from './terminal.ts';

/** `dyadic list`: what is known and what is here. */
export const list: Command = {
  summary: 'List the known models and those in the cache',
  usage: '',
  positionals: [0, 0],
  flags: {},
  examples: [['dyadic list', 'names, sizes, and whether they are here']],
  async run({ terminal }) {
    const models = await listModels();
    const cache = cacheDirectory();
    if (terminal.json) {
      await terminal.writeJson({ cache, models });
      return undefined;
    }
    const rows = models.map(({ name, bytes, cached, description, licence }) => [
      name,
      mebibytes(bytes),
      cached ? 'here' : `dyadic pull ${name}`,
      [description, licence].filter((text) => text !== undefined).join('; '),
    ]);
    await terminal.write(table(rows));
    terminal.note(`cache: ${cache}`);
    return undefined;
  },
};
