import { changing, type StoreContext } from '../store/context.js';
import { StoreError } from '../store/errors.js';
import { checkName } from '../store/names.js';
import { operatorSigner } from '../store/signer.js';
import { decodeAccount, type Jwt } from '../tokens/jwt.js';
import { ClaimsClient, type ServerAnswer, ServersError } from './claims-client.js';
import { stateOf } from './issued.js';
import { type SystemUserWanted, systemUser } from './system-user.js';

/** Accounts given to nats-servers with a full resolver, and taken from them. */

export interface PushTarget {
  /** Where a nats-server is; else the operator's token says. */
  readonly servers?: readonly string[] | undefined;
  readonly system?: SystemUserWanted | undefined;
  /** Authorities to trust in place of the system's, PEM. */
  readonly ca?: string | undefined;
}

/** A connection, and as whom. */
export interface Claims extends AsyncDisposable {
  readonly client: ClaimsClient;
  readonly servers: readonly string[];
  /** The system account's name. */
  readonly account: string;
}

/** @throws StoreError, ServersError */
export async function openClaims(context: StoreContext, target: PushTarget = {}): Promise<Claims> {
  const servers = target.servers ?? serversOf(context);
  const system = systemUser(context, target.system);
  try {
    const client = await ClaimsClient.connect({ servers, user: system.user, ca: target.ca });
    const close = async () => {
      await client.close();
      system[Symbol.dispose]();
    };
    return { client, servers, account: system.account, [Symbol.asyncDispose]: close };
  } catch (error) {
    system[Symbol.dispose]();
    throw error;
  }
}

