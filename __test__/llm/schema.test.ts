import { afterEach, expect, test } from 'vitest';
import { LanguageModel } from '../../ts/index.ts';
import { modelPath } from '../support/model.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

let model: LanguageModel | undefined;
async function load(file: string): Promise<LanguageModel> {
  model = await LanguageModel.load(file);
  return model;
}
afterEach(() => model?.dispose());

const animal = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 8 },
    age: { type: 'integer', minimum: 0, maximum: 30 },
    kind: { enum: ['cat', 'dog'] },
  },
  required: ['name', 'age', 'kind'],
  additionalProperties: false,
};

test('a schema makes JSON of it, even of a model that says random bytes', async () => {
  const tiny = await load(writeTinyModel(temporaryDirectory()));
  for (let seed = 0; seed < 20; seed++) {
    const { text, finishReason } = await tiny.generateText('x', {
      temperature: 1,
      seed,
      schema: animal,
      maxTokens: 400,
    });
    expect(finishReason).toBe('endOfText');
    const { name, age, kind, ...rest } = JSON.parse(text);
    expect(rest).toEqual({});
    expect([...name].length).toBeLessThanOrEqual(8);
    expect(Number.isInteger(age) && age >= 0 && age <= 30).toBe(true);
    expect(['cat', 'dog']).toContain(kind);
  }
});

test('streams, samples and masks keep to the schema', async () => {
  const tiny = await load(writeTinyModel(temporaryDirectory()));
  const options = { temperature: 1, seed: 5, schema: animal, maxTokens: 400, samples: 3 };
  const stream = tiny.generate('x', { ...options, maskLogits: () => {} });
  const texts = ['', '', ''];
  for await (const { sample, text } of stream) texts[sample] += text;
  const { samples } = await stream.result();
  expect(samples.map(({ text }) => text)).toEqual(texts);
  for (const text of texts) expect(Object.keys(JSON.parse(text)).sort()).toEqual(['age', 'kind', 'name']);
});

test('a schema that is none is refused with its code', async () => {
  const tiny = await load(writeTinyModel(temporaryDirectory()));
  await expect(tiny.generateText('x', { schema: { type: 'nonsense' } })).rejects.toMatchObject({
    code: expect.stringMatching(/^ERR_SCHEMA_/),
  });
});

test.skipIf(modelPath === undefined)('SmolLM2 answers in JSON', async () => {
  const smollm2 = await load(modelPath ?? '');
  const schema = {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 30 }, population: { type: 'integer' } },
    required: ['city', 'population'],
    additionalProperties: false,
  };
  const prompt = [{ role: 'user', content: 'Name a city and its population as JSON.' }] as const;
  const { text } = await smollm2.generateText(prompt, { schema, maxTokens: 100 });
  expect(JSON.parse(text)).toEqual({ city: expect.any(String), population: expect.any(Number) });
});
