import type { Client } from '@coffer/client';
import type { Revocation } from '@coffer/client/admin';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Failure } from '../failure.js';
import { print, printJson, table } from '../output.js';
import { askToGoOn } from '../question.js';
import { displayName, quote } from '../quote.js';

export interface RevokeOptions extends ConnectionOptions {
  readonly jti?: string;
  readonly key?: string;
  readonly reason?: string;
  readonly lift?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

export async function revoke(options: RevokeOptions): Promise<void> {
  const { jti, key, reason, lift } = options;
  if ([jti, key, lift].filter((what) => what !== undefined).length !== 1) {
    throw new Failure('say what to revoke, --jti JTI or --key KEY, or which revocation to --lift');
  }
  if (lift !== undefined) {
    if (reason !== undefined)
      throw new Failure('--reason is kept with a revocation, and not when one is lifted');
    await withAdmin(options, (admin) => during('failed to lift the revocation', admin.liftRevocation(lift)));
    return options.json ? printJson({}) : print(`The revocation ${lift} is lifted`);
  }
  // The server would refuse it, but a secret is not to go there at all.
  if (key !== undefined && /^S[A-Z2-7]{56,}$/.test(key)) {
    throw new Failure('--key is a seed, which is secret: give the public key instead');
  }
  const what = key === undefined ? { jti: jti as string } : { key };
  const because = reason === undefined ? {} : { reason };
  const made = await withAdmin(options, async (admin, client) => {
    if (key !== undefined && !options.yes) await askIfOwn(client, key);
    return during('failed to revoke', admin.revoke({ ...what, ...because }));
  });
  if (options.json) return printJson(made);
  const name = made.kind === 'key' ? `The key ${made.value}` : `The token with the jti ${made.value}`;
  await print(`${name} is revoked, since ${instant(made.revokedAt)} (${made.id})`);
}

/** Who revokes its own user or account can take it back over the admin socket alone. */
async function askIfOwn(client: Client, key: string): Promise<void> {
  const { principals } = await during('failed to revoke', client.whoami());
  const isOwn = principals.some(({ id }) =>
    id
      .replace(/^nats:/, '')
      .split('/')
      .includes(key),
  );
  if (!isOwn) return;
  await askToGoOn(
    'This revokes the account or user as which you ask: you are let in no more, and only the server’s admin socket lifts it',
    { refused: 'nothing was revoked' },
  );
}

/** Those of a server, in force. */
export async function list(options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const revocations = await withAdmin(options, (admin) =>
    during('failed to list revocations', admin.revocations()),
  );
  if (options.json) return printJson(revocations);
  const head = ['ID', 'WHAT', 'VALUE', 'REVOKED', 'BY', 'REASON'];
  await print(table([head, ...revocations.map(row)]));
}

const row = ({ id, kind, value, revokedAt, revokedBy, reason }: Revocation): string[] => [
  id,
  kind,
  value,
  instant(revokedAt),
  displayName(revokedBy),
  reason === '' ? '-' : quote(reason),
];

/** RFC 3339 in UTC, to the second. */
function instant(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
