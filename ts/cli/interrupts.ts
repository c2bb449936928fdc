/** Exit code of a program that Ctrl-C ended: 128 + SIGINT. */
export const EXIT_INTERRUPTED = 130;
const EXIT_TERMINATED = 143;

/**
 * Ctrl-C: the first one stops what is under way, the next one (or the first, when nothing is) ends the program. SIGTERM stops and ends.
 */
export class Interrupts {
  #current: AbortController | undefined;
  /** The exit code that a signal asked for, once one came. */
  exitCode: number | undefined;

  constructor() {
    process.on('SIGINT', () => {
      if (this.#current === undefined || this.#current.signal.aborted) process.exit(EXIT_INTERRUPTED);
      this.#stop(EXIT_INTERRUPTED);
    });
    process.on('SIGTERM', () => {
      if (this.#current === undefined || this.#current.signal.aborted) process.exit(EXIT_TERMINATED);
      this.#stop(EXIT_TERMINATED);
    });
  }

  #stop(exitCode: number): void {
    this.exitCode = exitCode;
    this.#current?.abort();
  }

  /** Runs `body` with a signal that the first Ctrl-C fires. */
  async during<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const outer = this.#current;
    const controller = new AbortController();
    this.#current = controller;
    try {
      return await body(controller.signal);
    } finally {
      this.#current = outer;
    }
  }
}
