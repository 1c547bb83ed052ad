import { createPublicKey, verify as verifyByNode } from 'node:crypto';
import { createKeyPair, decodeWascap, encodeWascap, type KeyPair, keyPairFromBytes } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import type { Requester } from '../src/index.js';
import { jwksOf, keyIdOf } from '../src/vault/index.js';
import { isListed, loginToken, signed } from '../src/vault/login-token.js';

/** RFC 8037, appendix A. */
const RFC8037 = {
  d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
  thumbprint: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
  payload: 'Example of Ed25519 signing',
  jws:
    'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.' +
    'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
};

const rfcKey = (): KeyPair => keyPairFromBytes('server', Buffer.from(RFC8037.d, 'base64url'));

describe('the keys for Vault', () => {
  it('are written and named as in RFC 8037', () => {
    using key = rfcKey();
    const { thumbprint: kid, x } = RFC8037;
    expect(jwksOf([key.publicKey])).toEqual({
      keys: [{ use: 'sig', kty: 'OKP', kid, alg: 'EdDSA', crv: 'Ed25519', x }],
    });
    expect(keyIdOf(key.publicKey)).toBe(kid);
  });

  it('sign as in RFC 8037', () => {
    using key = rfcKey();
    expect(signed({ alg: 'EdDSA' }, RFC8037.payload, key)).toBe(RFC8037.jws);
  });
});

const account = createKeyPair('account');
const component = createKeyPair('component');
const provider = createKeyPair('provider');
const host = createKeyPair('server');

function requester({ entity = component, hostSigner = host, labels = {} } = {}): Requester {
  const about = { wascap: { name: 'of a test', ...labels } };
  const entityToken = decodeWascap(encodeWascap({ sub: entity.publicKey, ...about }, account));
  const hostToken = decodeWascap(encodeWascap({ sub: host.publicKey, wascap: { name: 'host' } }, hostSigner));
  const { jti } = entityToken.claims;
  const kind = entity === component ? 'component' : 'provider';
  return {
    entity: { kind, key: entity.publicKey, jti, name: '', token: entityToken },
    // Its chain is the verifier's matter.
    host: { key: host.publicKey, name: '', token: hostToken } as Requester['host'],
    application: { name: 'shop', policy: '' },
  };
}

const NOBODY = { backend: '', audience: 'v', application: '', hostTrusted: false };
const NOW = new Date('2026-01-02T03:04:05Z');

function read(jwt: string) {
  const [header = '', claims = '', signature = ''] = jwt.split('.');
  const parse = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
  return {
    header: parse(header),
    claims: parse(claims),
    signedBy: (jwk: object) =>
      verifyByNode(
        null,
        Buffer.from(`${header}.${claims}`),
        createPublicKey({ key: { ...jwk }, format: 'jwk' }),
        Buffer.from(signature, 'base64url'),
      ),
  };
}

describe('a log-in token', () => {
  const key = createKeyPair('server');

  it('says of a component what Vault’s roles are made for', () => {
    const asked = requester();
    const said = { backend: 'vault', audience: 'Vault', application: 'shop', hostTrusted: true };
    const jwt = loginToken({ ...said, requester: asked }, key, NOW);
    const { header, claims, signedBy } = read(jwt);
    expect(header).toEqual({ alg: 'EdDSA', typ: 'JWT', kid: keyIdOf(key.publicKey) });
    expect(claims).toEqual({
      iss: key.publicKey,
      aud: 'Vault',
      sub: asked.entity.jti,
      exp: NOW.getTime() / 1000 + 60,
      backend: 'vault',
      entity: component.publicKey,
      account: '',
      application: 'shop',
      host_trusted: true,
      host: asked.host.token.claims,
      component: asked.entity.token.claims,
    });
    const [jwk] = jwksOf([key.publicKey]).keys;
    expect(signedBy(jwk as object)).toBe(true);
  });

  it('says of which trusted account an entity is, whose key another account may sign for as well', () => {
    const asked = requester();
    const below = { ...asked, entity: { ...asked.entity, account: 'ACCOUNT' } };
    const { claims } = read(loginToken({ ...NOBODY, requester: below }, key, NOW));
    expect(claims.account).toBe('ACCOUNT');
  });

  it('says of a provider the same', () => {
    const asked = requester({ entity: provider });
    const { claims } = read(loginToken({ ...NOBODY, requester: asked }, key, NOW));
    expect(claims.provider).toEqual(asked.entity.token.claims);
    expect(claims).not.toHaveProperty('component');
  });

  it('keeps numbers of entities’ tokens to the digit', () => {
    const asked = requester({ labels: { config: 12345678901234567890n } });
    const jwt = loginToken({ ...NOBODY, requester: asked }, key, NOW);
    const text = Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString();
    expect(text).toContain('"config":12345678901234567890');
  });
});

describe('a host', () => {
  const listed = { keys: [host.publicKey], clusters: [account.publicKey] };

  it('is believed about applications if it is listed and its own key signed its token, or if a listed cluster signed it', () => {
    expect(isListed(requester(), listed)).toBe(true);
    expect(isListed(requester({ hostSigner: account }), listed)).toBe(true);
  });

  it.each([
    ['unless hosts are listed', requester(), {}],
    ['that is not listed', requester(), { keys: [provider.publicKey] }],
    [
      'that calls itself as a listed one is called',
      requester({ hostSigner: createKeyPair('account') }),
      listed,
    ],
  ])('is not believed %s', (_, asked, hosts) => {
    expect(isListed(asked, hosts)).toBe(false);
  });
});
