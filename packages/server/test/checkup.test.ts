import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createKeyPair } from '@coffer/identity';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { type ConfigFlags, checkConfiguration } from '../src/index.js';
import { listing, startTestServer, tcpOf, temporaryFolder } from './support.js';

const authority = new Authority();

interface Place {
  readonly folder: string;
  readonly stateDir: string;
  readonly rootKey: string;
  readonly flags: ConfigFlags;
}

/** A place for a server, where nothing is yet. */
async function place(): Promise<Place> {
  const folder = await temporaryFolder();
  const stateDir = join(folder, 'state');
  const rootKey = `file:${join(folder, 'root.key')}`;
  return { folder, stateDir, rootKey, flags: { listen: '127.0.0.1:0', stateDir, rootKey } };
}

/** What the check has against it, as `LEVEL SUBJECT: SENTENCE`. */
async function complaints(
  flags: ConfigFlags,
  env: Record<string, string> = {},
  now?: Date,
): Promise<string[]> {
  const { findings } = await checkConfiguration({ flags, env: { HOME: '/nonexistent', ...env } }, now);
  return findings
    .filter(({ level }) => level !== 'ok')
    .map(({ level, subject, says }) => `${level} ${subject}: ${says}`)
    .filter((line) => !line.startsWith('warning file system'));
}

