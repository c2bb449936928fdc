import { readFileSync } from 'node:fs';

/** The version in package.json, two folders up from here in the sources and in `dist`. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return version;
}
