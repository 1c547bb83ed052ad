import { afterEach, describe, expect, it, vi } from 'vitest';
import { createKeyPair, type IssuedMemory, memoryIssued } from '../src/index.js';
import { NOW, World } from './trust-world.js';

const refusal = (code: string) => expect.objectContaining({ name: 'ChainError', code });

/** A memory that can be told to fail. */
class FailingMemory implements IssuedMemory {
  readonly #kept = memoryIssued();
  fails = false;

  newest(key: string): number | undefined {
    return this.#kept.newest(key);
  }

  async remember(key: string, iat: number): Promise<void> {
    if (this.fails) throw new Error('the disk is full');
    await this.#kept.remember(key, iat);
  }
}

afterEach(() => {
  vi.useRealTimers();
});

describe('an operator’s token without the key that signed an account', () => {
  it('makes the one before stale although nobody asked while it was in force, for later lives, too', async () => {
    const world = new World();
    const [first] = world.operators as [string];
    const user = world.userToken();
    const verifier = world.verifier();
    await verifier.verify(user, ['user']);
    world.now++;
    world.operators = [world.operatorToken({ signing_keys: [] })];
    verifier.changed();
    await vi.waitFor(() => expect(world.issued.newest(world.operator.publicKey)).toBe(NOW + 1));
    world.operators = [first];
    verifier.changed();
    await expect(verifier.verify(user, ['user'])).rejects.toThrow(refusal('stale_token'));
    await expect(world.verifier().verify(user, ['user'])).rejects.toThrow(refusal('stale_token'));
  });

  it('is remembered by a verifier that begins with it, and by one that is not told of it', async () => {
    vi.useFakeTimers();
    const world = new World();
    const remembered = () => world.issued.newest(world.operator.publicKey);
    world.verifier();
    await vi.advanceTimersByTimeAsync(0);
    expect(remembered()).toBe(NOW);
    world.now++;
    world.operators = [world.operatorToken({ signing_keys: [] })];
    await vi.advanceTimersByTimeAsync(6_000);
    expect(remembered()).toBe(NOW + 1);
  });

  it('keeps the one before from counting also while it cannot be remembered, and is accepted once it is', async () => {
    vi.useFakeTimers();
    const world = new World();
    const issued = new FailingMemory();
    const verifier = world.verifier({ issued });
    const [user, direct] = [world.userToken(), world.userToken({}, { signer: world.account })];
    const [first] = world.operators as [string];
    await verifier.verify(user, ['user']);
    issued.fails = true;
    world.now++;
    const second = world.operatorToken();
    world.operators = [second];
    verifier.changed();
    await expect(verifier.verify(direct, ['user'])).rejects.toThrow(refusal('memory_failed'));
    world.operators = [first];
    verifier.changed();
    await expect(verifier.verify(user, ['user'])).rejects.toThrow(refusal('stale_token'));
    world.operators = [second];
    issued.fails = false;
    await vi.advanceTimersByTimeAsync(6_000);
    expect(issued.newest(world.operator.publicKey)).toBe(NOW + 1);
    expect(await verifier.verify(user, ['user'])).toMatchObject({ subject: world.user.publicKey });
  });

  it('is remembered beside one that cannot be', async () => {
    const world = new World();
    const other = new World();
    const failing = world.operator.publicKey;
    const kept = memoryIssued();
    const issued: IssuedMemory = {
      newest: (key) => kept.newest(key),
      remember: async (key, iat) => {
        if (key === failing) throw new Error('no');
        await kept.remember(key, iat);
      },
    };
    world.verifier({ issued, operators: () => [...world.operators, ...other.operators] });
    await vi.waitFor(() => expect(kept.newest(other.operator.publicKey)).toBe(NOW));
    expect(kept.newest(failing)).toBeUndefined();
  });

  it.each([
    ['issued in the future', { iat: NOW + 60 }],
    ['that has expired', { exp: NOW - 60 }],
    ['not valid yet', { nbf: NOW + 60 }],
    ['that somebody else signed', { signer: createKeyPair('operator') }],
  ])('is not remembered if it is one %s', async (_what, told) => {
    const world = new World();
    const verifier = world.verifier();
    await vi.waitFor(() => expect(world.issued.newest(world.operator.publicKey)).toBe(NOW));
    const [first] = world.operators as [string];
    world.operators = [world.operatorToken({}, { iat: NOW + 1, ...told })];
    verifier.changed();
    world.operators = [first];
    expect(await verifier.verify(world.userToken(), ['user'])).toBeDefined();
    expect(world.issued.newest(world.operator.publicKey)).toBe(NOW);
  });
});

