import { afterEach, describe, expect, it, vi } from 'vitest';
import { createKeyPair, type IssuedMemory, memoryIssued } from '../src/index.js';
import { ALL, NOW, SlowResolver, World } from './trust-world.js';

const refusal = (code: string) => expect.objectContaining({ name: 'ChainError', code });

describe('a chain that was verified', () => {
  it('is answered with again at once, the very same, without a question', async () => {
    const world = new World();
    const lookup = vi.fn((key: string) => world.resolver.lookup(key));
    const verifier = world.verifier({ resolver: { lookup } });
    const token = world.userToken();
    const chain = await verifier.verify(token, ['user']);
    expect(verifier.verify(token, ['user', 'host'])).toBe(chain);
    expect(lookup).toHaveBeenCalledTimes(1);
    expect(Object.isFrozen(chain) && Object.isFrozen(chain.links[0])).toBe(true);
    await expect(verifier.verify(token, ['host'])).rejects.toThrow(refusal('wrong_token_kind'));
  });

  it.each(['user', 'account', 'operator'])(
    'holds until its %s expires, and as long as clocks may differ',
    async (link) => {
      const world = new World();
      const exp = NOW + 100;
      if (link === 'operator') world.operators = [world.operatorToken({}, { exp })];
      if (link === 'account') world.resolver.put(world.accountToken({}, { exp }));
      const token = world.userToken({}, link === 'user' ? { exp } : {});
      const verifier = world.verifier();
      const chain = await verifier.verify(token, ['user']);
      expect(chain.expiresAt).toBe(exp);
      world.now = exp + 5;
      expect(verifier.isLive(chain)).toBe(true);
      expect(verifier.verify(token, ['user'])).toBe(chain);
      world.now = exp + 6;
      expect(verifier.isLive(chain)).toBe(false);
      await expect(verifier.verify(token, ['user'])).rejects.toThrow(refusal('expired'));
    },
  );

  it.each([
    ['its id', (w: World, jti: string) => w.revocations.revokeToken(jti), 'token_revoked'],
    ['its key', (w: World) => w.revocations.revokeKey(w.user.publicKey), 'key_revoked'],
    ["its account's key", (w: World) => w.revocations.revokeKey(w.account.publicKey), 'key_revoked'],
    ['the signing key', (w: World) => w.revocations.revokeKey(w.signer.publicKey), 'key_revoked'],
    [
      "the operator's signing key",
      (w: World) => w.revocations.revokeKey(w.operatorSigner.publicKey),
      'key_revoked',
    ],
  ])(
    'ceases to hold in the moment in which %s is revoked here, and holds again when that is lifted',
    async (_what, revoke, code) => {
      const world = new World();
      const verifier = world.verifier();
      const token = world.userToken();
      const chain = await verifier.verify(token, ['user']);
      revoke(world, chain.jti);
      expect(verifier.isLive(chain)).toBe(false);
      await expect(verifier.verify(token, ['user'])).rejects.toThrow(refusal(code));
      for (const key of [
        chain.jti,
        ...[world.user, world.account, world.signer, world.operatorSigner].map((k) => k.publicKey),
      ]) {
        world.revocations.lift(key);
      }
      expect(await verifier.verify(token, ['user'])).toBe(chain);
    },
  );

  it('ceases to hold when its account says so, and others of the account do not', async () => {
    const world = new World();
    const verifier = world.verifier();
    const other = createKeyPair('user');
    const [gone, stays] = [world.userToken(), world.userToken({}, { of: other, signer: world.scoped })];
    const [goneChain, staysChain] = [
      await verifier.verify(gone, ['user']),
      await verifier.verify(stays, ['user']),
    ];
    const seen: boolean[][] = [];
    verifier.onChange(() => seen.push([verifier.isLive(goneChain), verifier.isLive(staysChain)]));
    world.now++;
    world.resolver.put(world.accountToken({ signing_keys: [world.scope()] }));
    // In the same turn.
    expect(seen).toEqual([[false, true]]);
    await expect(verifier.verify(gone, ['user'])).rejects.toThrow(refusal('signing_key_removed'));
    expect(await verifier.verify(stays, ['user'])).toBe(staysChain);
  });

  it('does not mind what another account says', async () => {
    const world = new World();
    const of = createKeyPair('account');
    world.resolver.put(world.accountToken({}, { of }));
    const verifier = world.verifier();
    const token = world.userToken();
    const chain = await verifier.verify(token, ['user']);
    world.now++;
    world.resolver.put(world.accountToken({ revocations: { '*': NOW + 1 } }, { of }));
    world.resolver.remove(of.publicKey);
    expect(verifier.verify(token, ['user'])).toBe(chain);
  });

  it('gives way to another one when the scope of its key has changed', async () => {
    const world = new World();
    const verifier = world.verifier();
    const token = world.userToken({}, { signer: world.scoped });
    const chain = await verifier.verify(token, ['user']);
    expect(chain).toMatchObject({ role: 'reader', user: { bearer: false } });
    world.now++;
    const scope = world.scope({
      src: ['10.0.0.0/8'],
      allowed_connection_types: ['STANDARD'],
      bearer_token: true,
    });
    world.resolver.put(world.accountToken({ signing_keys: [scope] }));
    expect(verifier.isLive(chain)).toBe(false);
    const then = await verifier.verify(token, ['user']);
    expect(then.user).toEqual({ src: ['10.0.0.0/8'], connectionTypes: ['STANDARD'], bearer: true });
  });

  it('ceases to hold when the operator removes the key that signed the account, or is trusted no more', async () => {
    const world = new World();
    const verifier = world.verifier();
    const token = world.userToken();
    const chain = await verifier.verify(token, ['user']);
    world.now++;
    world.operators = [world.operatorToken({ signing_keys: [] })];
    expect(verifier.isLive(chain)).toBe(false);
    await expect(verifier.verify(token, ['user'])).rejects.toThrow(refusal('signing_key_removed'));
    world.operators = [];
    await expect(verifier.verify(token, ['user'])).rejects.toThrow(refusal('signing_key_removed'));
    world.now++;
    world.operators = [world.operatorToken()];
    expect(await verifier.verify(token, ['user'])).toBe(chain);
  });

  it('does not hold for another verifier, nor when the verifier is closed', async () => {
    const world = new World();
    const [verifier, other] = [world.verifier(), world.verifier()];
    const token = world.userToken();
    const chain = await verifier.verify(token, ['user']);
    expect(other.isLive(chain)).toBe(false);
    verifier.close();
    expect(verifier.isLive(chain)).toBe(false);
    await expect(verifier.verify(token, ['user'])).rejects.toThrow(refusal('resolver_failed'));
  });
});

