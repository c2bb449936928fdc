import type {
  NativeBinding,
  NativeEvent,
  NativeGenerateRequest,
  NativeHub,
  NativeLoadOptions,
  NativeModel,
} from '../../ts/native/contract.ts';

const coded = (code: string) => Object.assign(new Error(`native ${code}`), { code });

/** A stand-in for the native library that does what the test says, event by event, so that every order of events can be tried. */
export class FakeBinding implements Pick<NativeBinding, 'Hub' | 'inspect' | 'doctor' | 'loadModel'> {
  readonly requests: NativeGenerateRequest[] = [];
  readonly cancelled: number[] = [];
  readonly written: { job: number; sample: number; logits: number[] }[] = [];
  readonly closedSessions: number[] = [];
  loads: NativeLoadOptions[] = [];
  /** Whether the hub keeps the process alive. */
  referenced = true;
  /** Whether a cancelled job answers by itself, as the real one does. */
  answersCancel = true;
  lastJob = 0;
  addBos = false;
  vocabularySize = 100;
  contextLength = 64;
  #inbox: NativeEvent[] = [];
  #wake = () => {};
  #sessions = 0;

  readonly Hub: NativeBinding['Hub'];
  inspect = (path: string) => JSON.stringify({ architecture: 'fake', path });
  doctor = () => JSON.stringify({ version: '0', cpu: 'fake', isa: 'scalar' });

  constructor() {
    const binding = this;
    this.Hub = class implements NativeHub {
      constructor(wake: () => void) {
        binding.#wake = wake;
      }
      drain(): NativeEvent[] {
        return binding.#inbox.splice(0);
      }
      ref(): void {
        binding.referenced = true;
      }
      unref(): void {
        binding.referenced = false;
      }
      cancel(job: number): void {
        binding.cancelled.push(job);
        if (binding.answersCancel) setImmediate(() => binding.fail(job, 'ERR_ABORTED'));
      }
      takeModel(): NativeModel {
        return binding.makeModel();
      }
      takeFloats(_job: number, out: Float32Array): void {
        out.fill(0.5);
      }
      takeBytes(_job: number, out: Uint8Array): void {
        out.fill(7);
      }
      readLogits(_job: number, _sample: number, out: Float32Array): void {
        out.fill(1);
      }
      writeLogits(job: number, sample: number, logits: Float32Array): void {
        binding.written.push({ job, sample, logits: [...logits] });
      }
    };
  }

  emit(...events: NativeEvent[]): void {
    this.#inbox.push(...events);
    this.#wake();
  }

  pieces(job: number, ...texts: string[]): void {
    this.emit({ job, kind: 'pieces', pieces: texts.map((text, id) => ({ sample: 0, id, text })) });
  }

  done(job: number, text: string): void {
    const samples = [{ text, ids: [1, 2], finishReason: 'stop' }];
    this.emit({
      job,
      kind: 'done',
      result: JSON.stringify({ samples, usage: { promptTokens: 1 }, timings: { promptMs: 1 } }),
    });
  }

  fail(job: number, code: string): void {
    this.emit({ job, kind: 'error', error: { code, message: `native ${code}` } });
  }

  loadModel = (_hub: NativeHub, options: NativeLoadOptions): number => {
    this.loads.push(options);
    const job = ++this.lastJob;
    setImmediate(() =>
      this.emit({ job, kind: 'progress', stage: 'load', fraction: 0.5 }, { job, kind: 'done', result: '{}' }),
    );
    return job;
  };

  makeModel(): NativeModel {
    let disposed = false;
    const open = () => {
      if (disposed) throw coded('ERR_DISPOSED');
      return ++this.lastJob;
    };
    return {
      info: () => {
        const { addBos, vocabularySize, contextLength } = this;
        return JSON.stringify({ architecture: 'fake', addBos, bos: 1, vocabularySize, contextLength });
      },
      // One token a character, '<' for special ones.
      tokenize: (text, special) =>
        [...text].map((c) => (special && c === '<' ? 2 : (c.codePointAt(0) ?? 0) % 90) + 3),
      detokenize: (ids) => [...ids].join(' '),
      renderChat: (json, prompt) =>
        JSON.parse(json)
          .map((m: { role: string; content: string }) => `${m.role[0]}${m.content}`)
          .join('|') + (prompt ? '>' : ''),
      openSession: () => ++this.#sessions,
      closeSession: (session) => {
        if (disposed) throw coded('ERR_DISPOSED');
        this.closedSessions.push(session);
      },
      generate: (_hub, request) => {
        this.requests.push(request);
        return open();
      },
      logits: () => open(),
      perplexity: () => open(),
      benchmark: () => open(),
      dispose: () => {
        disposed = true;
      },
    };
  }
}
