import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { OnProgress, Progress } from '../models/progress.ts';

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
type Style = keyof typeof STYLES;

const BAR_CELLS = 24;
/** A bar is drawn at most so often, and work of an instant has none, in ms. */
const REDRAW_MS = 60;
const INSTANT_MS = 250;
/** Where progress is not drawn over, because stderr is a file, a line is written at every so many percent. */
const PLAIN_STEP = 25;

const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);

/** A stream that may be a terminal. */
export type Output = Writable & { isTTY?: boolean; columns?: number };

/** Where a program writes: results to stdout, everything else to stderr. */
export class Terminal {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly #stdout: Output;
  readonly #stderr: Output;
  #progressShown = false;

  constructor(
    options: { json: boolean; quiet: boolean },
    stdout: Output = process.stdout,
    stderr: Output = process.stderr,
  ) {
    this.json = options.json;
    this.quiet = options.quiet;
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  get isInteractive(): boolean {
    return this.#stdout.isTTY === true;
  }

  get columns(): number {
    return this.#stdout.columns || 80;
  }

  #paint(stream: Output, style: Style, text: string): string {
    const plain = !stream.isTTY || process.env.NO_COLOR || process.env.TERM === 'dumb';
    return plain ? text : `\u001b[${STYLES[style]}m${text}\u001b[0m`;
  }

  /** Colours for {@link write}, on a terminal only. */
  paint(style: Style, text: string): string {
    return this.#paint(this.#stdout, style, text);
  }

  /** Writes to stdout, waiting when the reader is slow. */
  async write(text: string): Promise<void> {
    this.clearProgress();
    if (!this.#stdout.write(text)) await once(this.#stdout, 'drain');
  }

  /** The one document of `--json`. Typed arrays become arrays. */
  async writeJson(value: unknown): Promise<void> {
    const plain = (_key: string, item: unknown) =>
      ArrayBuffer.isView(item) && 'length' in item ? Array.from(item as Uint32Array) : item;
    await this.write(`${JSON.stringify(value, plain)}\n`);
  }

  /** A remark for people: to stderr, dimmed, and not at all with `--quiet`. */
  note(text: string): void {
    if (this.quiet) return;
    this.clearProgress();
    this.#stderr.write(`${this.#paint(this.#stderr, 'dim', text)}\n`);
  }

  error(text: string): void {
    this.clearProgress();
    this.#stderr.write(`${this.#paint(this.#stderr, 'red', 'error')}: ${text}\n`);
  }

  warn(text: string): void {
    this.clearProgress();
    this.#stderr.write(`${text}\n`);
  }

  clearProgress(): void {
    if (this.#progressShown) this.#stderr.write('\r\u001b[K');
    this.#progressShown = false;
  }

  /** A progress bar on stderr: drawn in place on a terminal, a few lines otherwise. */
  progress(): OnProgress | undefined {
    if (this.quiet) return undefined;
    let stage = '';
    let started = 0;
    let startBytes = 0;
    let step = -1;
    let drawn = Number.NEGATIVE_INFINITY;
    return (progress) => {
      const now = performance.now();
      if (progress.stage !== stage) {
        stage = progress.stage;
        started = now;
        startBytes = progress.bytes ?? 0;
        step = -1;
      }
      if (now - started < INSTANT_MS && stage !== 'wait') return;
      if (this.#stderr.isTTY) {
        if (now - drawn < REDRAW_MS) return;
        drawn = now;
        const rate = ((progress.bytes ?? 0) - startBytes) / ((now - started) / 1000);
        this.#stderr.write(`\r\u001b[K${this.#bar(progress, rate)}`);
        this.#progressShown = true;
        return;
      }
      const reached = Math.floor((progress.fraction * 100) / PLAIN_STEP);
      if (reached > step) {
        step = reached;
        this.#stderr.write(`${this.#describe(progress)}\n`);
      }
    };
  }

  #describe({ stage, fraction, bytes, totalBytes }: Progress): string {
    if (stage === 'wait') return 'waiting for another process that fetches the same model';
    const size =
      bytes === undefined || totalBytes === undefined
        ? ''
        : `  ${mebibytes(bytes)} of ${mebibytes(totalBytes)} MiB`;
    return `${stage} ${String(Math.floor(fraction * 100)).padStart(3)} %${size}`;
  }

  #bar(progress: Progress, bytesPerSecond: number): string {
    const text = this.#describe(progress);
    if (progress.stage === 'wait') return text;
    const filled = Math.round(progress.fraction * BAR_CELLS);
    const bar = '█'.repeat(filled) + this.#paint(this.#stderr, 'dim', '░'.repeat(BAR_CELLS - filled));
    const known = progress.bytes !== undefined && Number.isFinite(bytesPerSecond) && bytesPerSecond > 0;
    const line = `${bar}  ${text}${known ? `  ${mebibytes(bytesPerSecond)} MiB/s` : ''}`;
    return this.#stderr.columns && this.#stderr.columns < BAR_CELLS + 50 ? text : line;
  }
}

/** Columns of text, padded; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => String(row[i] ?? '').length)),
  );
  const line = (row: readonly (string | number)[]) =>
    row
      .map((cell, i) =>
        typeof cell === 'number' ? String(cell).padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}
