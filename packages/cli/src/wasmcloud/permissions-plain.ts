import { chmod, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createKeyPair, type KeyPair, keyPairFromFile } from '@coffer/identity';
import { type BackendAddress, subjectBase } from '@coffer/wasmcloud';
import { Failure } from '../failure.js';
import { writeNew } from '../identity/files.js';
import { print, printJson } from '../output.js';
import { displayText } from '../quote.js';
import { shellWord } from '../welcome.js';
import type { PermissionsOptions } from './permissions.js';
import { adviceOnBackends, ownStoreOf, whichBackend } from './permissions-advice.js';
import { ANSWER_SECONDS, type Role, STANDARD } from './roles.js';

/**
 * For nats-servers without an operator: an account with users by their keys, to be included in the configuration; each key's
 * seed in a file beside it.
 *
 * Source: nats-server's configuration (`accounts`, `permissions`, `allow_responses`).
 */
export async function writePlain(
  path: string,
  {
    roles,
    account = 'WASMCLOUD-SECRETS',
    addresses,
    force,
    json,
  }: PermissionsOptions & {
    readonly roles: readonly Role[];
    readonly addresses: readonly Required<BackendAddress>[];
  },
): Promise<void> {
  const users: {
    readonly role: Role;
    readonly key: string;
    readonly seed: string;
    readonly isNew: boolean;
  }[] = [];
  for (const role of roles) {
    const seed = join(dirname(path), `${role.name}.nk`);
    const before = keyPairFromFile(seed);
    using pair = before ?? createKeyPair('user');
    if (before === undefined) await writeSeed(seed, pair);
    else await refuseReadable(seed);
    users.push({ role, key: pair.publicKey, seed, isNew: before === undefined });
  }
  const dropped = (await basesIn(path)).filter((base) => !addresses.some((one) => subjectBase(one) === base));
  await writeNew(path, Buffer.from(configuration(account, users)), force === true);
  // Public keys alone: nats-server reads it as a user of its own.
  await chmod(path, 0o644);
  if (json) {
    const told = users.map(({ role, key, seed }) => [role.name, { key, seed }]);
    return printJson({ file: path, account, users: Object.fromEntries(told) });
  }
  const own = whichBackend(ownStoreOf(addresses));
  const seedOf = (name: Role['name']) => users.find(({ role }) => role.name === name)?.seed ?? '';
  await print(
    [
      `[ OK ] wrote \`${path}\``,
      ...dropped.map(
        (base) =>
          `[WARN] ${displayText(base)} was in that file, and is not any more: name all backends at once, each with --name`,
      ),
      ...users.map(
        ({ role, key, seed, isNew }) =>
          `[ OK ] ${role.name} ${key}: seed ${isNew ? 'written to' : 'was in'} \`${seed}\``,
      ),
      '',
      `Write  include ${JSON.stringify(path)}  into the nats-server’s configuration, by a path from where that is, and reload it:`,
      '  nats-server --signal reload',
      ...adviceOnBackends(addresses, { nkey: seedOf('backend') }),
      'Serve, and administer, each with its key:',
      `  coffer wasmcloud run${own} --nats-nkey-file ${shellWord(seedOf('backend'))} --trusted-account A…`,
      `  coffer wasmcloud put NAME${own} --nats-nkey-file ${shellWord(seedOf('admin'))}`,
      'Stock hosts come with a token and its seed, or with nothing: how they come to such a server, the file says at its end.',
    ].join('\n'),
  );
}

/** Which backends a file that is to be replaced is for. */
async function basesIn(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return [...new Set([...text.matchAll(/"(\S+)\.> /g)].map(([, base = '']) => base))];
}

/** A seed that others could read is theirs, too: it makes nobody a host, or an administrator, unseen. */
async function refuseReadable(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0) return;
  throw new Failure(
    `the seed in ${path} can be read by others (its mode is ${(mode & 0o777).toString(8)}): "chmod 600 ${shellWord(path)}" keeps it, ` +
      'if nobody has had it; without the file a new one is made',
  );
}

async function writeSeed(path: string, pair: KeyPair): Promise<void> {
  const seed = pair.seed();
  try {
    await writeNew(path, seed, false);
  } finally {
    seed.fill(0);
  }
}

function configuration(
  account: string,
  users: readonly { readonly role: Role; readonly key: string }[],
): string {
  const [host] = users;
  return `# Who may do what with secrets of wasmCloud’s; made by "coffer wasmcloud permissions --plain".
accounts {
  ${JSON.stringify(account)}: {
    users: [
${users.map(({ role, key }) => user(role, key)).join('\n')}
    ]
  }
}

# Stock wasmCloud hosts cannot come with a key alone. They come with nothing, and are the hosts of this file, with the next
# line; whoever reaches the server is a host then, and must be kept away from it, and coffer serves there with
# "nats: {allowOpen: true}" (--allow-open-nats) alone. With an operator they come with creds.
# no_auth_user: ${host?.key}
`;
}

function user({ name, publish, subscribe, answers }: Role, key: string): string {
  const list = (subjects: readonly string[]) => subjects.map((subject) => JSON.stringify(subject)).join(', ');
  return `      # ${name}
      {
        nkey: ${key}
        allowed_connection_types: [${STANDARD}]
        permissions: {
          publish: { ${publish.length > 0 ? `allow: [${list(publish)}]` : 'deny: [">"]'} }
          subscribe: { allow: [${list(subscribe)}] }${answers ? `\n          allow_responses: { max: 1, expires: "${ANSWER_SECONDS}s" }` : ''}
        }
      }`;
}
