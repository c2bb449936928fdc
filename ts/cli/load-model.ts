import { LanguageModel } from '../llm/language-model.ts';
import { present } from '../llm/request.ts';
import type { LoadOptions } from '../llm/types.ts';
import type { Context } from './command.ts';

/** Loads a model with a progress bar and gives it to `body`; it is freed afterwards. Ctrl-C stops the load. */
export async function withModel<T>(
  { terminal, interrupts }: Context,
  name: string,
  options: LoadOptions,
  body: (model: LanguageModel) => Promise<T>,
): Promise<T> {
  const onProgress = terminal.progress();
  const model = await interrupts.during((signal) =>
    LanguageModel.load(name, { ...options, ...present({ onProgress }), signal }),
  );
  terminal.clearProgress();
  try {
    return await body(model);
  } finally {
    model.dispose();
  }
}
