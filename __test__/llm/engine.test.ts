import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { DyadicError, inspectModel, LanguageModel, type Piece } from '../../ts/index.ts';
import { noise } from '../support/bytes.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { SLOW, TINY, tinyModel, writeTinyModel } from '../support/tiny-model.ts';

// The real engine on a small model with random weights: what it says means nothing, how it behaves does.
let tiny: string;
let model: LanguageModel;
const RANDOM = { temperature: 1, seed: 7, ignoreEndOfText: true } as const;

async function read(stream: AsyncIterable<Piece>): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

const textOf = (pieces: Piece[]) => pieces.map(({ text }) => text).join('');

beforeAll(async () => {
  const { mkdtempSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  tiny = writeTinyModel(mkdtempSync(path.join(tmpdir(), 'dyadic-engine-')));
  model = await LanguageModel.load(tiny);
});

afterAll(async () => {
  model.dispose();
  const { rmSync } = await import('node:fs');
  rmSync(path.dirname(tiny), { recursive: true, force: true });
});

test('the file speaks of itself', async () => {
  expect(model.info).toMatchObject({
    architecture: 'llama',
    name: 'tiny',
    vocabularySize: 288,
    contextLength: TINY.contextLength,
    trainedContextLength: TINY.contextLength,
    embeddingLength: TINY.embedding,
    layers: TINY.layers,
    heads: TINY.heads,
    kvHeads: TINY.kvHeads,
    addBos: false,
    bos: 1,
    eos: 2,
  });
  expect(model.info.kernels.length).toBeGreaterThan(0);
  const file = await inspectModel(tiny);
  expect(file.architecture).toBe('llama');
  expect(file.tensors).toHaveLength(2 + 9 * TINY.layers);
  expect(file.tensors.find(({ name }) => name === 'token_embd.weight')).toMatchObject({
    type: 'Q8_0',
    shape: [64, 288],
  });
});

describe('tokens', () => {
  test('of text, with and without special ones', () => {
    expect([...model.tokenize('hello the')]).toEqual([259, 111, 111, 114, 260, 259]);
    expect([...model.tokenize('<|im_end|>')]).toEqual([2]);
    expect(model.tokenize('<|im_end|>', { special: false }).length).toBe(10);
    expect(model.tokenize('')).toEqual(new Uint32Array(0));
  });

  test('and back', () => {
    for (const text of ['hello the', 'é 漢字 🦀\n\u0000', ' '.repeat(100)])
      expect(model.detokenize(model.tokenize(text))).toBe(text);
    expect(model.detokenize([1, 259, 2])).toBe('<|im_start|>he<|im_end|>');
    expect(model.detokenize([1, 259, 2], { special: false })).toBe('he');
    expect(model.detokenize([])).toBe('');
    expect(() => model.detokenize([288])).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
  });

  test('a lone surrogate is U+FFFD, as everywhere in Node', () => {
    expect(model.detokenize(model.tokenize('a\ud800b'))).toBe('a\ufffdb');
  });
});

describe('generation', () => {
  test('pieces and outcome say the same', async () => {
    const stream = model.generate('hello', { ...RANDOM, maxTokens: 200 });
    const pieces = await read(stream);
    const { text, tokens, finishReason, usage, timings, promptTokens, samples } = await stream.result();
    expect(textOf(pieces)).toBe(text);
    expect(finishReason).toBe('length');
    expect(tokens).toHaveLength(200);
    expect(promptTokens).toEqual(model.tokenize('hello'));
    expect(usage).toEqual({
      promptTokens: promptTokens.length,
      cachedPromptTokens: 0,
      completionTokens: 200,
    });
    expect(samples).toHaveLength(1);
    for (const value of Object.values(timings)) expect(value).toBeGreaterThan(0);
    // Special tokens that were sampled are tokens, not text.
    expect(text).toBe(model.detokenize(tokens, { special: false }));
  });

  test('the same seed gives the same text, another another', async () => {
    const generate = async (seed: number) =>
      (await model.generateText('a', { ...RANDOM, seed, maxTokens: 40 })).text;
    const [one, again, other] = await Promise.all([generate(1), generate(1), generate(2)]);
    expect(again).toBe(one);
    expect(other).not.toBe(one);
    const free = await model.generateText('a', { temperature: 1, ignoreEndOfText: true, maxTokens: 40 });
    expect(await generate(free.seed)).toBe(free.text);
  });

  test('text, messages and ids are prompts', async () => {
    const messages = [{ role: 'user', content: 'hi' }] as const;
    const rendered = model.renderChat(messages);
    expect(rendered).toBe('<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n');
    expect(model.renderChat(messages, { addGenerationPrompt: false })).toBe(
      '<|im_start|>user\nhi<|im_end|>\n',
    );
    const options = { ...RANDOM, maxTokens: 10 };
    const results = [
      await model.generateText(messages, options),
      await model.generateText(rendered, options),
      await model.generateText(model.tokenize(rendered), options),
      await model.generateText([...model.tokenize(rendered)], options),
    ];
    expect(new Set(results.map(({ text }) => text)).size).toBe(1);
    for (const { promptTokens } of results) expect(promptTokens).toEqual(model.tokenize(rendered));
  });

  test('several answers at once are those that they would be alone, in pieces and in the end', async () => {
    const stream = model.generate('ab', { ...RANDOM, samples: 4, maxTokens: 30 });
    const pieces = await read(stream);
    const { samples, usage, text } = await stream.result();
    expect(samples).toHaveLength(4);
    expect(samples[0]?.text).toBe(text);
    for (const [i, sample] of samples.entries())
      expect(textOf(pieces.filter((piece) => piece.sample === i))).toBe(sample.text);
    expect(new Set(samples.map((sample) => sample.text)).size).toBe(4);
    expect(usage.completionTokens).toBe(120);
    expect(await model.generateText('ab', { ...RANDOM, maxTokens: 30 }).then((one) => one.text)).toBe(text);
  });

  test('concurrent generations do not change each other', async () => {
    const prompts = Array.from({ length: 8 }, (_, i) => 'xy'.repeat(i + 1));
    const run = (prompt: string) => model.generateText(prompt, { ...RANDOM, maxTokens: 50 });
    const alone: string[] = [];
    for (const prompt of prompts) alone.push((await run(prompt)).text);
    const together = await Promise.all(prompts.map(run));
    expect(together.map(({ text }) => text)).toEqual(alone);
  });

  test('a stop string ends the answer and is not part of it, wherever tokens end', async () => {
    const whole = await model.generateText('a', { ...RANDOM, maxTokens: 200 });
    const characters = [...whole.text];
    const stop = characters.slice(50, 54).join('');
    const at = whole.text.indexOf(stop);
    const stream = model.generate('a', { ...RANDOM, maxTokens: 200, stop: ['never seen', stop] });
    expect(textOf(await read(stream))).toBe(whole.text.slice(0, at));
    expect(await stream.result()).toMatchObject({ text: whole.text.slice(0, at), finishReason: 'stop' });
  });

  test('the model may end by itself', async () => {
    const options = { maxTokens: 50, logitBias: { 2: 1000 } };
    expect(await model.generateText('a', options)).toMatchObject({ text: '', finishReason: 'endOfText' });
    const { finishReason, text } = await model.generateText('a', { ...options, ignoreEndOfText: true });
    expect([finishReason, text.includes('<|im_end|>')]).toEqual(['length', false]);
  });

  test('logitBias forbids and prefers', async () => {
    const { tokens } = await model.generateText('a', { ...RANDOM, maxTokens: 60 });
    const banned = tokens[0] ?? 0;
    const without = await model.generateText('a', {
      ...RANDOM,
      maxTokens: 60,
      logitBias: { [banned]: Number.NEGATIVE_INFINITY },
    });
    expect([...without.tokens]).not.toContain(banned);
    const only = await model.generateText('a', { maxTokens: 5, logitBias: new Map([[100, 1000]]) });
    expect([...only.tokens]).toEqual([100, 100, 100, 100, 100]);
  });

  test('log-probabilities are those of the logits', async () => {
    const prompt = model.tokenize('hello');
    const { logprobs = [], tokens } = await model.generateText(prompt, {
      maxTokens: 3,
      logprobs: 5,
      ignoreEndOfText: true,
    });
    expect(logprobs).toHaveLength(3);
    const logits = await model.logits(prompt);
    const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const best = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0)).slice(0, 5);
    expect(logprobs[0]?.top?.map(({ id }) => id)).toEqual(best);
    expect(logprobs[0]?.logprob).toBeCloseTo((logits[best[0] ?? 0] ?? 0) - logSum, 4);
    expect(logprobs.map(({ id }) => id)).toEqual([...tokens]);
    for (const { top = [] } of logprobs)
      expect(top.map((one) => one.logprob)).toEqual(top.map((one) => one.logprob).toSorted((a, b) => b - a));
  });

  test('maskLogits sees the logits and decides', async () => {
    const seen: number[][] = [];
    const only = (id: number) => (logits: Float32Array) => {
      for (let i = 0; i < logits.length; i++) if (i !== id) logits[i] = Number.NEGATIVE_INFINITY;
    };
    const first = await model.logits(model.tokenize('ab'));
    let given: Float32Array | undefined;
    const { tokens } = await model.generateText('ab', {
      maxTokens: 4,
      maskLogits: async (logits, ids) => {
        given ??= logits.slice();
        seen.push([...ids]);
        await delay(1);
        only(50 + ids.length)(logits);
      },
    });
    expect([...tokens]).toEqual([50, 51, 52, 53]);
    expect(seen).toEqual([[], [50], [50, 51], [50, 51, 52]]);
    expect(given).toEqual(first);
  });
});