describe('the newest token of an operator or account', () => {
  /** A memory that is slow, or full. */
  function memory() {
    const kept = memoryIssued();
    const waiting: (() => void)[] = [];
    const slow: IssuedMemory & { fails: boolean; waiting: (() => void)[] } = {
      fails: false,
      waiting,
      newest: (key) => kept.newest(key),
      remember: async (key, iat) => {
        await new Promise<void>((resolve) => waiting.push(resolve));
        if (slow.fails) throw new Error('a value nobody may see');
        await kept.remember(key, iat);
      },
    };
    return slow;
  }

  it('is remembered before a chain is answered with, once for all who wait', async () => {
    const world = new World();
    const issued = memory();
    const verifier = world.verifier({ issued });
    const answers: unknown[] = [];
    const token = world.userToken();
    const both = [1, 2].map(async () => answers.push(await verifier.verify(token, ['user'])));
    for (const key of [world.operator, world.account]) {
      await vi.waitFor(() => expect(issued.waiting).toHaveLength(1));
      expect(answers).toEqual([]);
      issued.waiting.pop()?.();
      await vi.waitFor(() => expect(issued.newest(key.publicKey)).toBe(NOW));
    }
    await Promise.all(both);
    expect(answers).toHaveLength(2);
  });

  it('is remembered before a chain that was verified already is answered with again', async () => {
    const world = new World();
    const issued = memory();
    const verifier = world.verifier({ issued });
    const token = world.userToken();
    const first = verifier.verify(token, ['user']);
    for (let each = 0; each < 2; each++) {
      await vi.waitFor(() => expect(issued.waiting).toHaveLength(1));
      issued.waiting.pop()?.();
    }
    await first;
    world.now++;
    world.resolver.put(world.accountToken());
    const again = verifier.verify(token, ['user']);
    expect(again).toBeInstanceOf(Promise);
    await vi.waitFor(() => expect(issued.waiting).toHaveLength(1));
    issued.waiting.pop()?.();
    expect(await again).toBe(await first);
    expect(issued.newest(world.account.publicKey)).toBe(NOW + 1);
  });

  it('is remembered when it is seen, even if nobody asks', async () => {
    const world = new World();
    const verifier = world.verifier();
    await verifier.verify(world.userToken(), ['user']);
    world.now++;
    world.resolver.put(world.accountToken());
    await vi.waitFor(() => expect(world.issued.newest(world.account.publicKey)).toBe(NOW + 1));
  });

  it('is remembered also when the caller is refused by it', async () => {
    const world = new World();
    const before = world.accountToken();
    world.now++;
    world.resolver.put(world.accountToken({ signing_keys: [] }));
    await expect(world.verifier().verify(world.userToken(), ALL)).rejects.toThrow(refusal('unknown_issuer'));
    world.resolver.put(before);
    await expect(world.verifier().verify(world.userToken(), ALL)).rejects.toThrow(refusal('stale_token'));
  });

  it('is not accepted when it cannot be remembered', async () => {
    const world = new World();
    const issued = memory();
    issued.fails = true;
    const verifier = world.verifier({ issued });
    const answer = verifier.verify(world.userToken(), ['user']);
    await vi.waitFor(() => expect(issued.waiting).toHaveLength(1));
    issued.waiting.pop()?.();
    await expect(answer).rejects.toThrow(refusal('memory_failed'));
    await expect(answer).rejects.toThrow(expect.not.stringContaining('nobody may see'));
  });

  it('is not taken from a token that leads to nobody trusted', async () => {
    const world = new World();
    world.resolver.put(world.accountToken({}, { signer: createKeyPair('operator'), iat: NOW + 5 }));
    await expect(world.verifier().verify(world.userToken(), ALL)).rejects.toThrow(refusal('unknown_issuer'));
    world.resolver.put(world.accountToken({}, { iat: NOW + 100 }));
    await expect(world.verifier().verify(world.userToken(), ALL)).rejects.toThrow(refusal('not_yet_valid'));
    expect(world.issued.newest(world.account.publicKey)).toBeUndefined();
  });

  it.each(['account', 'operator'])(
    'makes an older one of the %s useless, also for the next process',
    async (link) => {
      const world = new World();
      const old = link === 'account' ? world.accountToken() : world.operatorToken();
      world.now++;
      world.resolver.put(world.accountToken({ signing_keys: [] }));
      world.operators = [world.operatorToken()];
      const first = world.verifier();
      const chain = await first.verify(world.userToken({}, { signer: world.account }), ['user']);
      const replay = () => {
        if (link === 'account') world.resolver.put(old);
        else world.operators = [old];
      };
      replay();
      expect(first.isLive(chain)).toBe(false);
      for (const verifier of [first, world.verifier()]) {
        await expect(verifier.verify(world.userToken(), ['user'])).rejects.toThrow(refusal('stale_token'));
      }
    },
  );

  it('is told by another instance that shares the memory', async () => {
    const world = new World();
    const verifier = world.verifier();
    const token = world.userToken();
    const chain = await verifier.verify(token, ['user']);
    await world.issued.remember(world.account.publicKey, NOW + 1);
    expect(verifier.isLive(chain)).toBe(false);
    await expect(verifier.verify(token, ['user'])).rejects.toThrow(refusal('stale_token'));
  });
});

