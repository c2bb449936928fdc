// A worker that classifies until it is ended; tells the logits of the first image.
import { parentPort, workerData } from 'node:worker_threads';
import { VisionTransformer } from '../../dist/index.js';

const vit = await VisionTransformer.load('fashion', { precision: workerData.precision });
parentPort?.postMessage(await vit.logits(workerData.image));
const many = Array(1000).fill(workerData.image);
for (;;) await vit.classifyBatch(many);
