// The vision transformer of integers against our own run of the floats that it was made of, and against onnxruntime-node running the same network in f32
// and in int8 (QDQ), interleaved. See README.md.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { type PixelImage, VisionTransformer } from '../../ts/index.ts';
import { root } from '../lib/machine.ts';
import { type Row, record } from '../lib/results.ts';
import { summarize } from '../lib/statistics.ts';

const SIDE = 28;
const BATCHES = [1, 32];
/** Milliseconds of a turn, at least. */
const TURN = 60;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'fashion' },
    floats: { type: 'string', default: 'fashion' },
    onnx: { type: 'string', default: path.join(root, 'build/onnx') },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '7' },
  },
});

/** Images that show nothing: what a network does takes as long on any. */
const images: PixelImage[] = Array.from({ length: Math.max(...BATCHES) }, (_, k) => ({
  data: Uint8Array.from({ length: SIDE * SIDE }, (_, i) => (i * 37 + k * 101) % 256),
  width: SIDE,
  height: SIDE,
  channels: 1,
}));

/** Images a second of each call, turn by turn. */
async function rates(batch: number, calls: readonly (() => Promise<unknown>)[]): Promise<number[][]> {
  const found = calls.map((): number[] => []);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [k, call] of calls.entries()) {
      // Threads that still wait for the other side's work would take a core, and the first calls wake the threads of this side.
      await delay(100);
      for (let i = 0; i < 3; i++) await call();
      const started = performance.now();
      let done = 0;
      do {
        await call();
        done += batch;
      } while (performance.now() - started < TURN);
      found[k]?.push((done * 1000) / (performance.now() - started));
    }
  }
  return found;
}

async function compare(threads: number): Promise<Row[]> {
  using vit = await VisionTransformer.load(values.model, { threads });
  using floats = await VisionTransformer.load(values.floats, { threads, precision: 'float32' });
  const sessions = await Promise.all(
    ['vit-f32.onnx', 'vit-int8.onnx'].map((file) =>
      ort.InferenceSession.create(readFileSync(path.join(values.onnx, file)), {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        executionMode: 'sequential',
      }),
    ),
  );
  const rows: Row[] = [];
  for (const batch of BATCHES) {
    const few = images.slice(0, batch);
    const pixels = Float32Array.from(
      few.flatMap(({ data }) => Array.from(data, (value) => (value - 128) / 128)),
    );
    const feeds = { pixels: new ort.Tensor('float32', pixels, [batch, 1, SIDE, SIDE]) };
    const found = await rates(batch, [
      () => vit.classifyBatch(few),
      () => floats.classifyBatch(few),
      ...sessions.map((session) => () => session.run(feeds)),
    ]);
    const [ours, oursF32, f32, int8] = found.map(summarize);
    if (ours === undefined || oursF32 === undefined || f32 === undefined || int8 === undefined)
      throw new Error('four networks');
    const ratio = (their: typeof ours) => ({
      median: Number((ours.median / their.median).toFixed(2)),
      best: Number((ours.max / their.max).toFixed(2)),
    });
    rows.push({
      batch,
      threads,
      oursImagesPerSecond: ours,
      oursF32ImagesPerSecond: oursF32,
      f32ImagesPerSecond: f32,
      int8ImagesPerSecond: int8,
      ratioToOursF32: ratio(oursF32),
      ratioToF32: ratio(f32),
      ratioToInt8: ratio(int8),
    });
  }
  for (const session of sessions) await session.release();
  return rows;
}

await record(`onnxruntime-node ${ort.env.versions.node}, vision transformer`, async () => {
  const rows: Row[] = [];
  for (const threads of values.threads.split(',').map(Number)) rows.push(...(await compare(threads)));
  return rows;
});
process.exit(0);
