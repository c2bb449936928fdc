import { aborted, DyadicError } from '../errors.ts';
import type { NativeHub } from '../native/contract.ts';
import { answerMask, cancelJob, hold, release, startJob } from '../native/hub.ts';
import type { Generation, MaskLogits, Piece, TokenLogprobs } from './types.ts';

/** @internal */
export interface StreamStart {
  start: (hub: NativeHub) => number;
  /** Makes the result of the JSON of `done` and of the log-probabilities of the pieces, by sample. */
  finish: (result: string, logprobs: readonly (readonly TokenLogprobs[])[]) => Generation;
  signal: AbortSignal | undefined;
  mask: { hook: MaskLogits; vocabularySize: number } | undefined;
  /** Called once when the generation has ended, however it did, before anyone who waits is told. */
  onEnd?: ((end: StreamEnd) => void) | undefined;
}

/** How a generation ended, and the text of its first answer so far. @internal */
export interface StreamEnd {
  text: string;
  error?: unknown;
}

type Outcome = { result: Generation } | { error: unknown };

interface Waiter {
  resolve: (next: IteratorResult<Piece, undefined>) => void;
  reject: (error: unknown) => void;
  /** Whoever waits need not hold the stream; without this it could be taken for abandoned meanwhile. */
  stream: TextStream;
}

/**
 * The half of a stream that the hub knows. It lives until the job ends, whether or not anyone still holds the {@link TextStream}.
 */
class Channel {
  readonly job: number;
  readonly #from: StreamStart;
  readonly #pieces: Piece[] = [];
  readonly #logprobs: TokenLogprobs[][] = [];
  readonly #waiters: Waiter[] = [];
  readonly #endWaiters: { resolve: () => void; stream: TextStream }[] = [];
  #outcome: Outcome | undefined;
  #text = '';
  #cancelled = false;
  /** Nothing more is given to readers: the iterator was closed, or has thrown. */
  #closed = false;

  constructor(from: StreamStart) {
    this.#from = from;
    const { mask, signal } = from;
    this.job = startJob(from.start, {
      onPieces: (pieces) => {
        for (const { sample, id, text, logprob, top } of pieces) {
          const measured = logprob === undefined ? undefined : { logprob, ...(top?.length ? { top } : {}) };
          if (measured !== undefined) {
            const ofSample = this.#logprobs[sample] ?? [];
            ofSample.push({ id, ...measured });
            this.#logprobs[sample] = ofSample;
          }
          this.#push({ text, id, sample, ...measured });
        }
      },
      ...(mask === undefined
        ? {}
        : {
            onMask: (sample, ids) => {
              const logits = new Float32Array(mask.vocabularySize);
              // Its errors end the job, and with it this stream.
              void answerMask(this.job, sample, logits, (values) => mask.hook(values, Uint32Array.from(ids)));
            },
          }),
      onDone: (result) => {
        try {
          this.#end({ result: from.finish(result, this.#logprobs) });
        } catch (error) {
          this.#end({ error });
        }
      },
      onError: (error) => {
        const byUser = error instanceof DyadicError && error.code === 'ERR_ABORTED';
        this.#end({ error: byUser ? aborted(signal) : error });
      },
    });
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => this.cancel();

  #push(piece: Piece): void {
    if (this.#cancelled) return;
    if (piece.sample === 0) this.#text += piece.text;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#pieces.push(piece);
    else {
      release();
      waiter.resolve({ done: false, value: piece });
    }
  }

  #end(outcome: Outcome): void {
    this.#outcome = outcome;
    this.#from.signal?.removeEventListener('abort', this.#onAbort);
    this.#from.onEnd?.({ text: this.#text, ...('error' in outcome ? { error: outcome.error } : {}) });
    for (const waiter of this.#waiters.splice(0)) {
      release();
      if ('error' in outcome && !this.#closed) {
        // The error belongs to the first who waits; an iterator that has thrown is finished for the others.
        this.#closed = true;
        waiter.reject(outcome.error);
      } else waiter.resolve({ done: true, value: undefined });
    }
    for (const waiter of this.#endWaiters.splice(0)) waiter.resolve();
  }

  /** Stops the generation; pieces that were not read yet are dropped. */
  cancel(): void {
    this.#cancelled = true;
    const unread = this.#pieces.splice(0).filter(({ sample }) => sample === 0);
    this.#text = this.#text.slice(
      0,
      this.#text.length - unread.reduce((length, { text }) => length + text.length, 0),
    );
    if (this.#outcome === undefined) cancelJob(this.job);
  }

  next(stream: TextStream): Promise<IteratorResult<Piece, undefined>> {
    const piece = this.#pieces.shift();
    if (piece !== undefined) return Promise.resolve({ done: false, value: piece });
    if (this.#outcome === undefined && !this.#closed) {
      return new Promise((resolve, reject) => {
        hold();
        this.#waiters.push({ resolve, reject, stream });
      });
    }
    if (this.#outcome !== undefined && 'error' in this.#outcome && !this.#closed) {
      this.#closed = true;
      return Promise.reject(this.#outcome.error);
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Resolves once the native side has let go of the sequence. */
  async ended(stream: TextStream): Promise<Outcome> {
    if (this.#outcome === undefined) {
      hold();
      try {
        await new Promise<void>((resolve) => this.#endWaiters.push({ resolve, stream }));
      } finally {
        release();
      }
    }
    return this.#outcome ?? { error: aborted(undefined) };
  }

  async close(stream: TextStream): Promise<void> {
    this.#closed = true;
    this.cancel();
    await this.ended(stream);
  }
}

// A stream that nobody can read any more stops its generation. The registry holds the job's number only.
const abandoned = new FinalizationRegistry<number>(cancelJob);

/**
 * An answer on its way: an async iterator over its pieces that also knows the outcome. The generation runs from the moment it is made,
 * whether or not it is read. Leaving a `for await` loop by `break`, `return` or an exception stops it and frees its sequence; so does
 * letting the last reference go.
 *
 * @example
 * ```ts
 * const stream = model.generate('Once upon a time', { maxTokens: 64 });
 * for await (const piece of stream) process.stdout.write(piece.text);
 * const { usage, timings } = await stream.result();
 * ```
 */
export class TextStream implements AsyncIterableIterator<Piece, undefined, void> {
  readonly #channel: Channel;

  /** @internal */
  constructor(from: StreamStart) {
    this.#channel = new Channel(from);
    abandoned.register(this, this.#channel.job, this);
  }

  /**
   * The next piece. Rejects once with the error that ended the generation: `ERR_ABORTED`, `ERR_DISPOSED`, `ERR_CONTEXT_LENGTH` or any
   * other of the engine; after that, and after the end, it gives `done`.
   */
  next(): Promise<IteratorResult<Piece, undefined>> {
    return this.#channel.next(this);
  }

  /** Stops the generation; resolves when its sequence is free. What `for await` calls when a loop is left. */
  async return(): Promise<IteratorResult<Piece, undefined>> {
    abandoned.unregister(this);
    await this.#channel.close(this);
    return { done: true, value: undefined };
  }

  /**
   * The outcome, once there is one. Reading the stream is not needed for it.
   *
   * @throws DyadicError the error that ended the generation; `ERR_ABORTED` when the stream was closed before its end.
   */
  async result(): Promise<Generation> {
    const outcome = await this.#channel.ended(this);
    if ('error' in outcome) throw outcome.error;
    return outcome.result;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
