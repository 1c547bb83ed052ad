import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  type HostTrust,
  keyPairFromSeed,
  memoryResolver,
  Verifier,
  type VerifierOptions,
} from '../src/index.js';
import { ALL, NOW, World } from './trust-world.js';
import { wascap } from './vectors.js';

const component = createKeyPair('component');
const provider = createKeyPair('provider');
const host = createKeyPair('server');

const vector = (kind: string, note: string) => {
  const found = wascap.tokens.find((one) => one.kind === kind && one.note.includes(note));
  if (found === undefined) throw new Error(`no such vector: ${kind}, ${note}`);
  return found;
};

describe("wascap's components and providers", () => {
  const operator = vector('operator', '').jwt;
  const account = vector('account', '');
  const now = () => new Date((wascapIssued + 60) * 1000);
  const wascapIssued = 1_795_316_788;

  function verifier(options: Partial<VerifierOptions> = {}): Verifier {
    return new Verifier({
      operators: () => [operator],
      resolver: memoryResolver([account.jwt]),
      now,
      ...options,
    });
  }

  it.each(['component', 'provider'] as const)(
    'are of the account whose key or signing key signed them: a %s',
    async (kind) => {
      for (const note of ['issued by the account key', "issued by the account's signing key"]) {
        const { jwt, issuer, subject } = vector(kind, note);
        expect(await verifier().verify(jwt, [kind])).toMatchObject({
          kind,
          subject,
          issuer,
          account: { key: account.subject, name: 'acc' },
          operator: { name: 'op' },
          links: [{ what: 'operator' }, { what: 'account' }, { what: kind }],
        });
      }
    },
  );

  it.each([
    ['component', 'stranger', 'unknown_issuer'],
    ['provider', 'stranger', 'unknown_issuer'],
    ['component', 'not valid for ten years', 'not_yet_valid'],
    ['component', 'expired at once', 'expired'],
  ] as const)('are refused when they are wrong: a %s, %s', async (kind, note, code) => {
    await expect(verifier().verify(vector(kind, note).jwt, ALL)).rejects.toMatchObject({ code });
  });

  it('are refused when their account is not signed by the operator, or its token is of another kind', async () => {
    const { jwt } = vector('component', 'issued by the account key');
    const strange = { operators: () => [] };
    await expect(verifier(strange).verify(jwt, ALL)).rejects.toMatchObject({ code: 'unknown_issuer' });
    for (const kind of ['operator', 'account', 'cluster']) {
      await expect(verifier().verify(vector(kind, '').jwt, ALL)).rejects.toMatchObject({
        code: 'wrong_token_kind',
      });
    }
  });

  it('are of an account whose token is one of NATS, too', async () => {
    const world = new World();
    for (const signer of [world.account, world.signer]) {
      const token = world.wascapToken(component.publicKey, signer);
      const chain = await world.verifier().verify(token, ['component']);
      expect(chain).toMatchObject({
        account: { key: world.account.publicKey, name: 'A' },
        issuer: signer.publicKey,
      });
    }
  });

  it("are known by the account's own key only, where accounts cannot be listed", async () => {
    const world = new World();
    const resolver = { lookup: (key: string) => world.resolver.lookup(key) };
    const verify = (signer: typeof world.signer) =>
      world.verifier({ resolver }).verify(world.wascapToken(provider.publicKey, signer), ALL);
    expect(await verify(world.account)).toMatchObject({ kind: 'provider' });
    await expect(verify(world.signer)).rejects.toMatchObject({ code: 'unknown_issuer' });
  });

  it('are refused when their signing key was removed, or is one of two accounts', async () => {
    const world = new World();
    const verifier = world.verifier();
    const token = world.wascapToken(component.publicKey, world.signer);
    const chain = await verifier.verify(token, ['component']);
    world.now++;
    world.resolver.put(world.accountToken({ signing_keys: [] }));
    expect(verifier.isLive(chain)).toBe(false);
    await expect(verifier.verify(token, ALL)).rejects.toMatchObject({ code: 'signing_key_removed' });
    const another = world.wascapToken(provider.publicKey, world.signer);
    await expect(verifier.verify(another, ALL)).rejects.toMatchObject({ code: 'signing_key_removed' });

    const ambiguous = new World();
    const of = createKeyPair('account');
    ambiguous.resolver.put(ambiguous.accountToken({}, { of }));
    const shared = ambiguous.wascapToken(component.publicKey, ambiguous.signer);
    await expect(ambiguous.verifier().verify(shared, ALL)).rejects.toMatchObject({ code: 'unknown_issuer' });
  });

  it('get to know of an account that is added later, without asking for all of them each time', async () => {
    const world = new World();
    let listed = 0;
    const resolver = {
      lookup: (key: string) => world.resolver.lookup(key),
      accounts: () => {
        listed++;
        return world.resolver.accounts();
      },
    };
    const verifier = world.verifier({ resolver });
    // At its start it looks for new tokens of accounts that it knows.
    listed = 0;
    const of = createKeyPair('account');
    const token = world.wascapToken(component.publicKey, of);
    for (let strangers = 0; strangers < 20; strangers++) {
      await expect(verifier.verify(token, ALL)).rejects.toMatchObject({ code: 'unknown_issuer' });
    }
    expect(listed).toBe(1);
    world.resolver.put(world.accountToken({}, { of }));
    world.now += 6;
    expect(await verifier.verify(token, ALL)).toMatchObject({ account: { key: of.publicKey } });
    expect(listed).toBe(2);
  });

  it('are refused when their key, or that of their account, is revoked here', async () => {
    for (const which of ['component', 'account', 'signer'] as const) {
      const world = new World();
      const verifier = world.verifier();
      const token = world.wascapToken(component.publicKey, world.signer);
      const chain = await verifier.verify(token, ['component']);
      world.revocations.revokeKey(
        { component, account: world.account, signer: world.signer }[which].publicKey,
      );
      expect(verifier.isLive(chain)).toBe(false);
      await expect(verifier.verify(token, ALL)).rejects.toMatchObject({ code: 'key_revoked' });
    }
  });

  it('are refused by the revocations in the token of their account', async () => {
    for (const who of [component.publicKey, '*']) {
      const world = new World();
      const token = world.wascapToken(component.publicKey, world.signer);
      world.resolver.put(world.accountToken({ revocations: { [who]: NOW } }));
      await expect(world.verifier().verify(token, ALL)).rejects.toMatchObject({ code: 'revoked' });
    }
  });
});

