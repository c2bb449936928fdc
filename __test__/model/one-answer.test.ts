import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { doctor, LanguageModel, type LoadOptions } from '../../ts/index.ts';
import { modelPath } from '../support/model.ts';

const prompt =
  'The quick brown fox jumps over the lazy dog. Call me Ishmael. Some years ago, never mind how long.';

const digest = (logits: Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength))
    .digest('hex');

async function withModel<T>(options: LoadOptions, use: (model: LanguageModel) => Promise<T>): Promise<T> {
  const model = await LanguageModel.load(modelPath as string, options);
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

describe.skipIf(!modelPath)('one answer: the bits of the logits do not depend on', () => {
  const isas = doctor().isas as string[];

  it('the instruction set and the number of threads', async () => {
    const digests = new Map<string, string>();
    for (const isa of isas) {
      for (const threads of [1, 2]) {
        await withModel({ isa, threads }, async (model) => {
          digests.set(`${isa}, ${threads}`, digest(await model.logits(model.tokenize(prompt))));
        });
      }
    }
    expect(digests.size).toBe(2 * isas.length);
    expect(new Set(digests.values()).size, JSON.stringify([...digests])).toBe(1);
  });

  it('how many sequences share a batch', async () => {
    await withModel({}, async (model) => {
      const ids = model.tokenize(prompt);
      const alone = digest(await model.logits(ids));
      const batch = await Promise.all([model.logits(ids.slice(0, 3)), model.logits(ids), model.logits(ids)]);
      expect(batch.slice(1).map(digest)).toEqual([alone, alone]);
    });
  });

  it('how a prompt is cut into pieces', async () => {
    await withModel({}, async (model) => {
      const ids = model.tokenize(prompt.repeat(12));
      const alone = digest(await model.logits(ids));
      // While another sequence decodes, prompts are evaluated in smaller pieces, and share steps with it.
      const decoding = model.generate('Once upon a time', { maxTokens: 200 })[Symbol.asyncIterator]();
      await decoding.next();
      const beside = digest(await model.logits(ids));
      await decoding.return?.();
      expect(beside).toBe(alone);
      // A chat evaluates only what is new in each turn.
      const chat = model.chat();
      const say = async (content: string): Promise<string> => {
        const pieces: string[] = [];
        for await (const piece of chat.send(content, { maxTokens: 16, logprobs: 3 }))
          pieces.push(JSON.stringify(piece));
        return pieces.join();
      };
      await say('What is the capital of France?');
      const turned = await say('And of Italy?');
      const whole: string[] = [];
      const messages = chat.messages.slice(0, 3);
      for await (const piece of model.generate(messages, { maxTokens: 16, logprobs: 3 }))
        whole.push(JSON.stringify(piece));
      chat.dispose();
      expect(turned).toBe(whole.join());
    });
  });
});
