// How much a process grows by: for programs that run with --expose-gc.
import { setTimeout as delay } from 'node:timers/promises';

async function memory() {
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.();
    await delay(20);
  }
  return process.memoryUsage.rss() / 2 ** 20;
}

/**
 * How many MiB the process grew by in the second half of twice as many rounds.
 *
 * @param {number} times
 * @param {() => Promise<void>} once
 */
export async function growth(times, once) {
  // Allocators and the collector need about as long to settle.
  for (let i = 0; i < times; i++) await once();
  const before = await memory();
  for (let i = 0; i < times; i++) await once();
  return Math.round(((await memory()) - before) * 10) / 10;
}
