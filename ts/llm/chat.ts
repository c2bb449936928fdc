import { codeOf, DyadicError } from '../errors.ts';
import { choiceOption, openOptions, optionError, stringOption } from '../options.ts';
import { type ReadGenerateOptions, readGenerateOptions, readMessages } from './request.ts';
import type { StreamEnd, TextStream } from './stream.ts';
import type { GenerateOptions, Message } from './types.ts';

/** Tokens that are kept free for an answer without `maxTokens` when old turns are dropped; at most a quarter of the context. */
const DEFAULT_ANSWER_TOKENS = 512;

/** Options of {@link LanguageModel.chat}. */
export interface ChatOptions {
  /** The system message. */
  system?: string;
  /** Turns that came before; they begin with a message of the user. */
  messages?: readonly Message[];
  /**
   * What happens when the conversation does not fit into the context: `error` (default) throws `ERR_CONTEXT_LENGTH`, `dropOldest` takes
   * the oldest turns out of {@link Chat.messages}, never the system message nor the last question.
   */
  contextOverflow?: 'error' | 'dropOldest';
}

/** What a chat needs of its model. @internal */
export interface ChatModel {
  contextLength: number;
  encode: (messages: readonly Message[]) => Uint32Array;
  start: (
    ids: Uint32Array,
    options: ReadGenerateOptions,
    session: number,
    onEnd: (end: StreamEnd) => void,
  ) => TextStream;
  openSession: () => number;
  closeSession: (session: number) => void;
}

interface OpenSession {
  model: ChatModel;
  session: number;
}

function close({ model, session }: OpenSession): void {
  try {
    model.closeSession(session);
  } catch (error) {
    // The sessions of a disposed model went with it.
    if (codeOf(error) !== 'ERR_DISPOSED') throw error;
  }
}

const forgotten = new FinalizationRegistry<OpenSession>(close);

/**
 * A conversation. Its KV cache stays between turns, so that each turn costs the new tokens only.
 *
 * @example
 * ```ts
 * using chat = model.chat({ system: 'You answer in one sentence.' });
 * for await (const piece of chat.send('What is a dyadic rational?')) process.stdout.write(piece.text);
 * for await (const piece of chat.send('Give an example.')) process.stdout.write(piece.text);
 * ```
 */
export class Chat implements Disposable {
  readonly #model: ChatModel;
  readonly #system: readonly Message[];
  readonly #dropOldest: boolean;
  #turns: Message[];
  #open: OpenSession | undefined;
  #busy = false;

  /** @internal */
  constructor(model: ChatModel, options: unknown) {
    const raw = openOptions(options, 'chat', ['system', 'messages', 'contextOverflow']);
    const system = stringOption(raw, 'system');
    const { messages = [] } = raw;
    if (!Array.isArray(messages)) throw optionError('messages', 'an array of messages', messages);
    this.#model = model;
    this.#system = system === undefined ? [] : [{ role: 'system', content: system }];
    this.#turns = readMessages(messages);
    this.#dropOldest = choiceOption(raw, 'contextOverflow', ['error', 'dropOldest']) === 'dropOldest';
    this.#open = { model, session: model.openSession() };
    forgotten.register(this, this.#open, this);
  }

  /** The conversation so far, the system message first: a copy. The answer under way is not in it. */
  get messages(): Message[] {
    return [...this.#system, ...this.#turns].map((message) => ({ ...message }));
  }

  /** Ids of the conversation, with as many old turns dropped as allowed and needed. */
  #fit(question: Message, maxTokens: number | undefined): { ids: Uint32Array; turns: Message[] } {
    const { contextLength, encode } = this.#model;
    const answer = Math.min(maxTokens ?? DEFAULT_ANSWER_TOKENS, contextLength >> 2);
    let turns = [...this.#turns, question];
    for (;;) {
      const ids = encode([...this.#system, ...turns]);
      if (!this.#dropOldest || ids.length + answer <= contextLength) return { ids, turns };
      // A turn is a message of the user with what follows it.
      const next = turns.findIndex(({ role }, i) => i > 0 && role === 'user');
      if (next === -1) return { ids, turns };
      turns = turns.slice(next);
    }
  }

  /**
   * Says something and streams the answer. When the answer has ended, or was stopped by `signal` or by leaving the loop after it had
   * begun, question and answer are part of {@link messages}. After an error neither is.
   *
   * @param options those of `generate`, with one answer only.
   * @throws DyadicError at once: `ERR_BUSY` while an answer is under way, `ERR_OPTION`, `ERR_DISPOSED`; from the iterator those of
   * `generate`.
   */
  send(content: string, options: Omit<GenerateOptions, 'samples'> = {}): TextStream {
    if (this.#open === undefined) throw new DyadicError('ERR_DISPOSED', 'the chat was disposed');
    if (this.#busy)
      throw new DyadicError(
        'ERR_BUSY',
        'the chat is still answering; read that answer to its end or stop it first',
      );
    if (typeof content !== 'string') throw optionError('content', 'a string', content);
    const read = readGenerateOptions(options, 'chat.send');
    if ((read.native.samples ?? 1) !== 1) throw optionError('samples', '1 in a chat', read.native.samples);
    const { ids, turns } = this.#fit({ role: 'user', content }, read.native.maxTokens);
    this.#busy = true;
    try {
      return this.#model.start(ids, read, this.#open.session, ({ text, error }) => {
        this.#busy = false;
        const stopped = codeOf(error) === 'ERR_ABORTED' && text !== '';
        if (error === undefined || stopped) this.#turns = [...turns, { role: 'assistant', content: text }];
      });
    } catch (error) {
      this.#busy = false;
      throw error;
    }
  }

  /** Forgets all turns but not the system message. */
  reset(): void {
    if (this.#busy)
      throw new DyadicError(
        'ERR_BUSY',
        'the chat is still answering; read that answer to its end or stop it first',
      );
    this.#turns = [];
  }

  /** Frees the KV cache. A second call does nothing. */
  dispose(): void {
    if (this.#open === undefined) return;
    forgotten.unregister(this);
    close(this.#open);
    this.#open = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
