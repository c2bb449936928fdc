import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LanguageModel } from '../../ts/index.ts';
import { dyadic } from '../support/cli.ts';
import { modelPath } from '../support/model.ts';

const golden = (file: string) => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
const file = modelPath ?? '';
const testWithModel = test.skipIf(modelPath === undefined);

/** Greedy continuations of a float32 evaluation; `margin` is the lead of the chosen token's logit over the next. */
interface GreedyCase {
  text: string;
  ids: number[];
  greedy: { id: number; margin: number }[];
}

const greedy: { cases: GreedyCase[] } = golden('../golden/smollm2-greedy.json');
const tokenizer: { cases: { text: string; ids: number[] }[] } = golden(
  '../../crates/model/tests/golden/tokenizer/smollm2.json',
);

/** 8-bit activations may flip a step of small margin, and what follows is another text; before it every token must be the same. */
const SAFE_MARGIN = 1;

/** Index of the first step that differs, if that one is not of small margin. */
function wrongStep({ greedy: expected }: GreedyCase, tokens: Uint32Array): number | undefined {
  const step = expected.findIndex(({ id }, i) => id !== tokens[i]);
  return step === -1 || (expected[step]?.margin ?? 0) < SAFE_MARGIN ? undefined : step;
}

describe('in the library', () => {
  let model: LanguageModel;
  beforeAll(async () => {
    if (modelPath !== undefined) model = await LanguageModel.load(file);
  });
  afterAll(() => model?.dispose());

  testWithModel('it is what it should be', () => {
    expect(model.info).toMatchObject({
      architecture: 'llama',
      vocabularySize: 49152,
      contextLength: 4096,
      trainedContextLength: 8192,
      embeddingLength: 576,
      layers: 30,
      heads: 9,
      kvHeads: 3,
      addBos: false,
      bos: 1,
      eos: 2,
      fileBytes: 98_362_432,
    });
  });

  testWithModel('it knows the capital of Germany, in chat and in messages', async () => {
    const question = 'What is the capital of Germany?';
    const { text, finishReason } = await model.generateText([{ role: 'user', content: question }], {
      maxTokens: 40,
    });
    expect([text, finishReason]).toEqual([expect.stringContaining('Berlin'), 'endOfText']);
    const chat = model.chat();
    const stream = chat.send(question, { maxTokens: 40 });
    let streamed = '';
    for await (const piece of stream) streamed += piece.text;
    expect(streamed).toBe(text);
    const next = await chat.send('And of Italy?', { maxTokens: 40 }).result();
    expect(next.usage.cachedPromptTokens).toBeGreaterThan(30);
    expect(chat.messages).toHaveLength(4);
    chat.dispose();
  });

  testWithModel('the same seed gives the same text alone and beside others', async () => {
    const options = {
      temperature: 0.9,
      topK: 40,
      topP: 0.95,
      minP: 0.02,
      repetitionPenalty: 1.1,
      seed: 42,
      maxTokens: 24,
    };
    const prompt = 'Once upon a time';
    const alone = await model.generateText(prompt, options);
    const [beside] = await Promise.all([
      model.generateText(prompt, options),
      model.generateText('The quick brown fox', { maxTokens: 24 }),
      model.generateText(prompt, { ...options, seed: 43, samples: 2 }),
    ]);
    expect(beside.text).toBe(alone.text);
  });
});

