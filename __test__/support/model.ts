import { existsSync } from 'node:fs';
import { resolveModel } from '../../ts/index.ts';

/** The path of SmolLM2 where this machine has it: `DYADIC_TEST_MODEL`, or the model cache. Tests that need it are skipped without it. */
export const modelPath: string | undefined = await findModel();

async function findModel(): Promise<string | undefined> {
  const given = process.env.DYADIC_TEST_MODEL;
  if (given) return existsSync(given) ? given : undefined;
  try {
    return await resolveModel('smollm2', { download: false });
  } catch {
    return undefined;
  }
}
