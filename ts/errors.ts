/**
 * Stable error codes and what each of them means. Codes are part of the public interface: programs may compare them, messages are for
 * people and may change.
 *
 * Codes of the native half that name one defect of a file (`ERR_GGUF_TRUNCATED`, `ERR_GGUF_UNSUPPORTED_TYPE`, …) share the prefix
 * `ERR_GGUF_`, `ERR_TOKENIZER_`, `ERR_CHAT_TEMPLATE`, `ERR_SAFETENSORS_`, `ERR_INTEGER_` (networks of integers), `ERR_VISION_` (those of floats),
 * `ERR_IMAGE_` (pictures) and the like, and are listed in `docs/errors.md`.
 */
export const ERROR_CODES = {
  ERR_ABORTED:
    'The AbortSignal fired, or the iterator was closed while it was awaited. `name` is "AbortError", `cause` the reason.',
  ERR_AXIS:
    'There is no such axis, or too many; or an operation needs the axes of a tensor in the order of memory.',
  ERR_BUFFER: 'The buffer of an array was detached (transferred to a worker) or shrunk.',
  ERR_BUSY: 'The object is already in use by another call that has not finished.',
  ERR_CALIBRATION: 'There are no images to calibrate a model with.',
  ERR_CHECKSUM: 'A downloaded file does not have the expected SHA-256 or size. It was deleted.',
  ERR_CONTEXT_LENGTH: 'The prompt, or the prompt and the answer, do not fit into the context.',
  ERR_DISPOSED: 'The model, chat, stream or tensor was disposed.',
  ERR_DOWNLOAD: 'A transfer failed and did not recover by being retried.',
  ERR_GROUPS: 'A slice or another shape would cut elements apart that share a scale.',
  ERR_HTTP_STATUS: 'A server answered with a status that retrying does not mend (401, 403, 404, …).',
  ERR_IMAGE_URL:
    'A picture is named by a URL that is not read: only file: and data: URLs are, nothing is fetched.',
  ERR_INDEX: 'There is no such element.',
  ERR_INTERNAL: 'A defect of dyadic itself, such as a panic in native code. Please report it.',
  ERR_IO: 'A file could not be read or written; `cause` is the error of the operating system.',
  ERR_LOCK_TIMEOUT: 'Another process has been writing the same model file for too long.',
  ERR_MESSAGE: 'What came from another thread is no tensor of `toMessage`.',
  ERR_MODEL_NOT_FOUND:
    'Neither the name of a known model, nor a cached one, nor a path of a file; or float weights that are not in the package.',
  ERR_MODEL_SPEC: 'A `hf:` name that is not of the form hf:OWNER/REPO/FILE.gguf.',
  ERR_NATIVE_LOAD: 'The native library could not be loaded; `cause` says why, the message how to build it.',
  ERR_NO_SPACE: 'The disk of the model cache is full.',
  ERR_OFFLINE: 'No host could be reached.',
  ERR_OPTION:
    'An option is unknown, of the wrong type or out of range; the message names option, value and range.',
  ERR_OUT_OF_MEMORY: 'Memory for a tensor, weights or a cache could not be had.',
  ERR_OVERLAP: 'Input and output of an operation share a part of their memory without being the same array.',
  ERR_PIP_FAILED: 'pip ended with an error that is not one of those with a code of their own.',
  ERR_PYTHON_NOT_FOUND:
    'A model that comes through pip was asked for and neither Python nor pip is installed.',
  ERR_SHAPE: 'Lengths of axes, data and parts of a tensor do not fit each other.',
  ERR_USAGE: 'The command line was not understood (exit code 2).',
} as const;

/** A code that the TypeScript half raises; native code adds those of its own formats. */
export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * The only class of error that dyadic throws on purpose.
 *
 * @example
 * ```ts
 * try {
 *   await LanguageModel.load('no-such-file.gguf');
 * } catch (error) {
 *   if (error instanceof DyadicError && error.code === 'ERR_MODEL_NOT_FOUND') console.error(error.message);
 *   else throw error;
 * }
 * ```
 */
export class DyadicError extends Error {
  /** Stable, upper case, begins with `ERR_`. See {@link ERROR_CODES}. */
  readonly code: ErrorCode | (string & {});

  constructor(code: ErrorCode | (string & {}), message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    // Code that handles aborted fetches looks at `name`, so the same branch serves both.
    this.name = code === 'ERR_ABORTED' ? 'AbortError' : 'DyadicError';
  }
}

/**
 * The error of a fired signal.
 * @internal
 */
export function aborted(signal: AbortSignal | undefined): DyadicError {
  return new DyadicError('ERR_ABORTED', 'the operation was aborted', { cause: signal?.reason });
}

/**
 * Throws {@link aborted} when the signal has fired already.
 * @internal
 */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}

/**
 * The `code` of an error of the operating system or of native code.
 * @internal
 */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Makes an error of native code, which is a plain Error with a `code`, one of ours; any other is `ERR_INTERNAL`.
 * @internal
 */
export function fromNative(error: unknown): DyadicError {
  if (error instanceof DyadicError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return new DyadicError(code?.startsWith('ERR_') ? code : 'ERR_INTERNAL', message, { cause: error });
}

/**
 * Names an error of the file system: a full disk has a code of its own, everything else is `ERR_IO`.
 * @internal
 */
export function fromFileSystem(error: unknown, what: string): DyadicError {
  if (error instanceof DyadicError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DyadicError(
      'ERR_NO_SPACE',
      `${what}: the disk is full. Free some space, or set DYADIC_CACHE to a folder on another disk.`,
      {
        cause: error,
      },
    );
  }
  return new DyadicError('ERR_IO', `${what}: ${message}`, { cause: error });
}