describe('an account that is trusted without an operator', () => {
  const bare = (world: World) => world.verifier({ operators: () => [], accounts: [world.account.publicKey] });

  it('has the users that its own key signed', async () => {
    const world = new World();
    world.resolver.remove(world.account.publicKey);
    const chain = await bare(world).verify(world.userToken({}, { signer: world.account }), ['user']);
    expect(chain).toMatchObject({ account: { key: world.account.publicKey, name: '' }, operator: undefined });
    expect(chain.links.map(({ what }) => what)).toEqual(['account', 'user']);
    await expect(bare(world).verify(world.userToken(), ['user'])).rejects.toThrow(refusal('unknown_issuer'));
  });

  it('has those of its signing keys, if it says so itself', async () => {
    const world = new World();
    // A token signed by an operator whom nobody trusts says nothing.
    await expect(bare(world).verify(world.userToken(), ['user'])).rejects.toThrow(refusal('unknown_issuer'));
    world.resolver.put(world.accountToken({}, { signer: world.account }));
    expect(await bare(world).verify(world.userToken(), ['user'])).toMatchObject({ account: { name: 'A' } });
  });

  it('revokes users by its own token, which must not vanish', async () => {
    const world = new World();
    world.resolver.put(world.accountToken({}, { signer: world.account }));
    const token = world.userToken({}, { signer: world.account });
    await bare(world).verify(token, ['user']);
    world.now++;
    world.resolver.put(
      world.accountToken({ revocations: { [world.user.publicKey]: NOW } }, { signer: world.account }),
    );
    await expect(bare(world).verify(token, ['user'])).rejects.toThrow(refusal('revoked'));
    world.resolver.remove(world.account.publicKey);
    await expect(bare(world).verify(token, ['user'])).rejects.toThrow(refusal('unknown_issuer'));
  });

  it('has components and providers, too', async () => {
    const world = new World();
    world.resolver.remove(world.account.publicKey);
    const token = world.wascapToken(createKeyPair('component').publicKey, world.account);
    expect(await bare(world).verify(token, ['component'])).toMatchObject({
      account: { key: world.account.publicKey },
    });
  });

  it('must be a key', () => {
    const world = new World();
    expect(() => world.verifier({ accounts: ['A'] })).toThrow(
      expect.objectContaining({ code: 'malformed_key' }),
    );
  });
});

