import { DyadicError } from '../../ts/index.ts';

function codeOfError(error: unknown): string {
  if (error instanceof DyadicError) return error.code;
  throw error;
}

/** The code of the error that a call throws. */
export function codeOf(call: () => unknown): string {
  try {
    call();
    return 'no error';
  } catch (error) {
    return codeOfError(error);
  }
}

/** The code of the error that a promise is rejected with. */
export async function rejectionCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'no error';
  } catch (error) {
    return codeOfError(error);
  }
}
