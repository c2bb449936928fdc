import { performance } from 'node:perf_hooks';
import { DyadicError } from '../errors.ts';
import { VisionTransformer } from '../vision/vision-transformer.ts';
import { type Command, usageError } from './command.ts';
import { compareNetworks, scored } from './compare-networks.ts';
import { idxLabels, namedImages } from './images.ts';
import { table } from './terminal.ts';

/** `dyadic classify`: what pictures show. */
export const classify: Command = {
  summary: 'Say what pictures show, with a network of integers',
  usage: 'IMAGE...',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    model: { value: 'MODEL', short: 'm', help: "'fashion' (in the package), or a file of integers" },
    top: { value: 'N', help: 'classes for each picture, best first (3; with --compare 1)' },
    compare: { help: 'the network of floats beside it: labels, agreement, time of each' },
    floats: { value: 'FILE', help: 'the floats that MODEL was made of (.safetensors), for --compare' },
    labels: { value: 'FILE', help: 'the correct labels, an IDX file, for --compare' },
    threads: { value: 'N', help: 'threads, of those that the process may use' },
  },
  examples: [
    ['dyadic classify shirt.png', 'the three likeliest garments'],
    ['dyadic classify *.png --top 1 --json', 'for a program'],
    ['dyadic classify FOLDER --compare', 'every picture of a folder, by integers and by floats'],
    ['dyadic classify t10k-images-idx3-ubyte --compare', 'how often they agree on a file of MNIST'],
  ],
  async run({ positionals, values, terminal, interrupts }) {
    const count = values.number('threads');
    const threads = count === undefined ? {} : { threads: count };
    const model = values.text('model') ?? 'fashion';
    const [floats, labelFile] = [values.text('floats'), values.text('labels')];
    const compare = values.has('compare');
    if (!compare && (floats ?? labelFile) !== undefined)
      throw usageError(`--${floats === undefined ? 'labels' : 'floats'} needs --compare`);
    const images = (await Promise.all(positionals.map((source) => namedImages(source)))).flat();
    const labels = labelFile === undefined ? undefined : await idxLabels(labelFile);
    if (labels !== undefined && labels.length !== images.length)
      throw new DyadicError('ERR_SHAPE', `${labelFile}: ${labels.length} labels for ${images.length} images`);
    const onProgress = terminal.progress();
    return interrupts.during(async (signal) => {
      using vit = await VisionTransformer.load(model, { ...threads, signal });
      const top = values.number('top') ?? Math.min(compare ? 1 : 3, vit.labels.length);
      const options = { top, signal, ...(onProgress === undefined ? {} : { onProgress }) };
      if (compare) {
        const other = { ...threads, signal, precision: 'float32' } as const;
        using floatVit = await VisionTransformer.load(floats ?? model, other);
        await compareNetworks(terminal, [vit, floatVit], images, labels, options);
        return undefined;
      }
      const start = performance.now();
      const results = await vit.classifyBatch(
        images.map(({ image }) => image),
        options,
      );
      const seconds = (performance.now() - start) / 1000;
      if (terminal.json) {
        await terminal.writeJson({
          model: vit.describe().name,
          images: images.map(({ name }, index) => ({ image: name, classes: results[index] ?? [] })),
          seconds,
        });
      } else {
        const rows = images.map(({ name }, index) => [name, ...(results[index] ?? []).map(scored)]);
        await terminal.write(table(rows));
      }
      return undefined;
    });
  },
};
