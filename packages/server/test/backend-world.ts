import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Requester, Secret, SecretQuery, SecretSource } from '@coffer/wasmcloud';
import { onTestFinished } from 'vitest';
import { backendConfigs, type ModuleBackend } from '../src/config/backends.js';
import { temporaryFolder } from './support.js';

let made = 0;

/** A file whose default export opens this source, as somebody else would write it. */
export async function moduleOf(source: Partial<SecretSource>): Promise<string> {
  const name = `coffer-test-source-${made++}`;
  const all = globalThis as unknown as Record<string, Partial<SecretSource>>;
  all[name] = source;
  onTestFinished(() => void delete all[name]);
  return moduleFile(`export default () => globalThis[${JSON.stringify(name)}];\n`);
}

export async function moduleFile(content: string): Promise<string> {
  const path = join(await temporaryFolder(), 'source.mjs');
  writeFileSync(path, content);
  return path;
}

export const backend = (name: string, module: string, more: object = {}): ModuleBackend =>
  backendConfigs([{ name, kind: 'module', module, ...more }], undefined)[0] as ModuleBackend;

export const text = (value: string, version = '1'): Secret => ({
  version,
  kind: 'string',
  value: Buffer.from(value),
});

/** Answers with what the function says. */
export const answering = (
  fetch: (query: SecretQuery, requester: Requester, signal?: AbortSignal) => Secret | Promise<Secret>,
): SecretSource => ({ fetch: async (...asked) => fetch(...asked) });

/** Has an error of the protocol, as a module without a dependency makes it. */
export const coded = (code: string, message = ''): Error => Object.assign(new Error(message), { code });

/** A promise, and what resolves it. */
export function pending<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A module whose `fetch` says when it is `asked`, and answers what `resolve` is given. */
export async function waitingModule() {
  const { promise: asked, resolve: told } = pending<void>();
  const { promise: answer, resolve } = pending<Secret>();
  const fetch = () => {
    told();
    return answer;
  };
  return { module: await moduleOf({ fetch }), asked, resolve };
}