describe('hosts', () => {
  const cluster = createKeyPair('cluster');
  const made = createKeyPair('account');

  async function verify(signer: typeof cluster, hosts?: HostTrust) {
    const world = new World();
    const token = world.wascapToken(host.publicKey, signer);
    return await world.verifier(hosts && { hosts }).verify(token, ['host']);
  }

  it('are checked for their form only, when nobody says which are trusted', async () => {
    for (const signer of [cluster, made, host]) {
      expect(await verify(signer)).toMatchObject({ kind: 'host', subject: host.publicKey, trusted: false });
    }
    for (const { jwt, subjectSeed } of wascap.tokens.filter(({ kind }) => kind === 'host')) {
      using pair = keyPairFromSeed(subjectSeed);
      expect(await new World().verifier().verify(jwt, ['host'])).toMatchObject({ subject: pair.publicKey });
    }
  });

  it('are trusted by their own key, if that signed, or by the key of their cluster, if they are named', async () => {
    expect(await verify(host, { keys: [host.publicKey] })).toMatchObject({ trusted: true });
    expect(await verify(cluster, { clusters: [cluster.publicKey] })).toMatchObject({ trusted: true });
    expect(await verify(made, { clusters: [made.publicKey] })).toMatchObject({ trusted: true });
  });

  it('are refused otherwise', async () => {
    const refused: [typeof cluster, HostTrust][] = [
      [host, {}],
      [host, { keys: [], clusters: [cluster.publicKey] }],
      // Anybody can write a token about a host.
      [made, { keys: [host.publicKey] }],
      [cluster, { keys: [host.publicKey, cluster.publicKey] }],
      [cluster, { clusters: [made.publicKey] }],
    ];
    for (const [signer, hosts] of refused) {
      await expect(verify(signer, hosts)).rejects.toMatchObject({ code: 'untrusted_host' });
    }
  });

  it('are refused when they are revoked, out of time, or signed by a key of no such kind', async () => {
    const world = new World();
    const verifier = world.verifier();
    const token = world.wascapToken(host.publicKey, cluster);
    const chain = await verifier.verify(token, ['host']);
    world.revocations.revokeKey(cluster.publicKey);
    expect(verifier.isLive(chain)).toBe(false);
    await expect(verifier.verify(token, ALL)).rejects.toMatchObject({ code: 'key_revoked' });
    const old = world.wascapToken(host.publicKey, made, { exp: NOW - 6 });
    await expect(verifier.verify(old, ALL)).rejects.toMatchObject({ code: 'expired' });
    const strange = world.wascapToken(host.publicKey, createKeyPair('user'));
    await expect(verifier.verify(strange, ALL)).rejects.toMatchObject({ code: 'wrong_issuer_kind' });
  });
});
