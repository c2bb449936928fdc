/** How far long work has come. */
export interface Progress {
  /**
   * What is being done: `download`, `verify` and `unpack` while a model is fetched, `wait` while another process fetches the same one;
   * native work adds `load`, `perplexity` and `benchmark`.
   */
  stage: string;
  /** From 0 to 1 within this stage. */
  fraction: number;
  /** Bytes done and to be done, where bytes are what is counted. */
  bytes?: number;
  totalBytes?: number;
}

/** Called from the event loop, at most about 20 times a second. */
export type OnProgress = (progress: Progress) => void;

/** Shortest time between two calls of an {@link OnProgress} within one stage, in ms. */
const INTERVAL_MS = 50;

/**
 * Passes on at most one report in 50 ms of each stage, and always its last.
 * @internal
 */
export function throttled(onProgress: OnProgress): OnProgress {
  let stage: string | undefined;
  let last = Number.NEGATIVE_INFINITY;
  return (progress) => {
    const now = performance.now();
    if (progress.stage === stage && now - last < INTERVAL_MS && progress.fraction < 1) return;
    stage = progress.stage;
    last = now;
    onProgress(progress);
  };
}

/**
 * A reporter of bytes that does not call more often than people can see. The last report of a stage always comes.
 * @internal
 */
export function byteProgress(
  onProgress: OnProgress | undefined,
  stage: string,
  totalBytes: number,
): (bytes: number) => void {
  if (onProgress === undefined) return () => {};
  const report = throttled(onProgress);
  return (bytes) =>
    report({ stage, fraction: totalBytes > 0 ? Math.min(1, bytes / totalBytes) : 0, bytes, totalBytes });
}
