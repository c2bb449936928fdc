import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LanguageModel } from '../../ts/index.ts';
import { modelPath } from '../support/model.ts';

interface GreedyCase {
  text: string;
  ids: number[];
  first_logits_top5: [number, number][];
  greedy: { id: number; margin: number }[];
}

interface Excerpt {
  first_64_ids: number[];
  ctx512: {
    perplexity: number;
    perplexity_second_half: number;
    top10_last_of_chunk0: { ids: number[]; logits: number[] };
  };
}

const golden = (name: string): string => readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8');
const greedy = (JSON.parse(golden('smollm2-greedy.json')) as { cases: GreedyCase[] }).cases;
const tokenizer = (
  JSON.parse(golden('smollm2-tokenizer.json')) as { cases: { text: string; ids: number[] }[] }
).cases;
const excerpt = JSON.parse(golden('smollm2-moby-dick.json')) as Excerpt;
const text = golden('moby-dick.txt');

describe.skipIf(!modelPath)('SmolLM2 against references that share nothing with dyadic', () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await LanguageModel.load(modelPath as string);
  });
  afterAll(() => model?.dispose());

  it.each(tokenizer)('tokenizes $text', ({ text, ids }) => {
    expect([...model.tokenize(text, { special: true })]).toEqual(ids);
  });

  it('tokenizes a book', () => {
    expect([...model.tokenize(text)].slice(0, 64)).toEqual(excerpt.first_64_ids);
  });

  it('has the logits of a float32 evaluation, but for int8 activations', async () => {
    const logits = await model.logits(model.tokenize(text).slice(0, 512));
    const { ids, logits: expected } = excerpt.ctx512.top10_last_of_chunk0;
    for (const [rank, id] of ids.entries()) {
      expect(Math.abs((logits[id] ?? Number.NaN) - (expected[rank] ?? 0))).toBeLessThan(1);
    }
  });

  it('has the perplexity of a float32 evaluation within 1 %', async () => {
    const measured = await model.perplexity(text, { contextLength: 512, chunks: 8 });
    expect(measured.tokens).toBe(8 * 511);
    expect(measured.perplexity / excerpt.ctx512.perplexity).toBeCloseTo(1, 2);
    expect(Math.abs(measured.perplexity / excerpt.ctx512.perplexity - 1)).toBeLessThan(0.01);
    expect(Math.abs(measured.perplexitySecondHalf / excerpt.ctx512.perplexity_second_half - 1)).toBeLessThan(
      0.01,
    );
  });

  it.each(greedy)(
    'continues $text as the reference does wherever that is sure',
    async ({ text, ids, greedy }) => {
      expect([...model.tokenize(text, { special: true })]).toEqual(ids);
      // Each step starts from the reference's own tokens, so that one close call does not hide what follows.
      for (const [step, { id, margin }] of greedy.entries()) {
        if (margin <= 1) continue;
        const before = [...ids, ...greedy.slice(0, step).map((token) => token.id)];
        const logits = await model.logits(before);
        expect(logits.indexOf(Math.max(...logits))).toBe(id);
      }
    },
  );

  it('answers a question and ends', async () => {
    const { text, finishReason } = await model.generateText(
      [{ role: 'user', content: 'Write one sentence about the sea.' }],
      { maxTokens: 64 },
    );
    expect(text).toMatch(/^The sea is a .*\.$/);
    expect(finishReason).toBe('endOfText');
  });
});
