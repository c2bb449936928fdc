// Takes tensors in messages, answers with their values, and halves what it was given in place where asked.
import { parentPort } from 'node:worker_threads';
import { Tensor } from '../../dist/index.js';

parentPort?.on('message', ({ message, write }) => {
  const tensor = Tensor.fromMessage(message);
  if (write) tensor.bytes.fill(0);
  parentPort?.postMessage({ name: tensor.format.name, shape: tensor.shape, values: tensor.toFloat32() });
});
