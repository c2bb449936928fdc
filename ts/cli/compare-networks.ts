import { performance } from 'node:perf_hooks';
import type { Classification, ClassifyBatchOptions } from '../vision/types.ts';
import type { VisionTransformer } from '../vision/vision-transformer.ts';
import type { NamedImage } from './images.ts';
import { type Terminal, table } from './terminal.ts';

/** How long both networks are measured together at least, in ms. */
const MEASURED = 400;

/** What a network says of all images. */
interface Answer {
  classes: Classification[][];
  /** The least time of a pass over all images, reading them included, for one of them. */
  milliseconds: number;
}

export const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

/** A class with its probability. */
export const scored = ({ label, score }: Classification): string => `${label} ${percent(score)}`;

async function timed(
  network: Pick<VisionTransformer, 'classifyBatch'>,
  images: readonly NamedImage[],
  options: ClassifyBatchOptions,
): Promise<Answer> {
  const start = performance.now();
  const classes = await network.classifyBatch(
    images.map(({ image }) => image),
    options,
  );
  return { classes, milliseconds: (performance.now() - start) / images.length };
}

const bestIndex = ({ classes }: Answer, image: number) => classes[image]?.[0]?.index;

function right(answer: Answer, labels: Uint8Array): number {
  return labels.reduce((sum, label, image) => sum + Number(bestIndex(answer, image) === label), 0);
}

/** Classifies images with a network of integers and the floats that it was made of, and says where they agree, how many are right, and how long each takes. */
export async function compareNetworks(
  terminal: Terminal,
  [integerNetwork, floatNetwork]: readonly [VisionTransformer, VisionTransformer<Float32Array>],
  images: readonly NamedImage[],
  labels: Uint8Array | undefined,
  options: ClassifyBatchOptions,
): Promise<void> {
  const start = performance.now();
  const integers = await timed(integerNetwork, images, options);
  const float32 = await timed(floatNetwork, images, options);
  const { onProgress: _, ...quiet } = options;
  // Turn by turn: a machine that is slow for a moment is slow for both.
  while (performance.now() - start < MEASURED) {
    for (const [network, answer] of [
      [integerNetwork, integers],
      [floatNetwork, float32],
    ] as const) {
      const { milliseconds } = await timed(network, images, quiet);
      answer.milliseconds = Math.min(answer.milliseconds, milliseconds);
    }
  }
  const answers = { integers, float32 };
  const of = <T>(value: (answer: Answer) => T) => ({ integers: value(integers), float32: value(float32) });
  const differs = images.map((_, image) => bestIndex(integers, image) !== bestIndex(float32, image));
  const sameLabel = differs.filter((other) => !other).length;
  const correct = labels && of((answer) => right(answer, labels));
  const milliseconds = of((answer) => answer.milliseconds);
  if (terminal.json) {
    const list = images.map(({ name }, image) => ({ image: name, ...of(({ classes }) => classes[image]) }));
    await terminal.writeJson({
      model: integerNetwork.describe().name,
      images: list,
      sameLabel,
      ...(correct === undefined ? {} : { correct }),
      milliseconds,
    });
    return;
  }
  // Of a file of many images only those that are of interest.
  const listed = images.flatMap(({ name, image }, index) =>
    typeof image === 'string' || differs[index]
      ? [
          [
            name,
            ...Object.values(answers).map(({ classes }) => (classes[index] ?? []).map(scored).join(', ')),
            differs[index] ? 'differs' : '',
          ],
        ]
      : [],
  );
  const row = (
    name: string,
    values: { integers: number; float32: number },
    show: (value: number) => string,
  ) => [name, show(values.integers), show(values.float32)];
  const ratio = milliseconds.float32 / milliseconds.integers;
  const [head = '', ...lines] = table([
    ['', 'integers', 'float32'],
    ...listed,
    ...(correct === undefined ? [] : [row('correct', correct, (count) => percent(count / images.length))]),
    [
      ...row('time an image', milliseconds, (time) => `${time.toFixed(2)} ms`),
      `${ratio.toFixed(1)} times as fast`,
    ],
    ['same label', `${sameLabel} of ${images.length}`],
  ]).split('\n');
  await terminal.write(`${terminal.paint('bold', head)}\n${lines.join('\n')}`);
}
