/**
 * What `coffer identity` makes, before its judges: Go's nats-io/jwt finds nothing in its tokens, and a real nats-server in
 * operator mode lets its users in, as far as their permissions and roles go.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { coffer } from '../../packages/cli/test/run.js';
import { openContext, type StoreContext } from '../../packages/identity/src/index.js';
import { NatsServer } from '../support/nats.mjs';
import { decodeInGo } from './nats-jwt.js';

const COMMANDS = [
  'add operator O --sys --generate-signing-key --expiry 6y',
  'edit operator --service-url nats://127.0.0.1:4222,wss://nats.example.com --account-jwt-server-url nats://127.0.0.1:4222 --tag prod',
  'add account A',
  'edit account A --sk generate --conns 10 --leaf-conns 0 --data -1 --payload 64k --subscriptions 100 --imports 5 --exports 5',
  'edit account A --description Demo --info-url https://example.com --trace-context-subject traces --trace-context-sampling 50',
  'edit account A --js-mem-storage 64M --js-disk-storage 1GiB --js-streams 5 --js-max-bytes-required --tag Team:Red',
  'edit account A --deny-pub admin.> --allow-pub-response=3 --response-ttl 1m30s',
  'edit signing-key -a A --sk generate --role reader --allow-sub app.{{name()}}.> --allow-pub _INBOX.> --source-network 127.0.0.0/8 --subs 10',
  'add user -a A U --allow-pub a.> --allow-sub a.>,_INBOX.> --deny-pub a.secret --tag ops --expiry 30d',
  'add user -a A R -K reader',
  'add user -a A L --bearer --time 08:00:00-17:30:00,18:00:00-19:00:00 --locale Europe/Berlin --conn-type standard,http --payload 1k --subs 5 --data 1M',
  'edit user -a A L --rm-time 18:00:00 --allow-pub-response',
  'add account B --allow-sub b.>',
  'edit account B --js-tier 3 --js-disk-storage 1G --js-mem-storage 0',
  'edit account B --js-tier 1 --js-disk-storage 2G',
];

let home: string;
let context: StoreContext;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'coffer-identity-'));
  for (const command of COMMANDS) {
    const { code, stderr } = await coffer(['identity', ...command.split(' ')], { env: { HOME: home } });
    expect({ code, stderr }, command).toEqual({ code: 0, stderr: '' });
  }
  context = openContext({ env: {}, cwd: home, home });
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

it('is valid to nats-io/jwt, without a finding', async () => {
  const { folder } = context.store;
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.jwt'),
  );
  expect(files).toHaveLength(8);
  const decoded = await decodeInGo(files.map((path) => readFileSync(join(folder, path), 'utf8')));
  for (const [index, { issues, error }] of decoded.entries()) {
    expect({ issues: issues ?? [], error }, files[index]).toEqual({ issues: [], error: undefined });
  }
});

it('is let in by nats-server, and does what permissions and roles allow, and no more', async () => {
  const { store } = context;
  const operator = store.operator();
  const accounts = Object.fromEntries(store.accounts().map(({ jwt }) => [jwt.claims.sub, jwt.text]));
  const systemAccount = operator.claims.nats.system_account ?? '';
  await using server = await NatsServer.start({ operator: operator.text, systemAccount, accounts });

  const user = await enter(server, 'U');
  const received = user.connection.subscribe('a.in', { max: 1 });
  user.connection.publish('a.in', 'hello');
  for await (const message of received) expect(message.string()).toBe('hello');
  user.connection.publish('a.secret', 'x');
  user.connection.publish('b', 'x');
  await user.connection.flush();
  expect(await user.denied(2)).toEqual(['a.secret', 'b']);

  const reader = await enter(server, 'R');
  const own = reader.connection.subscribe('app.R.>', { max: 1 });
  await reader.connection.flush();
  reader.connection.subscribe('app.U.>', { callback: () => {} });
  reader.connection.publish('a.in', 'x');
  await reader.connection.flush();
  expect(await reader.denied(2)).toEqual(['a.in', 'app.U.>']);
  own.unsubscribe();
  for (const { connection } of [user, reader]) await connection.close();

  const { code, stdout } = await coffer(['identity', 'edit', 'account', 'A', '--rm-sk', 'reader'], {
    env: { HOME: home },
  });
  expect(code).toBe(0);
  expect(stdout).toContain('[WARN] user "R"');
  await using after = await NatsServer.start({
    operator: operator.text,
    systemAccount,
    accounts: Object.fromEntries(store.accounts().map(({ jwt }) => [jwt.claims.sub, jwt.text])),
  });
  await expect(enter(after, 'R')).rejects.toThrow(/authorization/i);
  await (await enter(after, 'U')).connection.close();
});

interface Entered {
  readonly connection: NatsConnection;
  /** The subjects that the server refused, sorted, once there are so many. */
  denied(count: number): Promise<string[]>;
}

async function enter({ url }: NatsServer, name: string): Promise<Entered> {
  const creds = readFileSync(context.keys.credsPath('O', 'A', name));
  const connection = await connect({
    servers: url,
    authenticator: credsAuthenticator(creds),
    reconnect: false,
  });
  const status = connection.status();
  return {
    connection,
    async denied(count) {
      const subjects: string[] = [];
      for await (const event of status) {
        const { error } = event as { error?: Error & { subject?: string } };
        if (error?.subject !== undefined) subjects.push(error.subject);
        if (subjects.length === count) break;
      }
      return subjects.sort();
    },
  };
}