describe('checking a configuration', () => {
  it('has nothing against a place where a server can start, and leaves it as it is', async () => {
    const { folder, flags } = await place();
    expect(await complaints(flags)).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('has nothing against a server that runs, and does not disturb it', async () => {
    const { folder, stateDir, rootKey } = await place();
    const server = await startTestServer({ dev: false, stateDir, rootKey });
    const before = listing(folder);
    const listen = `127.0.0.1:${tcpOf(server).port}`;
    expect(await complaints({ listen, stateDir, rootKey })).toEqual([]);
    expect(listing(folder)).toEqual(before);
  });

  it('finds a port that another program has', async () => {
    const { flags } = await place();
    const other = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    expect(await complaints({ ...flags, listen: `127.0.0.1:${port}` })).toEqual([
      `problem address: cannot listen on 127.0.0.1:${port}: another program listens there already`,
    ]);
  });

  it('warns of secrets in clear on a network', async () => {
    const { flags } = await place();
    expect(await complaints({ ...flags, listen: '0.0.0.0:0' })).toEqual([
      expect.stringMatching(/^problem configuration: 0\.0\.0\.0:0 can be reached from other machines/),
    ]);
    expect(await complaints({ ...flags, listen: '0.0.0.0:0', insecureHttp: true })).toEqual([
      expect.stringMatching(/^warning address: 0\.0\.0\.0:0 serves without TLS/),
    ]);
  });

  it.each([
    [0o755, /^warning state folder: others can look into .*: chmod 700 it$/],
    [0o777, /^problem state folder: others can put files into .*: chmod 700 it$/],
  ])('finds a state folder of mode %o', async (mode, sentence) => {
    const { stateDir, flags } = await place();
    mkdirSync(stateDir);
    chmodSync(stateDir, mode);
    expect(await complaints(flags)).toEqual([expect.stringMatching(sentence)]);
  });

  it('finds a state folder that is a file, and one whose path is too long for a socket', async () => {
    const { stateDir, flags } = await place();
    writeFileSync(stateDir, '');
    expect(await complaints(flags)).toEqual([
      expect.stringMatching(/^problem state folder: .* is no folder/),
    ]);
    expect(await complaints({ ...flags, stateDir: `/tmp/${'x'.repeat(100)}` })).toEqual([
      expect.stringMatching(/^problem state folder: the admin socket's path .* is longer than/),
    ]);
  });

  it('finds a root key that others can read, and one inside of the state folder', async () => {
    const { folder, stateDir, flags } = await place();
    writeFileSync(join(folder, 'root.key'), 'x');
    chmodSync(join(folder, 'root.key'), 0o644);
    expect(await complaints(flags)).toEqual([expect.stringMatching(/^problem root key: .*chmod 600 it/)]);
    expect(await complaints({ ...flags, rootKey: `file:${join(stateDir, 'root.key')}` })).toEqual([
      expect.stringMatching(/^problem root key: .* lies inside the state folder/),
    ]);
  });

  it('finds a root key that is none, that is missing, or whose passphrase is not there', async () => {
    const { folder, stateDir, flags } = await place();
    writeFileSync(join(folder, 'root.key'), 'x', { mode: 0o600 });
    expect(await complaints(flags)).toEqual([
      expect.stringMatching(/^problem root key: .*no root key file of coffer's$/),
    ]);
    mkdirSync(join(stateDir, 'store'), { recursive: true, mode: 0o700 });
    writeFileSync(join(stateDir, 'store', 'data.mdb'), '');
    expect(await complaints({ ...flags, rootKey: `file:${folder}/gone` })).toEqual([
      expect.stringMatching(
        /^problem root key: .*\/gone is not there, and the store cannot be read without it/,
      ),
    ]);
    expect(await complaints({ ...flags, rootKey: 'passphrase:env:COFFER_PASSPHRASE' })).toEqual([
      expect.stringMatching(/^problem root key: the environment variable COFFER_PASSPHRASE .* is not set$/),
    ]);
    expect(
      await complaints(
        { ...flags, rootKey: 'passphrase:env:COFFER_PASSPHRASE' },
        { COFFER_PASSPHRASE: 'long enough' },
      ),
    ).toEqual([]);
  });

  it('finds an xkey seed that is not there or is none, and takes its variable for no misspelling', async () => {
    const { flags } = await place();
    const derived = { ...flags, rootKey: 'xkey-seed:env:COFFER_SEED' };
    expect(await complaints(derived)).toEqual([
      'problem root key: the environment variable COFFER_SEED with the xkey seed is not set',
    ]);
    expect(await complaints(derived, { COFFER_SEED: 'no seed' })).toEqual([
      expect.stringMatching(/^problem root key: .*COFFER_SEED holds no seed of an xkey, which has 58/),
    ]);
    const seed = Buffer.from(createKeyPair('curve').seed()).toString();
    expect(await complaints(derived, { COFFER_SEED: seed })).toEqual([]);
  });

  it('finds a folder in which others can put another root key', async () => {
    const { folder, stateDir, rootKey, flags } = await place();
    await (await startTestServer({ dev: false, stateDir, rootKey })).close();
    chmodSync(folder, 0o777);
    expect(await complaints(flags)).toEqual([
      expect.stringMatching(/^warning root key: others can put another file in the place of .*: chmod go-w /),
    ]);
  });

  it('finds a certificate that ends soon, has ended, or is for another name', async () => {
    const { folder, flags } = await place();
    const { cert, key } = authority.issue();
    const tls = { tlsCert: join(folder, 'tls.crt'), tlsKey: join(folder, 'tls.key') };
    writeFileSync(tls.tlsCert, cert);
    writeFileSync(tls.tlsKey, key, { mode: 0o600 });
    const inDays = (days: number) => new Date(Date.now() + days * 24 * 60 * 60 * 1000);
    expect(await complaints({ ...flags, ...tls })).toEqual([]);
    expect(await complaints({ ...flags, ...tls }, {}, inDays(25))).toEqual([
      expect.stringMatching(/^warning certificate: .* is valid until [\d-]{10}: renew it before then$/),
    ]);
    expect(await complaints({ ...flags, ...tls }, {}, inDays(31))).toEqual([
      expect.stringMatching(/^problem certificate: .* expired on/),
    ]);
    expect(await complaints({ ...flags, ...tls, publicUrl: 'https://other.example' })).toEqual([
      expect.stringMatching(
        /^warning certificate: .* is for localhost.*, not for other\.example as publicUrl says/,
      ),
    ]);
  });

  it('finds a limit for bodies that lets no large value pass, and a misspelt variable', async () => {
    const { folder, flags } = await place();
    const config = join(folder, 'coffer.yaml');
    writeFileSync(config, 'limits: { bodyBytes: 1000 }\n');
    expect(await complaints({ ...flags, config }, { COFFER_LISTN: '1' })).toEqual([
      expect.stringMatching(
        /^warning configuration: limits\.bodyBytes \(1000\) lets no value of more than 750 bytes pass/,
      ),
      expect.stringMatching(/^warning environment: COFFER_LISTN is set and means nothing/),
    ]);
  });
});