describe('in the program', () => {
  testWithModel('tokenize --json', async () => {
    const cases = tokenizer.cases.filter((_, i) => i % 12 === 0);
    for (const { text, ids } of cases) {
      const { exitCode, stdout, stderr } = await dyadic(['tokenize', file, '--json', '--quiet'], {
        input: text,
      });
      expect([exitCode, JSON.parse(stdout), stderr]).toEqual([0, { ids }, '']);
    }
    const special = await dyadic(['tokenize', file, '--json', '--no-special'], { input: '<|im_end|>' });
    expect(JSON.parse(special.stdout).ids.length).toBeGreaterThan(1);
  });

  testWithModel('run --json', async () => {
    const [, reference] = greedy.cases;
    if (reference === undefined) throw new Error('the golden file has no second case');
    const args = [
      'run',
      file,
      '--prompt',
      reference.text,
      '--max-tokens',
      '16',
      '--temperature',
      '0',
      '--json',
      '--quiet',
    ];
    const { exitCode, stdout, stderr } = await dyadic(args);
    const result = JSON.parse(stdout);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(Object.keys(result)).toEqual(
      expect.arrayContaining(['text', 'ids', 'promptIds', 'finishReason', 'usage', 'timings']),
    );
    expect(result.promptIds).toEqual(reference.ids);
    expect(result.finishReason).toBe('length');
    expect(
      wrongStep({ ...reference, greedy: reference.greedy.slice(0, 16) }, Uint32Array.from(result.ids)),
    ).toBeUndefined();
    const chat = await dyadic([
      'run',
      file,
      '--chat',
      '-p',
      'What is the capital of Germany?',
      '-n',
      '30',
      '--temperature',
      '0',
      '--json',
    ]);
    expect(JSON.parse(chat.stdout)).toMatchObject({
      text: expect.stringContaining('Berlin'),
      finishReason: 'endOfText',
    });
  });

  testWithModel('run streams to stdout, timings to stderr', async () => {
    const { exitCode, stdout, stderr } = await dyadic(['run', file, '-n', '8'], {
      input: 'The quick brown fox',
    });
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^ with a .*\n$/s)]);
    expect(stderr).toMatch(/8 tokens at [\d.]+ tokens\/s · prompt 4 in \d+ ms\n$/);
    const quiet = await dyadic(['run', file, 'The quick brown fox', '-n', '8', '--quiet']);
    expect(quiet).toMatchObject({ stdout, stderr: '' });
  });

  testWithModel('Ctrl-C stops the answer, with 130', async () => {
    const { exitCode, signal, stdout } = await dyadic(
      ['run', file, 'Once upon a time', '-n', '4000', '--quiet'],
      {
        onStart: (child) => child.stdout.once('data', () => child.kill('SIGINT')),
      },
    );
    expect([exitCode, signal]).toEqual([130, null]);
    expect(stdout.length).toBeLessThan(2000);
  });

  testWithModel('a reader that closes the pipe ends it quietly', async () => {
    const { exitCode, stderr } = await dyadic(['run', file, 'Once upon a time', '-n', '2000', '--quiet'], {
      onStart: (child) => child.stdout.once('data', () => child.stdout.destroy()),
    });
    expect([exitCode, stderr]).toEqual([0, '']);
  });

  testWithModel('chat with lines from a pipe', async () => {
    const { exitCode, stdout } = await dyadic(['chat', file, '--temperature', '0', '-n', '20', '--json'], {
      input: 'What is the capital of Germany?\n\nAnd of Italy?\n/exit\nnever said\n',
    });
    const { messages, turns } = JSON.parse(stdout);
    expect([exitCode, messages.length, turns.length]).toEqual([0, 4, 2]);
    expect(turns[0].text).toContain('Berlin');
    expect(turns[1].usage.cachedPromptTokens).toBeGreaterThan(0);
  });

  testWithModel('perplexity --json', async () => {
    const text =
      'It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. ';
    const args = ['perplexity', file, '-', '--context', '64', '--chunks', '2', '--json'];
    const { exitCode, stdout } = await dyadic(args, { input: text.repeat(8) });
    const result = JSON.parse(stdout);
    expect([exitCode, Object.keys(result)]).toEqual([0, ['perplexity', 'perplexitySecondHalf', 'tokens']]);
    expect(result.tokens).toBe(2 * 63);
    // The second half has seen the sentence before.
    expect(result.perplexitySecondHalf).toBeLessThan(result.perplexity);
    const short = await dyadic(args, { input: 'too short' });
    expect([short.exitCode, JSON.parse(short.stdout).error.code]).toEqual([2, 'ERR_OPTION']);
  });

  testWithModel('bench --json', async () => {
    const args = [
      'bench',
      file,
      '--threads',
      '1,2',
      '--prompt',
      '16',
      '--decode',
      '4',
      '--repetitions',
      '3',
      '--json',
    ];
    const { exitCode, stdout } = await dyadic(args);
    const { rows } = JSON.parse(stdout);
    expect(exitCode).toBe(0);
    expect(rows.map(({ threads }: { threads: number }) => threads)).toEqual([1, 2]);
    for (const row of rows) {
      for (const { min, median, max } of [row.promptTokensPerSecond, row.decodeTokensPerSecond]) {
        expect(min).toBeGreaterThan(0);
        expect(min <= median && median <= max).toBe(true);
      }
    }
  });

  testWithModel('inspect --json and its table', async () => {
    const { stdout } = await dyadic(['inspect', file, '--json']);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ architecture: 'llama', tensors: { length: 272 } });
    expect(result.metadata['llama.block_count']).toBe(30);
    expect(result.tensors.find(({ name }: { name: string }) => name === 'token_embd.weight')).toMatchObject({
      type: 'Q8_0',
      shape: [576, 49152],
      bytes: (576 / 32) * 34 * 49152,
    });
    const table = await dyadic(['inspect', file]);
    expect(table.stdout).toMatch(/llama\.block_count +30\n/);
    expect(table.stdout).toMatch(/Q4_1 +210 +tensors/);
  });

  testWithModel('--isa and DYADIC_ISA choose the kernels', async () => {
    const args = [
      'bench',
      file,
      '--threads',
      '1',
      '--prompt',
      '1',
      '--decode',
      '1',
      '--repetitions',
      '1',
      '--json',
    ];
    const kernels = async (more: string[], env = {}) =>
      JSON.parse((await dyadic([...args, ...more], { env })).stdout).kernels;
    expect(await kernels(['--isa', 'scalar'])).toEqual(
      expect.arrayContaining([expect.stringMatching(/__scalar$/)]),
    );
    expect(await kernels([], { DYADIC_ISA: 'scalar' })).toEqual(await kernels(['--isa', 'scalar']));
  });
});
