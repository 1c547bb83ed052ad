import { readFileSync } from 'node:fs';

/** Of this program, which is coffer's. */
export function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return version;
}
