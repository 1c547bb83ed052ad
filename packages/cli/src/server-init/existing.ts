import { readFileSync } from 'node:fs';
import { kindOfPublicKey, readTrustedOperator, tokenIn } from '@coffer/identity';
import type { ConfigSources, ServerConfig, Setting } from '@coffer/server';
import { Failure } from '../failure.js';
import { absolute } from './config-file.js';
import { isSame } from './paths.js';

/** What decides which store is opened and how callers reach it, as {@link Setting} names it. */
const DECISIVE = ['listen', 'stateDir', 'rootKey', 'publicUrl', 'insecureHttp', 'tls.cert', 'tls.key'];

type Explain = (sources: ConfigSources) => { readonly settings: readonly Setting[] };

/**
 * Refuses options and variables that say otherwise than a configuration file that is there: the server goes by the file, and
 * a grant in another store, or an address that it does not have, would be of no use.
 *
 * @param stated the file with all that was said beside it
 * @param alone the file by itself
 */
export function requireSame(
  path: string,
  explain: Explain,
  { stated, alone }: { readonly stated: ConfigSources; readonly alone: ConfigSources },
): void {
  const byFile = new Map(explain(alone).settings.map(({ key, value }) => [key, value]));
  const others = explain(stated)
    .settings.filter(({ key }) => DECISIVE.includes(key))
    .filter(({ key, value }) => comparable(value) !== comparable(byFile.get(key)))
    .map(({ key, value, from }) => {
      const who = from.kind === 'flag' || from.kind === 'environment' ? from.name : 'something else';
      return `${who} says ${value}, and by the file ${key} is ${byFile.get(key) ?? 'not set'}`;
    });
  if (others.length === 0) return;
  throw new Failure(
    `${path} is there already, and a server goes by it: ${others.join('; ')}. Leave that out, or change the file, or name ` +
      'another one with --config. Nothing was made',
  );
}

const comparable = (value: unknown): unknown => (typeof value === 'string' ? absolute(value) : value);

/** Whether a configuration trusts the operator of a store, or nobody yet; one that trusts others only is refused. */
export function trustsAlready(
  path: string,
  { trust }: ServerConfig,
  { store, key }: { readonly store: string; readonly key: string | undefined },
): boolean {
  if (trust === undefined) return false;
  const { operators, resolver } = trust;
  const looksHere = resolver?.store !== undefined && isSame(resolver.store, store);
  const byKey = key !== undefined && operators.some((one) => operatorIn(one) === key);
  const trusted = operators.length === 0 ? looksHere : byKey && (looksHere || resolver?.store === undefined);
  if (trusted) return true;
  throw new Failure(
    `${path} is there already and trusts others than the operator in ${store}: name that operator's folder with --identity-dir ` +
      'and --name, or make users of it with "coffer identity add user". Nothing was made',
  );
}

/** The key of an operator, by an entry of `trust.operators`: itself, a token, or a file with one. */
function operatorIn(entry: string): string | undefined {
  if (kindOfPublicKey(entry) === 'operator') return entry;
  try {
    const bytes = entry.startsWith('eyJ') ? Buffer.from(entry) : readFileSync(entry);
    return readTrustedOperator(tokenIn(bytes)).key;
  } catch {
    return undefined;
  }
}
