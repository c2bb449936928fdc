import { DyadicError } from '../errors.ts';
import type { OnProgress } from '../models/progress.ts';
import type { NativeGenerateRequest } from '../native/contract.ts';
import {
  booleanOption,
  choiceOption,
  functionOption,
  integerOption,
  numberOption,
  openOptions,
  optionError,
  signalOption,
  stringOption,
} from '../options.ts';
import type { GenerateOptions, LoadOptions, MaskLogits, Message } from './types.ts';

const MAX_U32 = 2 ** 32 - 1;
const MAX_STOPS = 64;
const ROLES = ['system', 'user', 'assistant', 'tool'] as const;

/** Keys of {@link GenerateOptions}. The type makes the compiler complain when one is missing here or there. */
const GENERATE_KEYS: Readonly<Record<keyof GenerateOptions, true>> = {
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  typicalP: true,
  repetitionPenalty: true,
  repetitionWindow: true,
  frequencyPenalty: true,
  presencePenalty: true,
  logitBias: true,
  seed: true,
  maxTokens: true,
  samples: true,
  stop: true,
  logprobs: true,
  schema: true,
  maskLogits: true,
  ignoreEndOfText: true,
  signal: true,
};

const LOAD_KEYS: Readonly<Record<keyof LoadOptions, true>> = {
  threads: true,
  contextLength: true,
  kvType: true,
  isa: true,
  download: true,
  onProgress: true,
  signal: true,
};

/** Leaves out keys without a value: native code tells absent from undefined. */
export function present<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

/** @internal */
export function readLoadOptions(options: unknown) {
  const raw = openOptions(options, 'LanguageModel.load', Object.keys(LOAD_KEYS));
  return {
    native: present({
      threads: integerOption(raw, 'threads', 1, 1024),
      contextLength: integerOption(raw, 'contextLength', 8, 2 ** 24),
      kvType: choiceOption(raw, 'kvType', ['f16', 'f32', 'int8']),
      isa: stringOption(raw, 'isa'),
    }),
    download: booleanOption(raw, 'download') ?? true,
    onProgress: functionOption<OnProgress>(raw, 'onProgress'),
    signal: signalOption(raw),
  };
}

function readLogitBias(value: unknown): { logitBiasIds?: Uint32Array; logitBiasValues?: Float32Array } {
  if (value === undefined) return {};
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw optionError('logitBias', 'a Map or an object from token ids to numbers', value);
  }
  const entries: [unknown, unknown][] =
    value instanceof Map ? [...value] : Object.entries(value).map(([id, bias]) => [Number(id), bias]);
  const ids = new Uint32Array(entries.length);
  const values = new Float32Array(entries.length);
  for (const [i, [id, bias]] of entries.entries()) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > MAX_U32) {
      throw optionError('logitBias', 'token ids as keys', id);
    }
    if (typeof bias !== 'number' || Number.isNaN(bias) || bias === Number.POSITIVE_INFINITY) {
      throw optionError(`logitBias[${id}]`, 'a finite number or -Infinity', bias);
    }
    ids[i] = id;
    values[i] = bias;
  }
  return ids.length === 0 ? {} : { logitBiasIds: ids, logitBiasValues: values };
}

function readStop(value: unknown): string[] | undefined {
  if (value === undefined) return undefined;
  const stops: unknown[] = Array.isArray(value) ? value : [value];
  if (stops.length > MAX_STOPS) throw optionError('stop', `at most ${MAX_STOPS} strings`, value);
  return stops.map((stop) => {
    if (typeof stop !== 'string' || stop === '') throw optionError('stop', 'non-empty strings', stop);
    return stop;
  });
}

function readSchema(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'boolean' && (value === null || typeof value !== 'object' || Array.isArray(value))) {
    throw optionError('schema', 'a JSON schema: an object or a boolean', value);
  }
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new DyadicError('ERR_OPTION', 'schema: cannot be written as JSON', { cause });
  }
}

/** Options of a generation, checked, in the form of the engine. */
export interface ReadGenerateOptions {
  native: Omit<NativeGenerateRequest, 'prompt'> & { seed: number };
  maskLogits: MaskLogits | undefined;
  signal: AbortSignal | undefined;
}

/** @internal */
export function readGenerateOptions(options: unknown, call: string): ReadGenerateOptions {
  const raw = openOptions(options, call, Object.keys(GENERATE_KEYS));
  const temperature = numberOption(raw, 'temperature', 0, 100) ?? 0;
  const maskLogits = functionOption<MaskLogits>(raw, 'maskLogits');
  const randomSeed = () => (temperature > 0 ? Math.floor(Math.random() * 2 ** 53) : 0);
  return {
    native: {
      temperature,
      seed: integerOption(raw, 'seed', 0, Number.MAX_SAFE_INTEGER) ?? randomSeed(),
      ...readLogitBias(raw.logitBias),
      ...present({
        maxTokens: integerOption(raw, 'maxTokens', 1, MAX_U32),
        samples: integerOption(raw, 'samples', 1, 64),
        topK: integerOption(raw, 'topK', 0, 2 ** 31 - 1),
        topP: numberOption(raw, 'topP', 0, 1),
        minP: numberOption(raw, 'minP', 0, 1),
        typicalP: numberOption(raw, 'typicalP', 0, 1),
        repetitionPenalty: numberOption(raw, 'repetitionPenalty', 0.1, 10),
        repetitionWindow: integerOption(raw, 'repetitionWindow', 0, 2 ** 31 - 1),
        frequencyPenalty: numberOption(raw, 'frequencyPenalty', -10, 10),
        presencePenalty: numberOption(raw, 'presencePenalty', -10, 10),
        stop: readStop(raw.stop),
        logprobs: integerOption(raw, 'logprobs', 0, 100),
        schema: readSchema(raw.schema),
        maskHook: maskLogits === undefined ? undefined : true,
        ignoreEos: booleanOption(raw, 'ignoreEndOfText'),
      }),
    },
    maskLogits,
    signal: signalOption(raw),
  };
}

/**
 * Checks a conversation.
 * @internal
 */
export function readMessages(messages: readonly unknown[]): Message[] {
  return messages.map((message, i) => {
    if (message === null || typeof message !== 'object')
      throw optionError(`messages[${i}]`, '{ role, content }', message);
    const { role: givenRole, content } = message as Readonly<Record<string, unknown>>;
    const role = ROLES.find((known) => known === givenRole);
    if (role === undefined)
      throw optionError(`messages[${i}].role`, ROLES.map((known) => `'${known}'`).join(', '), givenRole);
    if (typeof content !== 'string') throw optionError(`messages[${i}].content`, 'a string', content);
    return { role, content };
  });
}

/**
 * Token ids in the form of the engine, each below the size of the vocabulary.
 * @internal
 */
export function readIds(ids: unknown, name: string, vocabularySize: number): Uint32Array {
  if (!(ids instanceof Uint32Array) && !Array.isArray(ids))
    throw optionError(name, 'a Uint32Array or an array of token ids', ids);
  const checked = ids instanceof Uint32Array ? ids : new Uint32Array(ids.length);
  for (let i = 0; i < ids.length; i++) {
    const id: unknown = ids[i];
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabularySize) {
      throw optionError(`${name}[${i}]`, `a token id from 0 to ${vocabularySize - 1}`, id);
    }
    checked[i] = id;
  }
  return checked;
}
