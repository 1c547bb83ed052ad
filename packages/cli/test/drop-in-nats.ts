import { openContext } from '@coffer/identity';
import { onTestFinished } from 'vitest';
import { NatsServer } from '../../../test/support/nats.mjs';
import { home } from './identity-home.js';
import { coffer } from './run.js';

/** A NATS server that knows the users of `coffer wasmcloud permissions` for a backend. */
export async function natsFor(name: string) {
  const own = home();
  onTestFinished(() => own[Symbol.dispose]());
  await own.ok('add', 'operator', 'O', '--sys', '--generate-signing-key');
  const flags = ['--name', name, '--nats-queue-base', 'wasmcloud.secrets', '--json'];
  const made = await coffer(['wasmcloud', 'permissions', ...flags], { env: { HOME: own.path } });
  const { users } = JSON.parse(made.stdout);
  const operator = openContext({ env: {}, cwd: own.path, home: own.path }).store;
  const nats = await NatsServer.start({
    operator: operator.operator().text,
    systemAccount: operator.operator().claims.nats.system_account ?? '',
    accounts: Object.fromEntries(operator.accounts().map(({ jwt }) => [jwt.claims.sub, jwt.text])),
  });
  onTestFinished(async () => void (await nats.stop()));
  return { nats, creds: users.backend.creds as string, hostCreds: users.host.creds as string };
}
