import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, expect, test, vi } from 'vitest';
import { type Chat, DyadicError, LanguageModel, type Piece } from '../../ts/index.ts';
import { FakeBinding } from '../support/fake-binding.ts';

// The order of events between engine, hub and reader, each by itself; what the real engine does is in the other files.
const state = vi.hoisted(() => ({ binding: undefined as unknown }));
vi.mock('../../ts/native/load.ts', () => ({ native: () => state.binding }));

// One hub for the life of the module, as in a real environment.
const fake = new FakeBinding();
state.binding = fake;
let model: LanguageModel;

async function read(stream: AsyncIterable<Piece>): Promise<string> {
  let text = '';
  for await (const piece of stream) text += piece.text;
  return text;
}

beforeEach(async () => {
  Object.assign(fake, { answersCancel: true, addBos: false, contextLength: 64 });
  fake.cancelled.length = 0;
  model = await LanguageModel.load(import.meta.filename);
  fake.requests.length = 0;
});

test('loading tells its progress and holds the process while it lasts', async () => {
  const seen: unknown[] = [];
  const load = LanguageModel.load(import.meta.filename, {
    threads: 2,
    kvType: 'f32',
    onProgress: (p) => seen.push(p),
  });
  await turn();
  await load;
  expect(fake.loads.at(-1)).toEqual({ path: import.meta.filename, threads: 2, kvType: 'f32' });
  expect(seen).toEqual([{ stage: 'load', fraction: 0.5 }]);
  expect(fake.referenced).toBe(false);
});

test('pieces come in order, read before or after they are there', async () => {
  const stream = model.generate('ab');
  const job = fake.lastJob;
  const first = stream.next();
  expect(fake.referenced).toBe(true);
  fake.pieces(job, 'x', 'y');
  expect(await first).toEqual({ done: false, value: { text: 'x', id: 0, sample: 0 } });
  expect(fake.referenced).toBe(false);
  fake.pieces(job, 'z');
  fake.done(job, 'xyz');
  expect(await read(stream)).toBe('yz');
  expect(await stream.next()).toEqual({ done: true, value: undefined });
  const result = await stream.result();
  expect(result).toMatchObject({ text: 'xyz', finishReason: 'stop', seed: 0, tokens: Uint32Array.of(1, 2) });
  expect(result.promptTokens).toEqual(Uint32Array.of(10, 11));
  expect(fake.referenced).toBe(false);
});

test('several calls of next may wait at once', async () => {
  const stream = model.generate('a');
  const waiting = [stream.next(), stream.next(), stream.next()];
  fake.pieces(fake.lastJob, 'x', 'y');
  fake.done(fake.lastJob, 'xy');
  expect((await Promise.all(waiting)).map(({ value }) => value?.text)).toEqual(['x', 'y', undefined]);
  expect(fake.referenced).toBe(false);
});

test('break stops the generation and waits until its sequence is free', async () => {
  const stream = model.generate('a');
  const job = fake.lastJob;
  fake.answersCancel = false;
  fake.pieces(job, 'x', 'y');
  let left = false;
  const loop = (async () => {
    for await (const piece of stream) if (piece.text === 'x') break;
    left = true;
  })();
  await turn();
  expect([fake.cancelled, left, fake.referenced]).toEqual([[job], false, true]);
  fake.fail(job, 'ERR_ABORTED');
  await loop;
  expect(fake.referenced).toBe(false);
  expect(await stream.next()).toEqual({ done: true, value: undefined });
  await expect(stream.result()).rejects.toMatchObject({ code: 'ERR_ABORTED' });
});

test('a signal drops what was not read and rejects with its reason', async () => {
  const controller = new AbortController();
  const stream = model.generate('a', { signal: controller.signal });
  fake.pieces(fake.lastJob, 'x', 'y');
  expect((await stream.next()).value?.text).toBe('x');
  controller.abort('stop it');
  fake.pieces(fake.lastJob, 'late');
  await expect(stream.next()).rejects.toMatchObject({
    code: 'ERR_ABORTED',
    name: 'AbortError',
    cause: 'stop it',
  });
  expect(await stream.next()).toEqual({ done: true, value: undefined });
  expect(fake.cancelled).toEqual([fake.lastJob]);
});

