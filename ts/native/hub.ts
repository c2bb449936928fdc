import { aborted, DyadicError, fromNative, throwIfAborted } from '../errors.ts';
import { type OnProgress, throttled } from '../models/progress.ts';
import type { NativeEvent, NativeHub, NativePiece } from './contract.ts';
import { native } from './load.ts';

/**
 * Who receives the events of one job. Must not be reachable from, nor reach, the object that a FinalizationRegistry watches for the
 * same job: the hub holds it until the job ends.
 * @internal
 */
export interface JobHandler {
  onProgress?: (stage: string, fraction: number) => void;
  onPieces?: (pieces: NativePiece[]) => void;
  onMask?: (sample: number, ids: number[]) => void;
  onDone: (result: string, hub: NativeHub, job: number) => void;
  /** A {@link DyadicError}, or whatever a callback of the user threw. */
  onError: (error: unknown) => void;
}

// One hub for each environment (main thread or worker) owns the only thread-safe function of that environment. One for each stream would
// be released by native threads after their environment has ended, which aborts the process (3 of 85 runs of 200 ending workers).
let hub: NativeHub | undefined;
const jobs = new Map<number, JobHandler>();
let holds = 0;

function dispatch(current: NativeHub, event: NativeEvent): void {
  const handler = jobs.get(event.job);
  // A job that was forgotten, because its callback threw, may still have events under way.
  if (handler === undefined) return;
  try {
    switch (event.kind) {
      case 'progress':
        handler.onProgress?.(event.stage ?? '', event.fraction ?? 0);
        break;
      case 'pieces':
        handler.onPieces?.(event.pieces ?? []);
        break;
      case 'mask':
        handler.onMask?.(event.sample ?? 0, event.ids ?? []);
        break;
      case 'done':
        jobs.delete(event.job);
        handler.onDone(event.result ?? '', current, event.job);
        break;
      case 'error':
        jobs.delete(event.job);
        handler.onError(
          new DyadicError(
            event.error?.code ?? 'ERR_INTERNAL',
            event.error?.message ?? 'an error without a message',
          ),
        );
        break;
    }
  } catch (error) {
    failJob(event.job, handler, error);
  }
}

/** Ends a job because a callback of the user threw: its error is what the caller gets. */
function failJob(job: number, handler: JobHandler, error: unknown): void {
  jobs.delete(job);
  hub?.cancel(job);
  handler.onError(error);
}

function openHub(): NativeHub {
  if (hub === undefined) {
    const { Hub } = native();
    const created = new Hub(() => {
      for (const event of created.drain()) dispatch(created, event);
    });
    // A new hub does not keep the process alive, whatever the thread-safe function does by itself.
    created.unref();
    hub = created;
  }
  return hub;
}

/**
 * Starts a job. Its events come later, from the event loop.
 * @internal
 */
export function startJob(start: (hub: NativeHub) => number, handler: JobHandler): number {
  let job: number;
  try {
    job = start(openHub());
  } catch (error) {
    throw fromNative(error);
  }
  jobs.set(job, handler);
  return job;
}

/** @internal */
export function cancelJob(job: number): void {
  hub?.cancel(job);
}

/**
 * Keeps the event loop alive until {@link release} is called as often as this. To be called while something is awaited, and only then:
 * a program that has stopped waiting can end.
 * @internal
 */
export function hold(): void {
  if (holds++ === 0) openHub().ref();
}

/** @internal */
export function release(): void {
  if (--holds === 0) hub?.unref();
}

/**
 * Answers a `mask` request by a hook of the user, which may be asynchronous.
 * @internal
 */
export async function answerMask(
  job: number,
  sample: number,
  logits: Float32Array,
  hook: (logits: Float32Array) => void | PromiseLike<void>,
): Promise<void> {
  const handler = jobs.get(job);
  if (handler === undefined || hub === undefined) return;
  try {
    hub.readLogits(job, sample, logits);
    await hook(logits);
    // Meanwhile the job may have been cancelled.
    if (jobs.get(job) === handler) hub.writeLogits(job, sample, logits);
  } catch (error) {
    if (jobs.get(job) === handler) failJob(job, handler, error);
  }
}

/** @internal */
export interface JobOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Runs a job to its end and gives `finish` its result. The process stays alive meanwhile. An abort cancels the job and rejects once the
 * native side has let go of it.
 * @internal
 */
export function runJob<T>(
  start: (hub: NativeHub) => number,
  options: JobOptions,
  finish: (result: string, hub: NativeHub, job: number) => T,
): Promise<T> {
  const { signal } = options;
  const onProgress = options.onProgress && throttled(options.onProgress);
  return new Promise<T>((resolve, reject) => {
    throwIfAborted(signal);
    const job = startJob(start, {
      ...(onProgress === undefined
        ? {}
        : { onProgress: (stage, fraction) => onProgress({ stage, fraction }) }),
      onDone(result, current, id) {
        settle();
        try {
          resolve(finish(result, current, id));
        } catch (error) {
          reject(fromNative(error));
        }
      },
      onError(error) {
        settle();
        reject(
          error instanceof DyadicError && error.code === 'ERR_ABORTED' && signal?.aborted
            ? aborted(signal)
            : error,
        );
      },
    });
    const cancel = () => cancelJob(job);
    const settle = () => {
      signal?.removeEventListener('abort', cancel);
      release();
    };
    signal?.addEventListener('abort', cancel, { once: true });
    hold();
  });
}