function serversOf({ store }: StoreContext): string[] {
  const { account_server_url, operator_service_urls } = store.operator().claims.nats;
  const urls = [account_server_url ?? '', ...(operator_service_urls ?? [])];
  const servers = [...new Set(urls)].filter((url) => /^(nats|tls):\/\//.test(url));
  if (servers.length > 0) return servers;
  throw new StoreError(
    'not_found',
    'it is not known where a nats-server is: name it with -u nats://HOST:PORT, or for good with ' +
      '"edit operator --service-url"',
  );
}

/** What became of one account. */
export interface Pushed {
  readonly account: string;
  readonly answers: readonly ServerAnswer[];
}

/**
 * Gives accounts to all servers.
 *
 * @param force also one that no key of the operator signed, or that has expired
 * @throws StoreError `damaged_store` for an account that servers would not take; nothing is pushed then
 */
export async function pushAccounts(
  { store }: StoreContext,
  { client }: Claims,
  names: readonly string[],
  { force = false }: { force?: boolean } = {},
): Promise<Pushed[]> {
  const tokens = names.map((name) => ({ name, jwt: store.account(name) }));
  if (!force) for (const { name, jwt } of tokens) requirePushable(store, name, jwt);
  return inGroups(tokens, async ({ name, jwt }) => {
    const answers = await client.update(jwt.text);
    return { account: name, answers: [...answers, ...(await notTakenOn(client, jwt))] };
  });
}

/** A server says that it has a token, and then goes on with the older one if it does not trust who signed the new one. */
async function notTakenOn(client: ClaimsClient, { claims, text }: Jwt<'account'>): Promise<ServerAnswer[]> {
  const kept = await client.lookup(claims.sub);
  const inForce = await client.inForce(claims.sub);
  const answers = inForce
    .filter(({ token }) => token !== text)
    .map(({ server }) => ({
      server,
      ok: false,
      message:
        'it has the token, and goes on with an older one: does the operator’s token in its configuration name the key that ' +
        'signed this one?',
    }));
  const replaced = {
    server: '',
    ok: false,
    message: 'asked for the account afterwards, it answers with another token',
  };
  return kept === text ? answers : [...answers, replaced];
}

function requirePushable(store: StoreContext['store'], name: string, jwt: Jwt<'account'>): void {
  const { claims } = store.operator();
  const problem = !signers(claims).includes(jwt.claims.iss)
    ? `no key of the operator ${store.name} signed it`
    : stateOf(jwt.claims, new Date()) === 'expired'
      ? 'it has expired'
      : undefined;
  if (problem) {
    throw new StoreError(
      'damaged_store',
      `the account ${name} is not pushed: ${problem} (--force pushes it as it is)`,
    );
  }
}

const signers = ({ sub, nats }: Jwt<'operator'>['claims']): string[] => [sub, ...(nats.signing_keys ?? [])];

/** What a prune did. */
export interface Pruned {
  /** Keys of accounts that servers have and the folder has not. */
  readonly accounts: readonly string[];
  readonly answers: readonly ServerAnswer[];
}

/** Has servers delete the accounts that are not in the folder. @param key `-K`: an operator's key that asks for it */
export async function pruneAccounts(
  { store, keys }: StoreContext,
  { client }: Claims,
  { key }: { key?: string | undefined } = {},
): Promise<Pruned> {
  const here = store.accounts().map(({ jwt }) => jwt.claims.sub);
  const accounts = (await client.list()).filter((account) => !here.includes(account));
  if (accounts.length === 0) return { accounts, answers: [] };
  using signer = operatorSigner(store.operator().claims, keys, { key });
  return { accounts, answers: await client.delete(accounts, signer.pair) };
}

/** What became of one account that a server has. */
export interface Pulled {
  readonly account: string;
  readonly outcome: 'stored' | 'same' | 'local is newer' | 'unknown there' | 'refused';
  /** Why it was refused. */
  readonly problem?: string | undefined;
}

/**
 * Takes accounts from a server into the folder.
 *
 * @param names of accounts in the folder; without, all that the servers have
 * @param overwrite also where the folder has a newer one
 */
export async function pullAccounts(
  context: StoreContext,
  { client }: Claims,
  names: readonly string[] | undefined,
  { overwrite = false }: { overwrite?: boolean } = {},
): Promise<Pulled[]> {
  const { store } = context;
  const known = new Map(store.scanAccounts().tokens.map(({ name, jwt }) => [jwt.claims.sub, name]));
  const keys = names?.map((name) => store.account(name).claims.sub) ?? (await client.list());
  const found = await inGroups(keys, async (key) => ({ key, text: await client.lookup(key) }));
  return changing(context, () =>
    found.map(({ key, text }) =>
      text === undefined
        ? { account: known.get(key) ?? key, outcome: 'unknown there' as const }
        : take(context, { key, name: known.get(key) }, text, overwrite),
    ),
  );
}

/** A server is not believed: what it sends must be the account that was asked for, and signed by the operator. */
function take(
  { store }: StoreContext,
  { key, name: known }: { readonly key: string; readonly name: string | undefined },
  text: string,
  overwrite: boolean,
): Pulled {
  const local = known !== undefined && store.hasAccount(known) ? store.account(known) : undefined;
  const refused = (problem: string): Pulled => ({ account: known ?? key, outcome: 'refused', problem });
  let jwt: Jwt<'account'>;
  try {
    jwt = decodeAccount(text.trim());
  } catch (error) {
    return refused((error as Error).message);
  }
  if (jwt.claims.sub !== key) return refused('the server sent another account');
  if (!signers(store.operator().claims).includes(jwt.claims.iss)) {
    return refused(`no key of the operator ${store.name} signed it`);
  }
  const name = known ?? jwt.claims.name ?? '';
  if (local?.text === jwt.text) return { account: name, outcome: 'same' };
  // Of two of one second it cannot be told which is the newer.
  if (local && local.claims.iat >= jwt.claims.iat && !overwrite) {
    return { account: name, outcome: 'local is newer' };
  }
  if (!isName(name)) return refused('its name cannot be that of a file');
  const isDamaged = store.scanAccounts().damaged.some((one) => one.name === name);
  if (known === undefined && store.hasAccount(name) && !isDamaged) {
    return refused(`another account of the name ${name} is in the folder`);
  }
  store.writeAccount(name, jwt.text);
  return { account: name, outcome: 'stored' };
}

function isName(name: string): boolean {
  try {
    return checkName(name, 'an account') === name;
  } catch {
    return false;
  }
}

/** @throws ServersError unless all servers took all accounts */
export function requirePushed(pushed: readonly Pushed[]): void {
  for (const { account, answers } of pushed) {
    const refusal = answers.find(({ ok }) => !ok);
    if (refusal) {
      throw new ServersError(
        'servers_failed',
        `a nats-server did not take the account ${account}: ${refusal.message}`,
      );
    }
  }
}

/** How many requests are on their way at once: each waits for the last of the servers. */
const GROUP = 16;

async function inGroups<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += GROUP) {
    results.push(...(await Promise.all(items.slice(at, at + GROUP).map(act))));
  }
  return results;
}
