import { credsAuthenticator, connect as rawConnect } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type AccountResolver,
  ClaimsClient,
  createKeyPair,
  encodeJwt,
  formatCreds,
  natsResolver,
  newAccount,
  newOperator,
  newUser,
  Verifier,
} from '../../packages/identity/src/index.js';
import { NatsServer } from '../support/nats.mjs';

const NOW = Math.floor(Date.now() / 1000);

const operator = createKeyPair('operator');
const system = createKeyPair('account');
const systemUser = createKeyPair('user');
const account = createKeyPair('account');
const user = createKeyPair('user');
const [oldSigner, newSigner] = [createKeyPair('account'), createKeyPair('account')];

const operatorToken = encodeJwt(
  {
    ...newOperator(operator.publicKey, 'O'),
    nats: { type: 'operator', version: 2, system_account: system.publicKey },
  },
  operator,
);
const systemToken = encodeJwt(newAccount(system.publicKey, 'SYS'), operator);
const creds = formatCreds(encodeJwt(newUser(systemUser.publicKey, 'sys'), system), systemUser.seed());

/** Seconds after the start of the tests: newer tokens count. */
let issuedAt = NOW - 1_000;

function accountToken(...signers: readonly string[]): string {
  issuedAt++;
  const { nats, ...claims } = newAccount(account.publicKey, 'A');
  return encodeJwt({ ...claims, nats: { ...nats, signing_keys: signers } }, operator, {
    now: new Date(issuedAt * 1000),
  });
}

const userToken = (signer = oldSigner) => {
  const { nats, ...claims } = newUser(user.publicKey, 'U');
  return encodeJwt({ ...claims, nats: { ...nats, issuer_account: account.publicKey } }, signer);
};

let server: NatsServer;
let client: ClaimsClient;
const open: { close?(): unknown }[] = [];

beforeAll(async () => {
  server = await NatsServer.start({
    operator: operatorToken,
    systemAccount: system.publicKey,
    accounts: { [system.publicKey]: systemToken, [account.publicKey]: accountToken(oldSigner.publicKey) },
  });
});

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close?.();
});

afterAll(async () => {
  await server?.stop();
});

function resolver(options: Partial<Parameters<typeof natsResolver>[0]> = {}): Required<AccountResolver> {
  const made = natsResolver({ servers: server.url, creds, ...options });
  open.push(made);
  return made;
}

function verifier(accounts: AccountResolver): Verifier {
  const made = new Verifier({ operators: () => [operatorToken], resolver: accounts });
  open.push(made);
  return made;
}

async function connect(): Promise<ClaimsClient> {
  client = await ClaimsClient.connect({ servers: [server.url], user: creds });
  open.push(client);
  return client;
}

describe('accounts of a nats-server', () => {
  it('are looked up and listed', async () => {
    const accounts = resolver();
    const token = accountToken(oldSigner.publicKey);
    await (await connect()).update(token);
    expect(await accounts.lookup(account.publicKey)).toBe(token);
    expect(await accounts.lookup(createKeyPair('account').publicKey)).toBeUndefined();
    expect([...(await accounts.accounts())].sort()).toEqual([account.publicKey, system.publicKey].sort());
  });

  it('are noticed when they are pushed: what a removed key signed is refused at once, what the new one signed is not', async () => {
    await (await connect()).update(accountToken(oldSigner.publicKey, newSigner.publicKey));
    const trust = verifier(resolver());
    const [old, renewed] = [userToken(oldSigner), userToken(newSigner)];
    const [oldChain, renewedChain] = [
      await trust.verify(old, ['user']),
      await trust.verify(renewed, ['user']),
    ];
    let dead = false;
    trust.onChange(() => {
      dead ||= !trust.isLive(oldChain);
    });
    await client.update(accountToken(newSigner.publicKey));
    await vi.waitFor(() => expect(dead).toBe(true), { timeout: 1000, interval: 5 });
    await expect(trust.verify(old, ['user'])).rejects.toMatchObject({ code: 'signing_key_removed' });
    expect(trust.isLive(renewedChain)).toBe(true);
    expect(await trust.verify(renewed, ['user'])).toBe(renewedChain);
  });

  it.each([
    () => '$SYS.REQ.CLAIMS.UPDATE',
    (key: string) => `$SYS.REQ.ACCOUNT.${key}.CLAIMS.UPDATE`,
    (key: string) => `$SYS.ACCOUNT.${key}.CLAIMS.UPDATE`,
  ])('are noticed whichever way they are pushed (%#)', async (subject) => {
    await (await connect()).update(accountToken(oldSigner.publicKey));
    const trust = verifier(resolver());
    const chain = await trust.verify(userToken(), ['user']);
    const connection = await rawConnect({
      servers: server.url,
      authenticator: credsAuthenticator(creds),
    });
    open.push(connection);
    connection.publish(subject(account.publicKey), accountToken());
    await vi.waitFor(() => expect(trust.isLive(chain)).toBe(false), { timeout: 1000, interval: 5 });
    await expect(trust.verify(userToken(), ['user'])).rejects.toMatchObject({ code: 'signing_key_removed' });
  });

  it('are noticed when they are deleted', async () => {
    await (await connect()).update(accountToken(oldSigner.publicKey));
    const trust = verifier(resolver());
    const chain = await trust.verify(userToken(), ['user']);
    await client.delete([account.publicKey], operator);
    await vi.waitFor(() => expect(trust.isLive(chain)).toBe(false), { timeout: 1000, interval: 5 });
    await expect(trust.verify(userToken(), ['user'])).rejects.toMatchObject({ code: 'unknown_issuer' });
  });

  it('are looked up again after the connection was lost, and not trusted while it is', async () => {
    await (await connect()).update(accountToken(oldSigner.publicKey));
    const problems: string[] = [];
    const accounts = resolver({ onProblem: (message) => problems.push(message) });
    const trust = verifier(accounts);
    const chain = await trust.verify(userToken(), ['user']);
    const changed = new Promise<void>((resolve) => trust.onChange(resolve));
    await server.process.stop();
    await vi.waitFor(() => expect(problems).toEqual([expect.stringContaining('lost')]));
    await expect(accounts.lookup(account.publicKey)).rejects.toThrow('no NATS server can be reached');
    // Until it is too old, what it said counts.
    expect(trust.isLive(chain)).toBe(true);
    await server.restart();
    await changed;
    await vi.waitFor(() => expect(trust.isLive(chain)).toBe(true));
    expect(await accounts.lookup(account.publicKey)).toBeDefined();
  });
});

