import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inspectRootKey, parseRootKey } from '@coffer/engine';
import type { ServerConfig } from '../config/config.js';
import { type Finding, looking, ok, problem } from './finding.js';
import { canBeMade, checkFolderOfKey } from './folder.js';

const SUBJECT = 'root key';

/** Whether the root key can be used, lies apart from the store, and is for its owner only. */
export async function checkRootKey(
  { rootKey, stateDir, dev, storage }: ServerConfig,
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly Finding[]> {
  return looking(SUBJECT, async () => {
    const spec = parseRootKey(rootKey);
    const state = await inspectRootKey(spec, { stateDir, development: dev, env });
    if (state.found === 'asked') return ok(SUBJECT, 'a passphrase, which the server asks for at its start');
    if (spec.kind === 'passphrase') {
      return ok(SUBJECT, `a passphrase from ${spec.source.from === 'env' ? 'the environment' : 'a file'}`);
    }
    if (spec.kind === 'xkey-seed') {
      const where = spec.source.from === 'env' ? 'the environment' : 'a file';
      return ok(SUBJECT, `derived from an xkey seed in ${where} (${state.found ? state.id : ''})`);
    }
    const { path } = spec;
    if (state.found) {
      const id = state.id === undefined ? '' : ` (${state.id})`;
      return [ok(SUBJECT, `${path}${id}, for its owner only`), ...(await checkFolderOfKey(SUBJECT, path))];
    }
    if (existsSync(join(stateDir, 'store', 'data.mdb'))) {
      return problem(
        SUBJECT,
        `${path} is not there, and the store cannot be read without it: put your copy of it back`,
      );
    }
    const first = storage.kind === 'jetstream' ? 'the first start of all instances' : 'the first start';
    return (await canBeMade(path))
      ? ok(SUBJECT, `${path} is not there yet: ${first} makes it`)
      : problem(SUBJECT, `${path} is not there, and this user may not make it: make its folder, mode 700`);
  });
}
