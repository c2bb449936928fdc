import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readGenerateOptions, readIds, readLoadOptions, readMessages } from '../../ts/llm/request.ts';

const read = (options: unknown) => readGenerateOptions(options, 'generate').native;
const refusal = (message: RegExp) =>
  expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) });

describe('numbers', () => {
  const ranges = [
    ['maxTokens', 1, 2 ** 32 - 1, true],
    ['samples', 1, 64, true],
    ['temperature', 0, 100, false],
    ['topK', 0, 2 ** 31 - 1, true],
    ['topP', 0, 1, false],
    ['minP', 0, 1, false],
    ['typicalP', 0, 1, false],
    ['repetitionPenalty', 0.1, 10, false],
    ['repetitionWindow', 0, 2 ** 31 - 1, true],
    ['frequencyPenalty', -10, 10, false],
    ['presencePenalty', -10, 10, false],
    ['seed', 0, Number.MAX_SAFE_INTEGER, true],
    ['logprobs', 0, 100, true],
  ] as const;

  test.each(ranges)('%s lies in its range', (name, min, max, integer) => {
    const inside = integer ? fc.integer({ min, max }) : fc.double({ min, max, noNaN: true });
    fc.assert(fc.property(inside, (value) => read({ [name]: value })[name] === value));
    const outside = fc.oneof(
      fc
        .double({ noNaN: true })
        .filter((value) => value < min || value > max || (integer && !Number.isInteger(value))),
      fc.constantFrom(Number.NaN, '1', null, true, {}, [], 1n),
    );
    fc.assert(
      fc.property(outside, (value) => {
        expect(() => read({ [name]: value })).toThrow(
          refusal(new RegExp(`^${name}: expected an? (integer|number) from .* to .*, got `)),
        );
      }),
    );
  });

  test('undefined is absent', () => {
    const all = Object.fromEntries(ranges.map(([name]) => [name, undefined]));
    expect(read(all)).toEqual({ temperature: 0, seed: 0 });
  });
});

test('an unknown option is named, with the one that was meant', () => {
  expect(() => read({ maxToken: 1 })).toThrow(
    refusal(/^maxToken: not an option of generate; did you mean 'maxTokens'\?$/),
  );
  expect(() => read({ zzz: 1 })).toThrow(refusal(/^zzz: not an option of generate$/));
  expect(() => read(null)).toThrow(refusal(/expected an object, got null/));
  expect(() => read('x')).toThrow(refusal(/expected an object, got "x"/));
});

test('stop is a string or several', () => {
  expect(read({ stop: 'a' }).stop).toEqual(['a']);
  expect(read({ stop: ['a', 'b'] }).stop).toEqual(['a', 'b']);
  for (const stop of ['', [''], [1], 1, new Array(65).fill('x')])
    expect(() => read({ stop })).toThrow(refusal(/^stop: /));
});

test('logitBias is a Map or an object', () => {
  const expected = {
    logitBiasIds: Uint32Array.of(2, 5),
    logitBiasValues: Float32Array.of(-1, Number.NEGATIVE_INFINITY),
  };
  expect(read({ logitBias: { 2: -1, 5: Number.NEGATIVE_INFINITY } })).toMatchObject(expected);
  expect(
    read({
      logitBias: new Map([
        [2, -1],
        [5, Number.NEGATIVE_INFINITY],
      ]),
    }),
  ).toMatchObject(expected);
  for (const logitBias of [
    1,
    [],
    { x: 1 },
    { '-1': 1 },
    { 1: '2' },
    { 1: Number.NaN },
    { 1: Number.POSITIVE_INFINITY },
  ]) {
    expect(() => read({ logitBias }), JSON.stringify(logitBias)).toThrow(refusal(/^logitBias/));
  }
});

test('schema is JSON', () => {
  expect(read({ schema: { type: 'object' } }).schema).toBe('{"type":"object"}');
  expect(read({ schema: true }).schema).toBe('true');
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  for (const schema of ['{}', 1, null, [], circular])
    expect(() => read({ schema })).toThrow(refusal(/^schema: /));
});

test('signal and hooks have their types', () => {
  expect(readGenerateOptions({ signal: AbortSignal.timeout(1) }, 'x').signal).toBeInstanceOf(AbortSignal);
  expect(() => read({ signal: {} })).toThrow(refusal(/^signal: expected an AbortSignal, got an object/));
  expect(() => read({ maskLogits: 1 })).toThrow(refusal(/^maskLogits: expected a function, got 1/));
  expect(() => read({ ignoreEndOfText: 1 })).toThrow(
    refusal(/^ignoreEndOfText: expected true or false, got 1/),
  );
});

test('load options', () => {
  expect(readLoadOptions({ threads: 2, contextLength: 100, kvType: 'f32', isa: 'avx2' }).native).toEqual({
    threads: 2,
    contextLength: 100,
    kvType: 'f32',
    isa: 'avx2',
  });
  expect(readLoadOptions(undefined)).toMatchObject({ native: {}, download: true });
  expect(() => readLoadOptions({ kvType: 'q8' })).toThrow(
    refusal(/^kvType: expected one of 'f16', 'f32', 'int8', got "q8"$/),
  );
  expect(() => readLoadOptions({ threads: 0 })).toThrow(
    refusal(/^threads: expected an integer from 1 to 1024, got 0$/),
  );
});

test('messages', () => {
  expect(readMessages([{ role: 'user', content: 'x', more: 1 }])).toEqual([{ role: 'user', content: 'x' }]);
  expect(() => readMessages([{ role: 'bot', content: 'x' }])).toThrow(
    refusal(/^messages\[0\]\.role: .*got "bot"/),
  );
  expect(() => readMessages([{ role: 'user', content: 1 }])).toThrow(refusal(/^messages\[0\]\.content: /));
  expect(() => readMessages(['x'])).toThrow(refusal(/^messages\[0\]: /));
});

test('ids', () => {
  const ids = Uint32Array.of(1, 99);
  expect(readIds(ids, 'ids', 100)).toBe(ids);
  expect(readIds([1, 99], 'ids', 100)).toEqual(ids);
  for (const bad of [
    [100],
    Uint32Array.of(100),
    [-1],
    [1.5],
    ['1'],
    'x',
    1,
    Float32Array.of(1),
    new Array(3),
  ]) {
    expect(() => readIds(bad, 'ids', 100)).toThrow(refusal(/^ids/));
  }
});

test('long values are cut in messages', () => {
  expect(() => read({ topK: 'x'.repeat(1000) })).toThrow(
    expect.objectContaining({ message: expect.stringMatching(/^.{0,150}$/) }),
  );
});
