import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyPair, encodeJwt, formatCreds, newUser } from '@coffer/identity';
import { afterAll, describe, expect, it } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { NatsServer } from '../../../test/support/nats.mjs';
import { coffer } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'coffer-nats-'));
afterAll(() => rmSync(folder, { recursive: true }));
const account = createKeyPair('account');
const user = createKeyPair('user');

/** What a command says of this server: that nobody listens there, once it has come in. */
const said = async (address: string, ...args: string[]) =>
  (await coffer(['wasmcloud', 'list-mappings', '--nats-address', address, ...args])).stderr;
const CAME_IN = /no backend listens/;

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

describe('NATS', () => {
  it('that nobody runs, or where no backend listens: a sentence that says what to look at', async () => {
    expect(await said('nats://u:pw@127.0.0.1:1')).toBe(
      'coffer: cannot connect to NATS at 127.0.0.1:1: connection refused: check that nats-server runs, and that --nats-address ' +
        'is right\n',
    );
    await using server = await NatsServer.start();
    expect(await said(server.url, '-n', 'vault')).toMatch(
      /^coffer: failed to list mappings: no backend listens on wasmcloud\.secrets\.v1alpha1\.vault\.server_xkey; "coffer wasmcloud run"/,
    );
    for (const address of ['a:b:c', 'http://x', 'x:99999', ''])
      expect(await said(address)).toContain(`coffer: invalid --nats-address "${address}": write HOST:PORT`);
    expect(await said('u:pw@a:b:c')).toContain('--nats-address "…@a:b:c"');
  });

  it('that demands a user gets the one of the URL, or of the key', async () => {
    const config = `authorization { users: [{user: u, password: "p@w"}, {nkey: ${user.publicKey}}] }`;
    await using server = await NatsServer.start({ config });
    const where = `127.0.0.1:${server.port}`;
    const nkey = file('user.nk', user.seed());
    const came = await Promise.all([said(`nats://u:p%40w@${where}`), said(where, '--nats-nkey-file', nkey)]);
    for (const one of came) expect(one).toMatch(CAME_IN);
  });

  it('that does not let in who comes: a sentence that names the credential, and does not show it', async () => {
    await using server = await NatsServer.start({ config: 'authorization { user: u, password: pw }' });
    const where = `127.0.0.1:${server.port}`;
    expect(await said(where)).toMatch(/does not let in who comes with nothing: use --nats-creds-file FILE/);
    const wrong = await said(`nats://u:wrong@${where}`);
    expect(wrong).toMatch(/does not let in the user of --nats-address/);
    expect(wrong).not.toContain('u:wrong');
    const nkey = file('stranger.nk', user.seed());
    expect(await said(where, '--nats-nkey-file', nkey)).toMatch(
      /does not let in the user of --nats-nkey-file/,
    );
    const creds = file(
      'user.creds',
      formatCreds(encodeJwt(newUser(user.publicKey, 'u'), account), user.seed()),
    );
    expect(await said(where, '--nats-creds-file', creds)).toMatch(
      /does not let in the user of --nats-creds-file/,
    );
    expect(await said(`nats://u:pw@${where}`, '--nats-nkey-file', nkey)).toMatch(/names a user, and/);
    const other = file('account.nk', account.seed());
    expect(await said(where, '--nats-nkey-file', other)).toMatch(/holds the seed of no user/);
    expect(await said(where, '--nats-creds-file', nkey)).toMatch(/this is no (content of a )?creds file/);
  });

  it('over TLS is reached by who trusts its authority', async () => {
    const authority = new Authority();
    const issued = authority.issue();
    const [ca, cert, key] = [file('ca', authority.cert), file('crt', issued.cert), file('key', issued.key)];
    const config = `tls { cert_file: ${JSON.stringify(cert)}, key_file: ${JSON.stringify(key)} }`;
    await using server = await NatsServer.start({ config });
    const where = `127.0.0.1:${server.port}`;
    const came = await Promise.all([where, `tls://${where}`].map((one) => said(one, '--nats-ca', ca)));
    for (const one of came) expect(one).toMatch(CAME_IN);
    expect(await said(where)).toMatch(/--nats-ca FILE names the authorities to trust/);
    expect(await said(where, '--nats-ca', key)).toMatch(/no certificate in/);
  });
});
