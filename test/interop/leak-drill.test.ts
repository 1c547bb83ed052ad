import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyPair } from '@coffer/identity';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { Installation, Stranger, secretOf, untilRefused } from './drill.js';

/**
 * docs/leak-drill.md as a test, from the outside: the commands that people type, and a server that runs. Only what an attacker
 * does with a key that is not its own, no command of ours does.
 */

describe('when a signing key has leaked', () => {
  const installation = new Installation();
  const { accountFile, store } = installation;
  let leaked: KeyPair;
  let before: Buffer;

  beforeAll(async () => {
    await installation.prepare();
    await installation.start('--trust-store', store);
    await installation.fill();
    leaked = installation.leak();
  });

  afterAll(async () => {
    leaked?.wipe();
    await installation.stop();
  });

  it('a stranger gets in with it', async () => {
    await installation.everybodyGetsTheirs();
    const { status, body } = await new Stranger(installation, leaked).steal(secretOf('alice'));
    expect(status).toBe(200);
    expect(JSON.parse(body).Value).toBe(Buffer.from(canary('alice')).toString('base64'));
  });

  it('it is known what it has signed, and a dry run of its rotation changes nothing', async () => {
    before = readFileSync(accountFile);
    const { signingKey } = installation;
    const signed = await installation.identity('issued-by', signingKey);
    for (const user of ['alice', 'bob']) expect(signed).toContain(user);
    expect(signed).not.toContain('carol');
    const dry = await installation.identity(...rotation(), '--dry-run');
    for (const each of [signingKey, 'alice', 'bob']) expect(dry).toContain(each);
    expect(readFileSync(accountFile)).toEqual(before);
  });

  it('whoever would revoke the account it comes from is asked first', async () => {
    const revoke = ['identity', 'revoke', '--key', installation.account];
    await expect(installation.as('admin', ...revoke)).rejects.toThrow(/let in no more.*--yes/);
    await installation.everybodyGetsTheirs();
  });

  it('the rotation shuts the stranger out within a second, and everybody else gets their secret', async () => {
    const stranger = new Stranger(installation, leaked);
    const { told } = await stranger.watch();
    expect((await stranger.steal(secretOf('alice'))).status).toBe(200);

    await installation.identity(...rotation());
    expect(await untilRefused(stranger)).toBeLessThan(1_000);
    expect(await told).toContain('unauthenticated');

    const { body } = await stranger.steal(secretOf('alice'));
    expect(body).toContain(installation.signingKey);
    expect((await new Stranger(installation, leaked).steal(secretOf('bob'))).status).toBe(401);
    await installation.everybodyGetsTheirs();
    await installation.as('admin', 'list');
    const { nats } = await installation.claimsOf('main');
    expect(nats.signing_keys).not.toContain(installation.signingKey);
  });

  it('the account’s token of before, put back, does not bring it back', async () => {
    const after = readFileSync(accountFile);
    const stranger = new Stranger(installation, leaked);
    writeFileSync(accountFile, before);
    // It is older than one that was seen, and counts for nobody.
    await expect.poll(() => installation.knows('admin'), { timeout: 5_000 }).toBe(false);
    expect((await stranger.steal(secretOf('alice'))).status).toBe(401);
    writeFileSync(accountFile, after);
    await expect.poll(() => installation.knows('admin'), { timeout: 5_000 }).toBe(true);
    expect((await stranger.steal(secretOf('alice'))).status).toBe(401);
  });

  it('a server that starts anew has not forgotten it', async () => {
    const after = readFileSync(accountFile);
    writeFileSync(accountFile, before);
    await installation.start('--trust-store', store);
    expect((await new Stranger(installation, leaked).steal(secretOf('alice'))).status).toBe(401);
    writeFileSync(accountFile, after);
    await expect.poll(() => installation.knows('bob'), { timeout: 5_000 }).toBe(true);
    await installation.everybodyGetsTheirs();
  });

  it('the audit log has what was done with it', async () => {
    const log = await installation.type('audit', 'query', '--json', '-s', installation.server.socket);
    const lines = log.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    const stolen = lines.filter(
      ({ action, principal }) =>
        action === 'get' && principal.also?.includes(`nats-tag:${installation.account}:ops`),
    );
    expect(stolen.length).toBeGreaterThan(1);
  });

  function rotation(): string[] {
    return ['rotate-signing-key', '--account', 'main', '--old', installation.signingKey];
  }
});

describe('when a signing key has leaked, and nats-servers have the accounts', () => {
  const installation = new Installation();
  let nats: NatsServer;
  let leaked: KeyPair;

  beforeAll(async () => {
    await installation.prepare();
    await installation.identity('add', 'account', '--name', 'SYS');
    await installation.identity('edit', 'operator', '--system-account', 'SYS');
    await installation.identity('add', 'user', '--account', 'SYS', '--name', 'coffer');
    const { store, folder } = installation;
    const operator = join(store, 'coffer.jwt');
    const system = (await installation.claimsOf('SYS')).sub;
    nats = await NatsServer.start({
      operator: readFileSync(operator, 'utf8'),
      systemAccount: system,
      accounts: { [system]: readFileSync(join(store, 'accounts', 'SYS', 'SYS.jwt'), 'utf8') },
    });
    await installation.identity('push', '--all', '--url', nats.url);
    const config = folder.join('coffer.yaml');
    const creds = installation.credsOf('coffer', 'SYS');
    const resolver = { nats: { servers: [nats.url], creds } };
    writeFileSync(config, JSON.stringify({ trust: { operators: [operator], resolver } }));
    await installation.start('--config', config);
    await installation.fill();
    leaked = installation.leak();
  });

  afterAll(async () => {
    leaked?.wipe();
    await installation.stop();
    await nats?.stop();
  });

  it('a rotation that pushes shuts the stranger out within a second, and nobody else', async () => {
    await installation.everybodyGetsTheirs();
    const stranger = new Stranger(installation, leaked);
    const { told } = await stranger.watch();
    expect((await stranger.steal(secretOf('alice'))).status).toBe(200);
    await installation.identity(
      ...['rotate-signing-key', '--account', 'main', '--old', installation.signingKey],
      ...['--push', '--url', nats.url],
    );
    expect(await untilRefused(stranger)).toBeLessThan(1_000);
    expect(await told).toContain('unauthenticated');
    await installation.everybodyGetsTheirs();
  });

  it('a nats-server that is started anew brings nobody back, and costs nobody anything', async () => {
    await nats.restart();
    await installation.everybodyGetsTheirs();
    expect((await new Stranger(installation, leaked).steal(secretOf('alice'))).status).not.toBe(200);
  });
});
