import { readFile } from 'node:fs/promises';
import {
  accountMeant,
  type Claims,
  openClaims,
  type Pruned,
  type Pulled,
  type Pushed,
  type PushTarget,
  pruneAccounts,
  pullAccounts,
  pushAccounts,
  type StoreContext,
} from '@coffer/identity';
import { Failure, systemReason } from '../failure.js';
import { print, printJson } from '../output.js';
import { displayName } from '../quote.js';
import { openStore, type StoreOptions } from './workplace.js';

/** `push` and `pull`. */

export interface ServerOptions {
  readonly url?: string;
  readonly systemAccount?: string;
  readonly systemUser?: string;
  readonly natsCa?: string;
}

interface Options extends StoreOptions, ServerOptions {
  readonly account?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

export async function push(options: object): Promise<void> {
  const { account, all, prune, force, json, privateKey, ...rest } = options as Options & {
    readonly prune?: boolean;
    readonly force?: boolean;
  };
  if (all && account !== undefined) throw new Failure('say --all or --account, not both');
  const context = openStore(rest);
  const names = all
    ? context.store.accountNames()
    : prune && account === undefined
      ? []
      : [accountMeant(context, account)];
  await using claims = await openClaims(context, await targetOf(rest));
  const pushed = await pushAccounts(context, claims, names, { force: force ?? false });
  const pruned = prune ? await pruneAccounts(context, claims, { key: privateKey }) : undefined;
  if (json) await printJson({ servers: claims.servers, pushed, pruned });
  else await print(describePush(claims, pushed, pruned).join('\n'));
  const answers = [...pushed.flatMap((one) => one.answers), ...(pruned?.answers ?? [])];
  if (pruned?.answers.some(({ ok, message }) => !ok && /delete must be enabled/.test(message))) {
    throw new Failure(
      'nats-servers delete accounts only with "allow_delete: true" in the resolver of their configuration, in which ' +
        '"generate config --nats-resolver" writes false',
    );
  }
  if (answers.some(({ ok }) => !ok)) throw new Failure('not every server did what it was asked: see above');
}

export async function pull(options: object): Promise<void> {
  const { account, all, overwriteNewer, json, ...rest } = options as Options & {
    readonly overwriteNewer?: boolean;
  };
  if (all && account !== undefined) throw new Failure('say --all or --account, not both');
  const context = openStore(rest);
  const names = all ? undefined : [accountMeant(context, account)];
  await using claims = await openClaims(context, await targetOf(rest));
  const pulled = await pullAccounts(context, claims, names, { overwrite: overwriteNewer ?? false });
  if (json) await printJson({ servers: claims.servers, pulled });
  else
    await print(
      [
        `${mark(pulled.every(({ outcome }) => !BAD.includes(outcome)))} pull from cluster using system account`,
        ...pulled.map(describePulled),
      ].join('\n'),
    );
  if (pulled.some(({ outcome }) => BAD.includes(outcome)))
    throw new Failure('not every account was taken: see above');
}

const BAD: readonly Pulled['outcome'][] = ['local is newer', 'unknown there', 'refused'];

function describePulled({ account, outcome, problem }: Pulled): string {
  const name = displayName(account);
  const told = {
    stored: `[ OK ] stored account ${name}`,
    same: `[ OK ] account ${name} is the same here`,
    'local is newer': `[ERR ] local jwt for ${name} is newer than remote version - specify --overwrite-newer to overwrite`,
    'unknown there': `[ERR ] the server has no account ${name}`,
    refused: `[ERR ] account ${name} is not taken: ${displayName(problem ?? '')}`,
  };
  return `${INDENT}${told[outcome]}`;
}

const INDENT = ' '.repeat(7);

function describePush(claims: Claims, pushed: readonly Pushed[], pruned: Pruned | undefined): string[] {
  const lines = pushed.flatMap(({ account, answers }) => {
    const good = answers.filter(({ ok }) => ok).length;
    return [
      `${INDENT}${mark(good === answers.length)} push ${displayName(account)} to nats-server with nats account resolver:`,
      ...answers.map(
        ({ server, ok, message }) =>
          `${INDENT.repeat(2)}${mark(ok)} ${ok ? 'pushed' : 'failed to push'} ${displayName(account)} to nats-server ${displayName(server)}: ${displayName(message)}`,
      ),
      `${INDENT.repeat(2)}${mark(good > 0)} pushed to a total of ${good} nats-server`,
    ];
  });
  const ok = [...pushed, ...(pruned ? [pruned] : [])].every(({ answers }) => answers.every((one) => one.ok));
  return [
    `${mark(ok)} push to nats-server "${claims.servers.join(',')}" using system account "${displayName(claims.account)}":`,
    ...lines,
    ...(pruned ? describePruned(pruned) : []),
  ];
}

function describePruned({ accounts, answers }: Pruned): string[] {
  if (accounts.length === 0)
    return [`${INDENT}[ OK ] nothing to prune: the servers have no account that is not here`];
  return answers.map(
    ({ server, ok, message }) =>
      `${INDENT}${mark(ok)} ${ok ? 'pruned' : 'failed to prune'} nats-server ${displayName(server)}: ${displayName(message)}`,
  );
}

const mark = (ok: boolean): string => (ok ? '[ OK ]' : '[ERR ]');

export async function targetOf({
  url,
  systemAccount,
  systemUser,
  natsCa,
}: ServerOptions): Promise<PushTarget> {
  return {
    servers: url?.split(',').map((one) => one.trim()),
    system: { account: systemAccount, user: systemUser },
    ca: natsCa === undefined ? undefined : await readAuthorities(natsCa),
  };
}

async function readAuthorities(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Failure(`cannot read ${path}: ${systemReason(error)}`);
  }
}

/** Gives accounts to servers, and fails unless all took them; a connection for each time, as the one before may be refused since. */
export function pusher(
  context: StoreContext,
  target: PushTarget,
  tell: (line: string) => void,
): (names: readonly string[]) => Promise<void> {
  return async (names) => {
    const { openClaims: open, pushAccounts: give, requirePushed } = await import('@coffer/identity');
    await using claims = await open(context, target);
    const pushed = await give(context, claims, names);
    requirePushed(pushed);
    for (const { account, answers } of pushed) {
      const servers = answers.map(({ server }) => displayName(server)).join(', ');
      tell(`${displayName(account)} to ${claims.servers.join(', ')}, taken by ${servers}`);
    }
  };
}