describe('the resolver', () => {
  afterEach(() => vi.useRealTimers());

  it('is asked once for all who wait', async () => {
    const world = new World();
    const resolver = new SlowResolver();
    const verifier = world.verifier({ resolver });
    const answers = Array.from({ length: 50 }, (_, at) =>
      verifier.verify(world.userToken({}, { name: `U${at}` }), ['user']),
    );
    await vi.waitFor(() => expect(resolver.asked.length).toBeGreaterThan(0));
    resolver.asked[0]?.answer(world.accountToken());
    expect(await Promise.all(answers)).toHaveLength(50);
    expect(resolver.asked).toHaveLength(1);
  });

  it('is asked again when a change is told of while it is asked: the answer of before counts for nothing', async () => {
    const world = new World();
    const resolver = new SlowResolver();
    const verifier = world.verifier({ resolver });
    const before = world.accountToken();
    const answer = verifier.verify(world.userToken(), ['user']);
    await vi.waitFor(() => expect(resolver.asked).toHaveLength(1));
    resolver.change(world.account.publicKey);
    resolver.asked[0]?.answer(before);
    await vi.waitFor(() => expect(resolver.asked).toHaveLength(2));
    world.now++;
    resolver.asked[1]?.answer(world.accountToken({ revocations: { [world.user.publicKey]: NOW } }));
    await expect(answer).rejects.toThrow(refusal('revoked'));
  });

  it('is waited for after a change: new chains for ever, those that held for a second', async () => {
    const world = new World();
    const resolver = new SlowResolver();
    const verifier = world.verifier({ resolver });
    const token = world.userToken();
    const first = verifier.verify(token, ['user']);
    await vi.waitFor(() => expect(resolver.asked).toHaveLength(1));
    resolver.asked[0]?.answer(world.accountToken());
    const chain = await first;
    resolver.change();
    let answered = false;
    const again = Promise.resolve(verifier.verify(token, ['user'])).finally(() => {
      answered = true;
    });
    expect(verifier.isLive(chain)).toBe(true);
    world.now++;
    expect(verifier.isLive(chain)).toBe(false);
    expect(answered).toBe(false);
    resolver.asked[1]?.answer(world.accountToken());
    expect(await again).toBe(chain);
    expect(verifier.isLive(chain)).toBe(true);
  });

  it('tells after a second that what it was asked for after a change has not come', async () => {
    vi.useFakeTimers();
    const world = new World();
    const resolver = new SlowResolver();
    const verifier = world.verifier({ resolver });
    const first = verifier.verify(world.userToken(), ['user']);
    await vi.advanceTimersByTimeAsync(0);
    resolver.asked[0]?.answer(world.accountToken());
    const chain = await first;
    const live: boolean[] = [];
    verifier.onChange(() => live.push(verifier.isLive(chain)));
    resolver.change(world.account.publicKey);
    world.now++;
    await vi.advanceTimersByTimeAsync(1_001);
    expect(live).toEqual([true, false]);
  });

  it('is asked anew when its answer is too old, and nothing is accepted when it fails then', async () => {
    const world = new World();
    let fails = false;
    const lookup = vi.fn(async (key: string) => {
      if (fails) throw new Error('a value nobody may see');
      return world.resolver.lookup(key);
    });
    const verifier = world.verifier({ resolver: { lookup }, maxAgeSeconds: 60 });
    const token = world.userToken();
    const chain = await verifier.verify(token, ['user']);
    fails = true;
    world.now += 59;
    expect(verifier.verify(token, ['user'])).toBe(chain);
    expect(verifier.isLive(chain)).toBe(true);
    world.now++;
    expect(verifier.isLive(chain)).toBe(false);
    const answer = verifier.verify(token, ['user']);
    await expect(answer).rejects.toThrow(refusal('resolver_failed'));
    await expect(answer).rejects.toThrow(expect.not.stringContaining('nobody may see'));
    fails = false;
    expect(await verifier.verify(token, ['user'])).toBe(chain);
    expect(lookup).toHaveBeenCalledTimes(3);
    // A clock that goes back makes no answer younger.
    world.now -= 100;
    expect(verifier.isLive(chain)).toBe(false);
  });

  it('is asked before its answer is too old, as long as the account is used, so that nothing ends in between', async () => {
    vi.useFakeTimers();
    const world = new World();
    const lookup = vi.fn(async (key: string) => world.resolver.lookup(key));
    const verifier = world.verifier({ resolver: { lookup }, maxAgeSeconds: 40 });
    const chain = await verifier.verify(world.userToken(), ['user']);
    for (let seconds = 0; seconds < 200; seconds++) {
      world.now++;
      await vi.advanceTimersByTimeAsync(1_000);
      expect(verifier.isLive(chain)).toBe(true);
    }
    expect(lookup.mock.calls.length).toBeLessThan(12);
    verifier.close();
  });

  it('tells of a change that nobody told of when it is asked before its answer is too old', async () => {
    vi.useFakeTimers();
    const world = new World();
    const verifier = world.verifier({
      resolver: { lookup: async (key) => world.resolver.lookup(key) },
      maxAgeSeconds: 40,
    });
    const chain = await verifier.verify(world.userToken(), ['user']);
    const live: boolean[] = [];
    verifier.onChange(() => live.push(verifier.isLive(chain)));
    world.now++;
    world.resolver.put(world.accountToken({ signing_keys: [] }));
    world.now += 30;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(live).toEqual([false]);
    verifier.close();
  });

  it('is believed about the account that it was asked for only', async () => {
    const world = new World();
    const of = createKeyPair('account');
    for (const answer of [world.accountToken({}, { of }), 'eyJ.no.token', '', world.userToken()]) {
      const verifier = world.verifier({ resolver: { lookup: async () => answer } });
      const refused = verifier.verify(world.userToken(), ['user']);
      await expect(refused).rejects.toThrow(refusal('resolver_failed'));
      await expect(refused).rejects.toThrow(expect.not.stringContaining('eyJ'));
    }
  });

  it('is not waited for without end', async () => {
    const world = new World();
    const verifier = world.verifier({ resolver: new SlowResolver(), lookupSeconds: 0.01 });
    await expect(verifier.verify(world.userToken(), ['user'])).rejects.toThrow(refusal('resolver_failed'));
  });

  it('is not asked for the sake of a token that is refused anyway', async () => {
    const world = new World();
    const lookup = vi.fn();
    const verifier = world.verifier({ resolver: { lookup } });
    const token = world.userToken();
    world.revocations.revokeKey(world.scoped.publicKey);
    const refused = [
      world.userToken({}, { exp: NOW - 6 }),
      world.userToken({}, { nbf: NOW + 6 }),
      world.userToken({}, { signer: world.scoped }),
      `${token.slice(0, -10)}AAAAAAAAAA`,
      world.accountToken(),
      'x',
    ];
    for (const one of refused) await expect(verifier.verify(one, ['user'])).rejects.toBeInstanceOf(Error);
    await expect(verifier.verify(token, ['component'])).rejects.toThrow(refusal('wrong_token_kind'));
    expect(lookup).not.toHaveBeenCalled();
  });

  it('is asked once in five seconds for an account that is not there', async () => {
    const world = new World();
    const lookup = vi.fn(async () => undefined);
    const verifier = world.verifier({ resolver: { lookup } });
    const ask = () =>
      expect(verifier.verify(world.userToken(), ['user'])).rejects.toThrow(refusal('unknown_issuer'));
    for (let times = 0; times < 10; times++) await ask();
    expect(lookup).toHaveBeenCalledTimes(1);
    world.now += 5;
    await ask();
    expect(lookup).toHaveBeenCalledTimes(2);
  });

  it('is not driven by strangers, who do not keep those that are known from being asked for', async () => {
    const world = new World();
    const lookup = vi.fn(async (key: string) => world.resolver.lookup(key));
    const verifier = world.verifier({ resolver: { lookup }, maxAgeSeconds: 60 });
    const known = world.userToken();
    await verifier.verify(known, ['user']);
    world.now += 60;
    lookup.mockClear();
    const codes: string[] = [];
    const stranger = async () => {
      using signer = createKeyPair('account');
      const token = world.userToken({ issuer_account: undefined }, { signer });
      await Promise.resolve(verifier.verify(token, ['user'])).catch(({ code }) => codes.push(code));
    };
    await Promise.all(Array.from({ length: 600 }, stranger));
    expect(lookup.mock.calls.length).toBeLessThanOrEqual(256);
    expect([...new Set(codes)].sort()).toEqual(['resolver_failed', 'unknown_issuer']);
    expect(await verifier.verify(known, ['user'])).toMatchObject({ name: 'U' });
    // Nor in a process that has not asked for it yet.
    expect(await world.verifier().verify(known, ['user'])).toMatchObject({ name: 'U' });
  });
});