describe('a newer token of an account that was seen in a former life', () => {
  it.each([
    ['told of', (world: World) => world.resolver.put(world.accountToken({ revocations: { '*': NOW + 1 } }))],
    ['there from the start', () => {}],
  ])('is remembered when it is %s, although nobody asks', async (when, act) => {
    const world = new World();
    const [first, user] = [world.accountToken(), world.userToken()];
    const before = world.verifier();
    await before.verify(user, ['user']);
    before.close();
    world.now++;
    if (when !== 'told of') world.resolver.put(world.accountToken({ revocations: { '*': NOW + 1 } }));
    const verifier = world.verifier();
    act(world);
    await vi.waitFor(() => expect(world.issued.newest(world.account.publicKey)).toBe(NOW + 1));
    world.resolver.put(first);
    await expect(verifier.verify(user, ['user'])).rejects.toThrow(refusal('stale_token'));
  });

  it('is looked for again when the accounts cannot be listed at the start', async () => {
    vi.useFakeTimers();
    const world = new World();
    await world.issued.remember(world.account.publicKey, NOW - 1);
    const accounts = vi.fn(() => world.resolver.accounts()).mockRejectedValueOnce(new Error('not yet'));
    world.verifier({ resolver: { lookup: (key) => world.resolver.lookup(key), accounts } });
    await vi.advanceTimersByTimeAsync(0);
    expect(world.issued.newest(world.account.publicKey)).toBe(NOW - 1);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(world.issued.newest(world.account.publicKey)).toBe(NOW);
    expect(accounts).toHaveBeenCalledTimes(2);
  });

  it('is not looked for if the account was never seen: nothing older of it counted', async () => {
    const world = new World();
    const lookup = vi.fn((key: string) => world.resolver.lookup(key));
    const watch = (changed: (account?: string) => void) => world.resolver.watch(changed);
    world.verifier({ resolver: { lookup, watch, accounts: () => world.resolver.accounts() } });
    world.resolver.put(world.accountToken({}, { iat: NOW - 1 }));
    await new Promise(setImmediate);
    expect(lookup).not.toHaveBeenCalled();
  });
});

describe('of two tokens of one second', () => {
  it('an account’s later one counts, and the earlier one comes back no more', async () => {
    const world = new World();
    const verifier = world.verifier();
    const [first, second] = [world.accountToken(), world.accountToken({ revocations: { '*': NOW } })];
    const user = world.userToken();
    await verifier.verify(user, ['user']);
    world.resolver.put(second);
    await expect(verifier.verify(user, ['user'])).rejects.toThrow(refusal('revoked'));
    world.resolver.put(first);
    await expect(verifier.verify(user, ['user'])).rejects.toThrow(refusal('stale_token'));
    world.resolver.put(second);
    world.now++;
    expect(await verifier.verify(world.userToken(), ['user'])).toBeDefined();
    world.resolver.put(world.accountToken());
    expect(await verifier.verify(user, ['user'])).toBeDefined();
  });

  it('an operator’s later one counts, and the earlier one comes back no more', async () => {
    const world = new World();
    const verifier = world.verifier();
    const [first] = world.operators as [string];
    const user = world.userToken();
    const chain = await verifier.verify(user, ['user']);
    world.operators = [world.operatorToken({ signing_keys: [] })];
    expect(verifier.isLive(chain)).toBe(false);
    world.operators = [first];
    await expect(verifier.verify(user, ['user'])).rejects.toThrow(refusal('stale_token'));
    world.now++;
    world.operators = [world.operatorToken()];
    expect(await verifier.verify(user, ['user'])).toBeDefined();
  });
});

describe('an account that is trusted by its key', () => {
  it('is refused where its token is another’s word, rather than without its revocations', async () => {
    const world = new World();
    const options = { operators: () => [], accounts: [world.account.publicKey] };
    const user = world.userToken({}, { signer: world.account });
    const refused = world.verifier(options).verify(user, ['user']);
    await expect(refused).rejects.toThrow(refusal('unknown_issuer'));
    await expect(refused).rejects.toThrow('what its token says cannot be believed');
    world.resolver.remove(world.account.publicKey);
    expect(await world.verifier(options).verify(user, ['user'])).toBeDefined();
  });
});

describe('a token that could not be revoked by its id', () => {
  const withId = (jti: string, token: string, signer: { sign(bytes: Uint8Array): Uint8Array }) => {
    const [header, payload = ''] = token.split('.');
    const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), jti };
    const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
    return `${signed}.${Buffer.from(signer.sign(Buffer.from(signed))).toString('base64url')}`;
  };

  it.each([
    ['with a space', 'x y'],
    ['beyond ASCII', 'ä'],
    ['of 129 characters', 'x'.repeat(129)],
    ['that looks like a seed', `S${'A'.repeat(57)}`],
    ['that is empty', ''],
  ])('is refused: a user’s, an account’s or an operator’s with an id %s', async (_what, jti) => {
    const world = new World();
    const user = world.userToken();
    const refused = world.verifier().verify(withId(jti, user, world.signer), ['user']);
    await expect(refused).rejects.toThrow('by which it could be revoked');
    const lookup = () => withId(jti, world.accountToken(), world.operatorSigner);
    const verifier = world.verifier({ resolver: { lookup } });
    await expect(verifier.verify(user, ['user'])).rejects.toThrow(refusal('resolver_failed'));
    const other = new World();
    other.operators = [withId(jti, other.operatorToken(), other.operator)];
    await expect(other.verifier().verify(other.userToken(), ['user'])).rejects.toThrow(
      refusal('unknown_issuer'),
    );
  });

  it('is no one with an id of any 128 printable characters', async () => {
    const world = new World();
    const user = withId('~'.repeat(128), world.userToken(), world.signer);
    expect(await world.verifier().verify(user, ['user'])).toMatchObject({ jti: '~'.repeat(128) });
  });
});
