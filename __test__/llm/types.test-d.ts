import { expectTypeOf, test } from 'vitest';
import {
  type Chat,
  type GenerateOptions,
  type Generation,
  LanguageModel,
  type Message,
  type Piece,
  type TextStream,
} from '../../ts/index.ts';

declare const model: LanguageModel;

test('the calls of the guide have the types that they should', () => {
  expectTypeOf(LanguageModel.load).returns.resolves.toEqualTypeOf<LanguageModel>();
  expectTypeOf(model.generate('x')).toEqualTypeOf<TextStream>();
  expectTypeOf(model.generate('x')).toExtend<AsyncIterableIterator<Piece>>();
  expectTypeOf(model.generate('x')).toExtend<AsyncDisposable>();
  expectTypeOf(model).toExtend<AsyncDisposable & Disposable>();
  expectTypeOf(model.generateText('x')).resolves.toEqualTypeOf<Generation>();
  expectTypeOf(model.chat({ system: 'x' })).toEqualTypeOf<Chat>();
  expectTypeOf(model.chat().send('x')).toEqualTypeOf<TextStream>();
  expectTypeOf(model.tokenize('x')).toExtend<Uint32Array>();
  expectTypeOf(model.logits([1])).resolves.toExtend<Float32Array>();
  expectTypeOf<Generation['finishReason']>().toEqualTypeOf<'stop' | 'length' | 'endOfText'>();
});

test('prompts are text, messages or ids', () => {
  expectTypeOf<string>().toExtend<Parameters<LanguageModel['generate']>[0]>();
  expectTypeOf<Message[]>().toExtend<Parameters<LanguageModel['generate']>[0]>();
  expectTypeOf<Uint32Array>().toExtend<Parameters<LanguageModel['generate']>[0]>();
  expectTypeOf<number[]>().toExtend<Parameters<LanguageModel['generate']>[0]>();
  expectTypeOf<string[]>().not.toExtend<Parameters<LanguageModel['generate']>[0]>();
});

test('mistakes do not compile', () => {
  // @ts-expect-error misspelt
  model.generate('x', { maxToken: 1 });
  // @ts-expect-error made by load only
  new LanguageModel();
  // @ts-expect-error a chat has one answer
  model.chat().send('x', { samples: 2 });
  // @ts-expect-error not a role
  void model.generateText([{ role: 'bot', content: 'x' }]);
  expectTypeOf<{ temperature: string }>().not.toExtend<GenerateOptions>();
});
