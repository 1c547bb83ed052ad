import { readFileSync } from 'node:fs';

/** This package's version, which is coffer's. */
export function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return version;
}
