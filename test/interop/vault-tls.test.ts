/** A real Vault over TLS, with certificates of an authority of our own: whom coffer believes to be Vault. */
import { type SecretSource, SecretsError } from '@coffer/wasmcloud';
import type { VaultOptions } from '@coffer/wasmcloud/vault';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { canary } from '../support/canary.mjs';
import { Authority } from '../support/certificates.mjs';
import { KeptVault } from '../support/vault.mjs';
import { Askers, SigningKeysServer, setUp, sourceOf } from './vault-world.js';

const askers = new Askers();
const [authority, stranger] = [new Authority(), new Authority()];
let vault: KeptVault;
let keys: SigningKeysServer;

beforeAll(async () => {
  const certificates = [
    authority.issue(),
    authority.issue({ names: ['elsewhere.example'], addresses: ['127.0.0.2'] }),
    authority.issue({ validTo: new Date(Date.now() - 60_000) }),
    stranger.issue(),
  ];
  [vault, keys] = await Promise.all([
    KeptVault.startWithTls(authority, certificates),
    SigningKeysServer.start(),
  ]);
  await vault.mount('secret', 2);
  await setUp(vault, keys.url);
  await vault.put('shop/tls', { k: canary('tls') });
});
afterAll(async () => {
  await keys?.[Symbol.asyncDispose]();
  await vault?.stop();
});

/** What a get answers, and what is said of whether it can. */
async function get(options: Partial<VaultOptions>): Promise<readonly (string | undefined)[]> {
  const source: SecretSource = await sourceOf(askers, keys, { retries: 0, ...options });
  onTestFinished(() => source.close?.());
  const got = await source.fetch({ key: 'shop/tls', field: 'k' }, askers.requester()).then(
    ({ value }) => Buffer.from(value).toString(),
    (error: unknown) => (error instanceof SecretsError ? error.message : String(error)),
  );
  return [got, await source.unready?.(AbortSignal.timeout(5_000))];
}

const untrusted = (code: string) => {
  const why = `the certificate of Vault is not to be trusted (${code}): check ca and address`;
  return [`UpstreamError: ${why}`, why];
};

describe('a Vault with TLS', () => {
  const ca = authority.cert;
  const [OK, NAME, EXPIRED, STRANGE] = [0, 1, 2, 3];
  const at = (listener: number): Partial<VaultOptions> => ({ address: vault.urls[listener] as string });
  const trusting = (authorities: string) => ({ ca: Buffer.from(authorities) });

  it('is believed if the authority that is given has signed its certificate, for its address', async () => {
    expect(await get({ ...at(OK), ...trusting(ca) })).toEqual([canary('tls'), undefined]);
    expect(await get({ ...at(OK), ca: vault.ca })).toEqual([canary('tls'), undefined]);
  });

  it('is not believed by another authority, nor by the system’s where none is given', async () => {
    const unknown = untrusted('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(await get({ ...at(OK), ...trusting(stranger.cert) })).toEqual(unknown);
    expect(await get(at(OK))).toEqual(unknown);
    expect(await get({ ...at(STRANGE), ...trusting(ca) })).toEqual(unknown);
    expect(await get({ ...at(STRANGE), ...trusting(stranger.cert) })).toEqual([canary('tls'), undefined]);
  });

  it('is not believed with a certificate for another name, nor with one that has expired', async () => {
    expect(await get({ ...at(NAME), ...trusting(ca) })).toEqual(untrusted('ERR_TLS_CERT_ALTNAME_INVALID'));
    expect(await get({ ...at(EXPIRED), ...trusting(ca) })).toEqual(untrusted('CERT_HAS_EXPIRED'));
  });

  it('is not believed any sooner where Node is told to believe everybody', async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    onTestFinished(() => void delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
    expect(await get({ ...at(NAME), ...trusting(ca) })).toEqual(untrusted('ERR_TLS_CERT_ALTNAME_INVALID'));
    expect(await get(at(OK))).toEqual(untrusted('UNABLE_TO_VERIFY_LEAF_SIGNATURE'));
  });

  it('says so where it is asked in clear', async () => {
    const clear = 'Vault speaks TLS: write https:// in address';
    const address = vault.urls[OK]?.replace('https', 'http');
    // Vault ends the connection behind these words while the request is still sent, and the words may be lost with it.
    await expect.poll(() => get({ address: address as string })).toEqual([`UpstreamError: ${clear}`, clear]);
  });
});
