import { readFile } from 'node:fs/promises';
import { DyadicError, fromFileSystem } from '../errors.ts';
import { present } from '../llm/request.ts';
import type { GenerateOptions, Generation, LoadOptions } from '../llm/types.ts';
import { type Flag, usageError, type Values } from './command.ts';

/** A model that never ends its answer would go on until the context is full, which is an error. */
const DEFAULT_MAX_TOKENS = 1024;

/** Flags of commands that load a model. */
export const LOAD_FLAGS: Readonly<Record<string, Flag>> = {
  threads: { value: 'N', short: 't', help: 'threads (default: DYADIC_THREADS, else all)' },
  'kv-type': { value: 'TYPE', help: 'KV cache: f16 (default), f32 or int8' },
  isa: {
    value: 'NAME',
    help: 'instruction set: scalar, avx2, avx512, … (default: DYADIC_ISA, else the best)',
  },
};

/** The context of commands that generate; elsewhere `--context` has another meaning. */
export const CONTEXT_FLAG: Readonly<Record<string, Flag>> = {
  context: {
    value: 'N',
    short: 'c',
    help: "tokens that prompt and answer may have (default: the model's, at most 4096)",
  },
};

/** Flags of commands that generate. */
export const GENERATION_FLAGS: Readonly<Record<string, Flag>> = {
  'max-tokens': { value: 'N', short: 'n', help: 'most tokens of the answer (default 1024)' },
  temperature: { value: 'T', help: '0 takes the most probable token' },
  'top-k': { value: 'N', help: 'keep the N most probable tokens; 0 keeps all' },
  'top-p': { value: 'P', help: 'keep the most probable tokens that together reach P' },
  'min-p': { value: 'P', help: 'drop tokens below P times the best probability' },
  'typical-p': { value: 'P', help: 'locally typical sampling up to P' },
  'repetition-penalty': { value: 'X', help: '1 is off' },
  'repetition-window': { value: 'N', help: 'tokens that penalties look back at' },
  'frequency-penalty': { value: 'X', help: 'subtracted for each earlier occurrence' },
  'presence-penalty': { value: 'X', help: 'subtracted once for what occurred' },
  seed: { value: 'N', help: 'the same seed gives the same text' },
  stop: { value: 'TEXT', multiple: true, help: 'ends the answer; may be repeated' },
  schema: { value: 'FILE', help: 'JSON schema that the answer follows (a file, or the schema itself)' },
};

/** Options of `LanguageModel.load` that every command with a model has. */
export function kernelOptions(values: Values): Pick<LoadOptions, 'kvType' | 'isa'> {
  const kvType = values.text('kv-type');
  if (kvType !== undefined && kvType !== 'f16' && kvType !== 'f32' && kvType !== 'int8') {
    throw usageError(`--kv-type: expected f16, f32 or int8, got '${kvType}'`);
  }
  return present({ kvType, isa: values.text('isa') });
}

/** Options of `LanguageModel.load` from {@link LOAD_FLAGS}. */
export function loadOptions(values: Values): LoadOptions {
  return { ...kernelOptions(values), ...present({ threads: values.number('threads') }) };
}

async function readSchema(source: string | undefined): Promise<GenerateOptions['schema']> {
  if (source === undefined) return undefined;
  let text = source;
  if (!source.trimStart().startsWith('{')) {
    try {
      text = await readFile(source, 'utf8');
    } catch (error) {
      throw fromFileSystem(error, '--schema');
    }
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DyadicError(
      'ERR_USAGE',
      `--schema: not JSON (${cause instanceof Error ? cause.message : cause})`,
      { cause },
    );
  }
}

/** Options of a generation from the flags. */
export async function generationOptions(values: Values): Promise<GenerateOptions> {
  const stop = values.texts('stop');
  return present({
    maxTokens: values.number('max-tokens') ?? DEFAULT_MAX_TOKENS,
    temperature: values.number('temperature'),
    topK: values.number('top-k'),
    topP: values.number('top-p'),
    minP: values.number('min-p'),
    typicalP: values.number('typical-p'),
    repetitionPenalty: values.number('repetition-penalty'),
    repetitionWindow: values.number('repetition-window'),
    frequencyPenalty: values.number('frequency-penalty'),
    presencePenalty: values.number('presence-penalty'),
    seed: values.number('seed'),
    stop: stop.length === 0 ? undefined : stop,
    schema: await readSchema(values.text('schema')),
  });
}

/** One line about the speed of an answer. */
export function timingLine({ usage, timings }: Pick<Generation, 'usage' | 'timings'>): string {
  const cached = usage.cachedPromptTokens > 0 ? ` (${usage.cachedPromptTokens} cached)` : '';
  return (
    `${usage.completionTokens} tokens at ${timings.decodeTokensPerSecond.toFixed(1)} tokens/s` +
    ` · prompt ${usage.promptTokens}${cached} in ${timings.promptMs.toFixed(0)} ms`
  );
}
