import type { TokenInfo } from '@coffer/client/admin';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during } from '../failure.js';
import { parseDuration } from '../numbers.js';
import { note, print, printJson, table } from '../output.js';
import { displayName, quote } from '../quote.js';

export async function create(
  name: string,
  options: ConnectionOptions & { expires?: string; json?: boolean },
): Promise<void> {
  const expiresIn = options.expires === undefined ? undefined : parseDuration(options.expires);
  const made = await withAdmin(options, (admin) =>
    during(
      'failed to create a token',
      admin.createToken({ name, ...(expiresIn === undefined ? {} : { expiresIn }) }),
    ),
  );
  if (options.json) return printJson(made);
  await note(
    [
      `Token ${quote(made.name)} made: it is shown this once, so keep it now.`,
      `  Expires: ${made.expiresAt === undefined ? 'never' : instant(made.expiresAt)}`,
      `  Its principal, which a policy grants rights to: token:${made.id}`,
    ].join('\n'),
  );
  await print(made.token);
}

export async function list(options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const tokens = await withAdmin(options, (admin) => during('failed to list tokens', admin.tokens()));
  if (options.json) return printJson(tokens);
  const now = new Date();
  const rows = tokens.map((token) => [
    token.id,
    displayName(token.name),
    state(token, now),
    token.expiresAt === undefined ? 'never' : instant(token.expiresAt),
    instant(token.createdAt),
    displayName(token.createdBy),
  ]);
  await print(table([['ID', 'NAME', 'STATE', 'EXPIRES', 'CREATED', 'BY'], ...rows]));
}

export async function revoke(id: string, options: ConnectionOptions & { json?: boolean }): Promise<void> {
  // The policy and `whoami` show a token as `token:<id>`; whoever copies that means the same.
  const bare = id.replace(/^token:/, '');
  const token = await withAdmin(options, (admin) =>
    during('failed to revoke the token', admin.revokeToken(bare)),
  );
  if (options.json) return printJson(token);
  await print(`Token ${quote(token.name)} (${token.id}) is revoked`);
}

function state(token: TokenInfo, now: Date): string {
  if (token.revokedAt !== undefined) return 'revoked';
  return token.expiresAt !== undefined && token.expiresAt <= now ? 'expired' : 'valid';
}

/** RFC 3339 in UTC, to the second. */
function instant(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
