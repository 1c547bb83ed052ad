import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  fullResolverConfig,
  kindOfPublicKey,
  makeFolder,
  memoryResolverConfig,
  memoryResolverFolder,
  type StoreContext,
} from '@coffer/identity';
import { Failure, systemReason } from '../failure.js';
import { note, write } from '../output.js';
import { openStore, type StoreOptions } from './workplace.js';

export interface ConfigOptions extends StoreOptions {
  readonly memResolver?: boolean;
  readonly natsResolver?: boolean;
  readonly configFile?: string;
  readonly dir?: string;
  readonly sysAccount?: string;
  readonly force?: boolean;
}

/** `generate config`. */
export async function config(options: object): Promise<void> {
  const { memResolver, natsResolver, configFile, dir, sysAccount, force, ...folders } =
    options as ConfigOptions;
  if (Boolean(memResolver) === Boolean(natsResolver)) {
    throw new Failure('say which resolver the server is to have: --mem-resolver or --nats-resolver');
  }
  if (dir !== undefined && (natsResolver || configFile !== undefined)) {
    throw new Failure('--dir goes with --mem-resolver, and without --config-file');
  }
  const context = openStore(folders);
  const tokens = tokensOf(context, sysAccount);
  if (dir !== undefined) {
    const files = memoryResolverFolder(tokens);
    for (const name of files.keys()) refuseToReplace(join(dir, name), force);
    makeFolder(dir);
    for (const [name, text] of files) save(join(dir, name), text);
    await note(`Success!! - generated \`${join(dir, 'resolver.conf')}\``);
    return;
  }
  const text = natsResolver ? fullResolverConfig(tokens) : memoryResolverConfig(tokens);
  if (configFile === undefined || configFile === '--') {
    await write(process.stdout, text);
    return;
  }
  refuseToReplace(configFile, force);
  save(configFile, text);
  await note(
    `[ OK ] wrote server configuration to \`${configFile}\`\nSuccess!! - generated \`${configFile}\``,
  );
}

function tokensOf({ store }: StoreContext, sysAccount: string | undefined) {
  const accounts = store.accounts();
  if (accounts.length === 0) throw new Failure(`operator "${store.name}" has no accounts: add one`);
  const isKey = sysAccount !== undefined && kindOfPublicKey(sysAccount) === 'account';
  const systemAccount = sysAccount === undefined || isKey ? sysAccount : store.account(sysAccount).claims.sub;
  return { operator: store.operator().text, accounts: accounts.map(({ jwt }) => jwt.text), systemAccount };
}

function refuseToReplace(path: string, force: boolean | undefined): void {
  if (!force && existsSync(path)) throw new Failure(`${path} exists already: --force replaces it`);
}

const save = (path: string, text: string): void => writing(path, () => writeFileSync(path, text));

function writing(path: string, act: () => unknown): void {
  try {
    act();
  } catch (error) {
    throw new Failure(`cannot write ${path}: ${systemReason(error)}`);
  }
}
