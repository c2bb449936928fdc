import { DyadicError } from '../../ts/index.ts';

/** The code of the DyadicError that a call throws; any other error is thrown on. */
export function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof DyadicError) return error.code;
    throw error;
  }
  return 'no error';
}
