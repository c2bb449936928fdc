import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { DyadicError } from '../errors.ts';
import type { NativeBinding } from './contract.ts';

// The same from ts/native and from dist/native.
const PACKAGE_ROOT = fileURLToPath(new URL('../..', import.meta.url));

let binding: NativeBinding | undefined;

/**
 * The native library, loaded at the first call: what needs no arithmetic (fetching models, help texts) works where it is missing.
 *
 * @throws DyadicError `ERR_NATIVE_LOAD`.
 * @internal
 */
export function native(): NativeBinding {
  return binding ?? loadBinding();
}

function loadBinding(): NativeBinding {
  try {
    const load: (root: string) => NativeBinding = createRequire(import.meta.url)('node-gyp-build');
    binding = load(PACKAGE_ROOT);
    return binding;
  } catch (cause) {
    throw new DyadicError(
      'ERR_NATIVE_LOAD',
      `dyadic's native library for ${process.platform}-${process.arch} could not be loaded from ${PACKAGE_ROOT}. ` +
        'In a checkout, build it with: npm run build:native. In an installed package, reinstall it; if no prebuild for this platform is in it, please report that.',
      { cause },
    );
  }
}