describe('a nats-server that does not let accounts be looked up', () => {
  it('is asked with pauses, whatever servers its cluster tells of, from the start and later; and what changed meanwhile is heard of', async () => {
    const two = await NatsServer.startTwo({
      operator: operatorToken,
      systemAccount: system.publicKey,
      accounts: { [system.publicKey]: systemToken, [account.publicKey]: accountToken(oldSigner.publicKey) },
    });
    open.push(...two.map((one) => ({ close: () => one.stop() })));
    const refused = () => two.reduce((sum, { refusedLogins }) => sum + refusedLogins, 0);
    /** Of the next six logins. */
    const seconds = async () => {
      const [begun, before] = [performance.now(), refused()];
      await vi.waitFor(() => expect(refused()).toBeGreaterThanOrEqual(before + 6), { timeout: 20_000 });
      return (performance.now() - begun) / 1_000;
    };
    const other = createKeyPair('user');
    const admin = await ClaimsClient.connect({
      servers: two.map(({ url }) => url),
      user: formatCreds(encodeJwt(newUser(other.publicKey, 'other'), system), other.seed()),
    });
    open.push(admin);
    /** Lets the resolver's user in, or not. */
    const admit = async (isIn: boolean) => {
      issuedAt++;
      const { nats, ...claims } = newAccount(system.publicKey, 'SYS');
      const revocations = isIn ? {} : { [systemUser.publicKey]: NOW + 1_000 };
      const revoked = { ...claims, nats: { ...nats, revocations } };
      await admin.update(encodeJwt(revoked, operator, { now: new Date((issuedAt + 2_000) * 1000) }));
    };

    await admit(false);
    const accounts = resolver({ servers: (two[0] as NatsServer).url });
    const looked = accounts.lookup(account.publicKey);
    expect(await seconds()).toBeGreaterThan(1);
    await admit(true);
    expect(await looked).toBeDefined();

    const changes: (string | undefined)[] = [];
    accounts.watch((changed) => changes.push(changed));
    await admit(false);
    expect(await seconds()).toBeGreaterThan(1);
    await expect(accounts.lookup(account.publicKey)).rejects.toThrow('no NATS server can be reached');
    changes.length = 0;
    await admit(true);
    await vi.waitFor(() => expect(changes).toContain(undefined), { timeout: 5_000 });
    expect(await accounts.lookup(account.publicKey)).toBeDefined();
  });

  it('is told of, and tried again', async () => {
    const stranger = createKeyPair('user');
    const token = encodeJwt(newUser(stranger.publicKey, 'X'), createKeyPair('account'));
    const problems: string[] = [];
    const accounts = resolver({
      creds: formatCreds(token, stranger.seed()),
      onProblem: (message) => problems.push(message),
    });
    const trust = new Verifier({ operators: () => [operatorToken], resolver: accounts, lookupSeconds: 0.2 });
    open.push(trust);
    await expect(trust.verify(userToken(), ['user'])).rejects.toMatchObject({ code: 'resolver_failed' });
    await vi.waitFor(() => expect(problems.length).toBeGreaterThan(1), { timeout: 5_000 });
  });
});
