import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, DyadicError, fromFileSystem } from '../errors.ts';
import { cacheDirectory, fileSize, makeDirectory } from './cache.ts';
import { type DownloadOptions, download, type RemoteFile } from './download.ts';
import { sha256 } from './hash.ts';
import { withLock } from './lock.ts';

const DEFAULT_ENDPOINT = 'https://huggingface.co';

/** A file of a Hugging Face repository, from `hf:OWNER/REPO[@REVISION]/FILE.gguf`. */
export interface HuggingFaceFile {
  owner: string;
  repository: string;
  /** Branch, tag or commit. */
  revision: string;
  /** Path inside the repository, with `/`. */
  file: string;
}

/** One path segment: no separators, nothing that a file system or a URL reads as more than a name. */
const SEGMENT = /^(?!\.{1,2}$)[\w.+=~-]+$/;

/**
 * Takes a `hf:` name apart.
 *
 * @throws DyadicError `ERR_MODEL_SPEC`.
 * @internal
 */
export function parseHuggingFace(spec: string): HuggingFaceFile {
  const [owner = '', repositoryAndRevision = '', ...rest] = spec.replace(/^hf:/, '').split('/');
  const [repository = '', revision = 'main', ...surplus] = repositoryAndRevision.split('@');
  const segments = [owner, repository, revision, ...rest];
  if (
    rest.length === 0 ||
    surplus.length > 0 ||
    !segments.every((segment) => SEGMENT.test(segment)) ||
    !spec.endsWith('.gguf')
  ) {
    throw new DyadicError(
      'ERR_MODEL_SPEC',
      `${JSON.stringify(spec)}: expected hf:OWNER/REPO/FILE.gguf or hf:OWNER/REPO@REVISION/FILE.gguf`,
    );
  }
  return { owner, repository, revision, file: rest.join('/') };
}

const directoryOf = ({ owner, repository, revision }: HuggingFaceFile) =>
  path.join(cacheDirectory(), 'models', 'hf', owner, repository, revision);

/** `model-00001-of-00003.gguf` stands for all three files. */
function parts(file: string): string[] {
  const split = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(file);
  if (split === null) return [file];
  const [, stem, , count] = split;
  return Array.from(
    { length: Number(count) },
    (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${count}.gguf`,
  );
}

/**
 * Where the file is, or will be, in the cache; of a split file, the first part.
 * @internal
 */
export function huggingFacePath(source: HuggingFaceFile): string {
  return path.join(directoryOf(source), ...(parts(source.file)[0] ?? source.file).split('/'));
}

/**
 * Whether the file, or all of its parts, are in the cache.
 * @internal
 */
export async function isHuggingFaceCached(source: HuggingFaceFile): Promise<boolean> {
  const sizes = await Promise.all(
    parts(source.file).map((file) => fileSize(path.join(directoryOf(source), ...file.split('/')))),
  );
  return sizes.every((size) => size !== undefined);
}

/** A cached file is trusted if its size, and its SHA-256 where the server named one, are those of the day it came. */
async function isIntact(target: string, options: DownloadOptions): Promise<boolean> {
  const size = await fileSize(target);
  if (size === undefined) return false;
  let origin: Partial<RemoteFile>;
  try {
    origin = JSON.parse(await readFile(`${target}.json`, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return true;
    throw fromFileSystem(error, target);
  }
  if (origin.bytes !== size) return false;
  return typeof origin.sha256 !== 'string' || (await sha256(target, options)) === origin.sha256;
}

async function pullPart(source: HuggingFaceFile, file: string, options: DownloadOptions): Promise<string> {
  const target = path.join(directoryOf(source), ...file.split('/'));
  await makeDirectory(path.dirname(target));
  const endpoint = (process.env.HF_ENDPOINT || DEFAULT_ENDPOINT).replace(/\/+$/, '');
  const { owner, repository, revision } = source;
  const address = `${endpoint}/${owner}/${repository}/resolve/${encodeURIComponent(revision)}/${file.split('/').map(encodeURIComponent).join('/')}`;
  if (!URL.canParse(address)) throw new DyadicError('ERR_DOWNLOAD', `HF_ENDPOINT is not a URL: ${endpoint}`);
  const onWait = () => options.onProgress?.({ stage: 'wait', fraction: 0 });
  await withLock(`${target}.lock`, { signal: options.signal, onWait }, async () => {
    if (await isIntact(target, options)) return;
    const token = process.env.HF_TOKEN || process.env.HUGGING_FACE_HUB_TOKEN || undefined;
    const remote = await download(new URL(address), target, { ...options, token });
    await writeFile(`${target}.json`, JSON.stringify(remote));
  });
  return target;
}

/**
 * Brings a file, or all parts of a split one, into the cache and returns the path of the first. Files that are there are checked and
 * kept. `HF_TOKEN` is sent to the endpoint (`HF_ENDPOINT`, by default the public site) and nowhere else.
 * @internal
 */
export async function pullHuggingFace(source: HuggingFaceFile, options: DownloadOptions): Promise<string> {
  const files = parts(source.file);
  let firstPath: string | undefined;
  for (const [i, file] of files.entries()) {
    const onProgress = options.onProgress;
    const scaled =
      onProgress === undefined || files.length === 1
        ? onProgress
        : (progress: Parameters<typeof onProgress>[0]) =>
            onProgress({ ...progress, fraction: (i + progress.fraction) / files.length });
    const target = await pullPart(source, file, { ...options, onProgress: scaled });
    firstPath ??= target;
  }
  return firstPath ?? huggingFacePath(source);
}

/**
 * Every file that was pulled, as `hf:` names with paths.
 * @internal
 */
export async function listHuggingFace(): Promise<{ name: string; path: string }[]> {
  const root = path.join(cacheDirectory(), 'models', 'hf');
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.gguf'))
    .map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      const [owner, repository, revision, ...rest] = path.relative(root, file).split(path.sep);
      const suffix = revision === 'main' ? '' : `@${revision}`;
      return { name: `hf:${owner}/${repository}${suffix}/${rest.join('/')}`, path: file };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