test('a signal that has fired starts nothing', async () => {
  const signal = AbortSignal.abort('early');
  const before = fake.lastJob;
  expect(() => model.generate('a', { signal })).toThrow(
    expect.objectContaining({ code: 'ERR_ABORTED', cause: 'early' }),
  );
  await expect(model.generateText('a', { signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  await expect(model.logits([1], { signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  await expect(model.perplexity('x'.repeat(64), { contextLength: 8, signal })).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  });
  await expect(LanguageModel.load(import.meta.filename, { signal })).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  });
  expect(fake.lastJob).toBe(before);
});

test('an error of the engine is thrown once, after the pieces that came before it', async () => {
  const stream = model.generate('a');
  fake.pieces(fake.lastJob, 'x');
  fake.fail(fake.lastJob, 'ERR_CONTEXT_LENGTH');
  expect((await stream.next()).value?.text).toBe('x');
  const error = await stream.next().catch((thrown) => thrown);
  expect(error).toBeInstanceOf(DyadicError);
  expect(error).toMatchObject({ code: 'ERR_CONTEXT_LENGTH', name: 'DyadicError' });
  expect((await stream.next()).done).toBe(true);
});

test('a result that nobody waits for does not become an unhandled rejection', async () => {
  const stream = model.generate('a');
  fake.fail(fake.lastJob, 'ERR_DISPOSED');
  await turn();
  await expect(stream.result()).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
});

test('maskLogits changes what the engine reads, asynchronously too', async () => {
  const seen: number[][] = [];
  const stream = model.generate('a', {
    maskLogits: async (logits, ids) => {
      await turn();
      seen.push([...ids]);
      logits[3] = Number.NEGATIVE_INFINITY;
    },
  });
  const job = fake.lastJob;
  expect(fake.requests[0]?.maskHook).toBe(true);
  fake.emit({ job, kind: 'mask', sample: 0, ids: [7, 8] });
  await vi.waitFor(() => expect(fake.written).toHaveLength(1));
  expect(seen).toEqual([[7, 8]]);
  expect(fake.written[0]?.logits.map((value) => value === 1).indexOf(false)).toBe(3);
  fake.done(job, '');
  await stream.result();
});

test('what maskLogits throws ends the generation and reaches the reader', async () => {
  for (const maskLogits of [
    () => {
      throw new RangeError('mine');
    },
    () => Promise.reject(new RangeError('mine')),
  ]) {
    const stream = model.generate('a', { maskLogits });
    fake.emit({ job: fake.lastJob, kind: 'mask', sample: 0, ids: [] });
    await expect(stream.next()).rejects.toThrow(RangeError);
    expect(fake.cancelled).toContain(fake.lastJob);
  }
});

test('a job that was cancelled while its hook ran is not written to', async () => {
  fake.written.length = 0;
  const stream = model.generate('a', { maskLogits: () => stream.return().then(() => undefined) });
  fake.emit({ job: fake.lastJob, kind: 'mask', sample: 0, ids: [] });
  await expect(stream.result()).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  await turn();
  expect(fake.written).toEqual([]);
});

test('what onProgress throws rejects the call and cancels the job', async () => {
  const load = LanguageModel.load(import.meta.filename, {
    onProgress: () => {
      throw new TypeError('mine');
    },
  });
  await expect(load).rejects.toThrow(TypeError);
  expect(fake.referenced).toBe(false);
});

test('a stream that nobody holds is cancelled; one that is waited for is not', async () => {
  expect(globalThis.gc).toBeTypeOf('function');
  const waiting = model.generate('a').result();
  const kept = fake.lastJob;
  model.generate('a');
  const dropped = fake.lastJob;
  await vi.waitFor(
    () => {
      globalThis.gc?.();
      expect(fake.cancelled).toContain(dropped);
    },
    { timeout: 10_000 },
  );
  expect(fake.cancelled).not.toContain(kept);
  fake.done(kept, 'ok');
  expect((await waiting).text).toBe('ok');
});

test('dispose is for good', async () => {
  model.dispose();
  model.dispose();
  const code = 'ERR_DISPOSED';
  expect(() => model.generate('a')).toThrow(expect.objectContaining({ code }));
  expect(() => model.tokenize('a')).toThrow(expect.objectContaining({ code }));
  expect(() => model.chat()).toThrow(expect.objectContaining({ code }));
  await expect(model.logits([1])).rejects.toMatchObject({ code });
});

test('logits go into the array that was given', async () => {
  const out = new Float32Array(fake.vocabularySize);
  const logits = model.logits([1, 2], { out });
  fake.emit({ job: fake.lastJob, kind: 'done', result: '{"length":100}' });
  expect(await logits).toBe(out);
  expect(out[99]).toBe(0.5);
});

test('BOS is added to text where the model wants it, once, and never to ids', async () => {
  fake.addBos = true;
  model = await LanguageModel.load(import.meta.filename);
  const prompts = ['ab', [{ role: 'user', content: 'a' }] as const, [5, 6], Uint32Array.of(5)] as const;
  for (const prompt of prompts) model.generate(prompt);
  expect(fake.requests.map(({ prompt }) => [...prompt].slice(0, 2))).toEqual([[1, 10], [1, 30], [5, 6], [5]]);
});

test('without a seed, text of a temperature above 0 can be had again', async () => {
  model.generate('a', { temperature: 0.5 });
  model.generate('a', { temperature: 0.5 });
  const [one, two] = fake.requests.map(({ seed }) => seed);
  expect(one).not.toBe(two);
  expect(Number.isSafeInteger(one)).toBe(true);
});

async function answer(chat: Chat, question: string, reply: string): Promise<void> {
  const stream = chat.send(question);
  fake.pieces(fake.lastJob, ...reply);
  fake.done(fake.lastJob, reply);
  expect(await read(stream)).toBe(reply);
}

test('a chat remembers, uses one session, and gives it back', async () => {
  const chat = model.chat({ system: 'S' });
  await answer(chat, 'q1', 'a1');
  await answer(chat, 'q2', 'a2');
  expect(chat.messages.map(({ role, content }) => `${role[0]}:${content}`)).toEqual([
    's:S',
    'u:q1',
    'a:a1',
    'u:q2',
    'a:a2',
  ]);
  expect(fake.requests[0]?.session).toBe(fake.requests[1]?.session);
  expect([...(fake.requests[1]?.prompt ?? [])]).toEqual([...model.tokenize('sS|uq1|aa1|uq2>')]);
  chat.messages.push({ role: 'user', content: 'not mine' });
  expect(chat.messages).toHaveLength(5);
  chat.dispose();
  chat.dispose();
  expect(fake.closedSessions).toEqual([fake.requests[0]?.session]);
  expect(() => chat.send('x')).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
});

test('a chat answers one question at a time', async () => {
  const chat = model.chat();
  const stream = chat.send('q');
  expect(() => chat.send('again')).toThrow(expect.objectContaining({ code: 'ERR_BUSY' }));
  expect(() => chat.reset()).toThrow(expect.objectContaining({ code: 'ERR_BUSY' }));
  await stream.return();
  expect(() => chat.send('bad', { temperature: -1 })).toThrow(
    expect.objectContaining({ code: 'ERR_OPTION' }),
  );
  await answer(chat, 'q', 'a');
});

test('a chat keeps what was read of an answer that was stopped, and nothing of one that failed', async () => {
  const chat = model.chat();
  const stopped = chat.send('q1');
  fake.pieces(fake.lastJob, 'one', 'two', 'three');
  for await (const piece of stopped) if (piece.text === 'two') break;
  expect(chat.messages.map(({ content }) => content)).toEqual(['q1', 'onetwo']);
  const silent = chat.send('q2');
  await silent.return();
  expect(chat.messages).toHaveLength(2);
  const failed = chat.send('q3');
  fake.pieces(fake.lastJob, 'x');
  fake.fail(fake.lastJob, 'ERR_INTERNAL');
  await expect(read(failed)).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
  expect(chat.messages).toHaveLength(2);
  chat.reset();
  expect(chat.messages).toEqual([]);
});

test('a chat that is full drops its oldest turns only when asked to', async () => {
  const turns = (chat: Chat) => chat.messages.map(({ content }) => content);
  const long = 'x'.repeat(10);
  const strict = model.chat({ system: 'S' });
  for (let i = 0; i < 3; i++) await answer(strict, `${i}${long}`, long);
  expect(fake.requests.at(-1)?.prompt.length).toBeGreaterThan(64);
  const loose = model.chat({ system: 'S', contextOverflow: 'dropOldest' });
  for (let i = 0; i < 4; i++) await answer(loose, `${i}${long}`, long);
  expect(turns(loose)).toEqual(['S', `2${long}`, long, `3${long}`, long]);
  // What cannot be dropped goes to the engine, which refuses it.
  await answer(loose, 'y'.repeat(70), 'a');
  expect(turns(loose)).toEqual(['S', 'y'.repeat(70), 'a']);
});

test('a chat that nobody holds gives its session back', async () => {
  const before = fake.closedSessions.length;
  model.chat();
  await vi.waitFor(
    () => {
      globalThis.gc?.();
      expect(fake.closedSessions.length).toBeGreaterThan(before);
    },
    { timeout: 10_000 },
  );
});