describe('stopping', () => {
  const endless = { ...RANDOM, maxTokens: 1900 };

  test('break frees the sequence at once', async () => {
    for (let i = 0; i < 30; i++) {
      let count = 0;
      for await (const piece of model.generate('a', endless)) if (piece.text !== '' && ++count === 3) break;
    }
    expect((await model.generateText('a', { ...RANDOM, maxTokens: 5 })).tokens).toHaveLength(5);
  });

  test('a signal stops the stream with its reason', async () => {
    const controller = new AbortController();
    let count = 0;
    const loop = (async () => {
      for await (const _ of model.generate('a', { ...endless, signal: controller.signal }))
        if (++count === 5) controller.abort('enough');
    })();
    await expect(loop).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(count).toBe(5);
  });

  test('dispose while generating ends every stream with ERR_DISPOSED', async () => {
    const own = await LanguageModel.load(tiny);
    const streams = Array.from({ length: 4 }, () => own.generate('a', endless));
    const chat = own.chat();
    const pending = expect(
      own.perplexity(own.tokenize('x'.repeat(4000)), { contextLength: 512 }),
    ).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    await streams[0]?.next();
    own.dispose();
    for (const stream of streams) await expect(read(stream)).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    await pending;
    expect(() => chat.send('x')).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
    chat.dispose();
  });

  test('a load that is aborted gives nothing', async () => {
    const slow = writeTinyModel(temporaryDirectory(), SLOW);
    const controller = new AbortController();
    const load = LanguageModel.load(slow, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    setImmediate(() => controller.abort());
    await expect(load).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  test('abort during a long prompt acts at once, and the event loop stays free', async () => {
    const slow = await LanguageModel.load(writeTinyModel(temporaryDirectory(), SLOW), {
      contextLength: 8192,
    });
    try {
      const controller = new AbortController();
      const generation = slow.generateText(new Uint32Array(8000).fill(100), {
        maxTokens: 1,
        signal: controller.signal,
      });
      const caught = generation.catch((error) => ({ error, at: performance.now() }));
      let latest = performance.now();
      let worst = 0;
      const timer = setInterval(() => {
        const now = performance.now();
        worst = Math.max(worst, now - latest - 5);
        latest = now;
      }, 5);
      await delay(150);
      const aborted = performance.now();
      controller.abort();
      const outcome = await caught;
      clearInterval(timer);
      if (!('error' in outcome))
        throw new Error('the prompt was finished before it could be interrupted: make it longer');
      expect(outcome.error).toMatchObject({ code: 'ERR_ABORTED' });
      // 50 ms and 10 ms on an idle machine (benches/responsiveness.bench.ts); tests run beside others.
      expect(outcome.at - aborted).toBeLessThan(500);
      expect(worst).toBeLessThan(100);
    } finally {
      slow.dispose();
    }
  });
});

describe('chat', () => {
  test('keeps its KV cache from turn to turn, and it changes nothing', async () => {
    const chat = model.chat({ system: 'S' });
    const options = { ...RANDOM, maxTokens: 20 };
    const first = await chat.send('one', options).result();
    expect(first.usage.cachedPromptTokens).toBe(0);
    const second = await chat.send('two', options).result();
    expect(second.usage.cachedPromptTokens).toBeGreaterThanOrEqual(first.usage.promptTokens);
    const { text } = await model.generateText(chat.messages.slice(0, -1), options);
    expect(second.text).toBe(text);
    chat.dispose();
  });
});

describe('measures', () => {
  test('perplexity is that of the logits', async () => {
    const ids = model
      .tokenize('the quick brown fox jumps over the lazy dog', { special: false })
      .slice(0, 24);
    let sum = 0;
    let second = 0;
    for (let i = 1; i < ids.length; i++) {
      const logits = await model.logits(ids.subarray(0, i));
      const logSum = Math.log(logits.reduce((total, logit) => total + Math.exp(logit), 0));
      const loss = logSum - (logits[ids[i] ?? 0] ?? 0);
      sum += loss;
      if (i >= 12) second += loss;
    }
    const result = await model.perplexity(ids, { contextLength: 24 });
    expect(result.tokens).toBe(23);
    expect(result.perplexity).toBeCloseTo(Math.exp(sum / 23), 2);
    expect(result.perplexitySecondHalf).toBeCloseTo(Math.exp(second / 12), 2);
  });

  test('logits do not depend on what else runs', async () => {
    const ids = model.tokenize('hello the');
    const alone = await model.logits(ids);
    const busy = model.generate('a', { ...RANDOM, maxTokens: 1000 });
    expect(await Promise.all([model.logits(ids), model.logits(ids)])).toEqual([alone, alone]);
    await busy.return();
  });

  test('benchmark gives a figure for each repetition', async () => {
    const stages: number[] = [];
    const options = { threads: 1, promptTokens: 16, decodeTokens: 8, repetitions: 3 };
    const result = await model.benchmark({ ...options, onProgress: ({ fraction }) => stages.push(fraction) });
    expect(result.threads).toBe(1);
    expect([result.prompt.length, result.decode.length]).toEqual([3, 3]);
    for (const figure of [...result.prompt, ...result.decode]) expect(figure).toBeGreaterThan(0);
    expect(stages.at(-1)).toBe(1);
  });
});

describe('errors', () => {
  const good = tinyModel();
  const load = async (bytes: Buffer | string) => {
    const file = path.join(temporaryDirectory(), 'model.gguf');
    writeFileSync(file, bytes);
    return LanguageModel.load(file);
  };
  const coded = (code: RegExp) => ({ code: expect.stringMatching(code), name: 'DyadicError' });

  test('a wrong path', async () => {
    await expect(LanguageModel.load('/no/such/file.gguf')).rejects.toMatchObject(
      coded(/^ERR_MODEL_NOT_FOUND$/),
    );
  });

  test('an empty file, a PNG, text', async () => {
    const png = Buffer.concat([Buffer.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), noise(500)]);
    for (const bytes of ['', 'hello', png])
      await expect(load(bytes)).rejects.toMatchObject(coded(/^ERR_GGUF_/));
    await expect(load(png)).rejects.toThrow(/PNG/i);
  });

  test('a file that is cut off anywhere', async () => {
    for (const part of [0.0001, 0.01, 0.1, 0.5, 0.9, 0.9999]) {
      await expect(load(good.subarray(0, Math.floor(good.length * part)))).rejects.toMatchObject(
        coded(/^ERR_GGUF_/),
      );
    }
  });

  test('another architecture', async () => {
    const other = Buffer.from(good);
    other.write('mamba', good.indexOf('llama'));
    await expect(load(other)).rejects.toMatchObject(coded(/^ERR_/));
  });

  test('a prompt longer than the context', async () => {
    const long = model.generateText(new Uint32Array(TINY.contextLength + 1).fill(5));
    await expect(long).rejects.toMatchObject(coded(/^ERR_CONTEXT_LENGTH$/));
    await expect(long).rejects.toThrow(new RegExp(`${TINY.contextLength + 1}.*${TINY.contextLength}`));
  });

  test('an empty prompt', () => {
    for (const prompt of ['', [], new Uint32Array(0)]) {
      expect(() => model.generate(prompt)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
    }
  });

  test('are instances of DyadicError with a message', async () => {
    const error = await load('hello').catch((thrown) => thrown);
    expect(error).toBeInstanceOf(DyadicError);
    expect(error.message).toContain('model.gguf');
  });
});

describe('processes', { timeout: 160_000 }, () => {
  const child = (name: string) => path.join(import.meta.dirname, '../support', name);
  const run = (name: string, args: string[], flags: string[] = []) =>
    promisify(execFile)(process.execPath, [...flags, child(name), ...args], {
      timeout: 55_000,
    });

  test('end by themselves, however a stream was left', async () => {
    for (const how of [
      'finished',
      'break',
      'abandoned',
      'unread',
      'aborted',
      'chat',
      'disposed',
      'never-disposed',
    ]) {
      const { stdout } = await run('exit-child.mjs', [how, tiny]);
      expect(stdout.trim(), how).toBe('last line');
    }
  });

  test('may exit or fail in the middle of a stream', async () => {
    await expect(run('exit-child.mjs', ['process.exit', tiny])).rejects.toMatchObject({
      code: 7,
      signal: null,
    });
    await expect(run('exit-child.mjs', ['throw', tiny])).rejects.toMatchObject({
      code: 1,
      signal: null,
      stderr: expect.stringContaining('on purpose'),
    });
  });

  test('do not grow: streams, chats and models give back what they took', async () => {
    const { stdout } = await run('leak-child.mjs', [tiny], ['--expose-gc']);
    const growth: Record<string, number> = JSON.parse(stdout);
    // MiB that hundreds of streams, chats or loads added to what as many before had taken.
    for (const [what, mebibytes] of Object.entries(growth)) expect(mebibytes, what).toBeLessThan(16);
  });

  test('200 workers ended while they stream do no harm', async () => {
    const { stdout } = await run('workers-child.mjs', [tiny, '200']);
    expect(JSON.parse(stdout)).toEqual({ ended: 200, streamed: 200 });
  });
});

test('models that are dropped without dispose are collected', async () => {
  const before = process.memoryUsage.rss();
  const slow = writeTinyModel(temporaryDirectory(), SLOW);
  const size = readFileSync(slow).length;
  for (let i = 0; i < 12; i++) {
    await LanguageModel.load(slow);
    globalThis.gc?.();
    await delay(20);
  }
  await vi.waitFor(
    () => {
      globalThis.gc?.();
      expect(process.memoryUsage.rss() - before).toBeLessThan(6 * size);
    },
    { timeout: 20_000, interval: 100 },
  );
});
