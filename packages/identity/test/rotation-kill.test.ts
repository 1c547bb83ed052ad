import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  ActivationLedger,
  type AnyJwt,
  createKeyPair,
  decodeActivation,
  encodeJwt,
  isRevokedUser,
  type KeyPair,
  newActivation,
  parseCreds,
  type RotationOptions,
  rotateSigningKey,
  type Snapshot,
  type StoreContext,
  signingKeysOf,
  takeSnapshot,
} from '../src/index.js';
import { nscCopy } from './nsc-copy.js';

/** Every change of the file system: at the chosen one the process is dead, and does nothing any more. */
const changes = vi.hoisted(() => {
  const state = { made: 0, deadFrom: Number.POSITIVE_INFINITY };
  const mortal =
    <A extends unknown[], R>(act: (...args: A) => R, isChange: (...args: A) => boolean = () => true) =>
    (...args: A): R => {
      if (isChange(...args)) {
        state.made++;
        if (state.made >= state.deadFrom) throw new Error('killed');
      }
      return act(...args);
    };
  return { state, mortal };
});

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const { mortal } = changes;
  return {
    ...fs,
    renameSync: mortal(fs.renameSync),
    unlinkSync: mortal(fs.unlinkSync),
    writeSync: mortal(fs.writeSync as (...args: unknown[]) => number),
    openSync: mortal(fs.openSync, (_path, flags) => flags !== 'r'),
    rmSync: mortal(fs.rmSync, () => changes.state.deadFrom !== Number.POSITIVE_INFINITY),
  };
});

const alive = () => Object.assign(changes.state, { made: 0, deadFrom: Number.POSITIVE_INFINITY });
afterEach(() => void alive());

/** Who signed it must be one of those who may. */
function untrusted({ operator, accounts }: Snapshot): string[] {
  const operatorKeys = [operator.claims.sub, ...(operator.claims.nats.signing_keys ?? [])];
  const keysOf = ({ claims }: Snapshot['accounts'][number]['jwt']) => [
    claims.sub,
    ...signingKeysOf(claims).keys(),
  ];
  const bad: string[] = operatorKeys.includes(operator.claims.iss) ? [] : ['operator'];
  for (const { name, jwt, users } of accounts) {
    if (!operatorKeys.includes(jwt.claims.iss)) bad.push(name);
    for (const user of users) {
      const revoked = isRevokedUser(jwt.claims, user.jwt.claims);
      if (!revoked && !keysOf(jwt).includes(user.jwt.claims.iss)) bad.push(user.name);
    }
    for (const { token, account } of jwt.claims.nats.imports ?? []) {
      const exporter = accounts.find((one) => one.jwt.claims.sub === account);
      const issuer = decodeActivation(token ?? '').claims.iss;
      if (exporter && !keysOf(exporter.jwt).includes(issuer)) bad.push(`activation of ${name}`);
    }
  }
  return bad;
}

/** Creds files whose token is not trusted any more. */
function staleCreds({ store, keys }: StoreContext): string[] {
  return store.accounts().flatMap(({ name, jwt }) =>
    store.users(name).flatMap((user) => {
      const path = keys.credsPath(store.name, name, user.name);
      if (!existsSync(path) || isRevokedUser(jwt.claims, user.jwt.claims)) return [];
      const { claims } = store.user(name, user.name);
      const inFile = parseCreds(readFileSync(path)).jwt;
      const { iss } = JSON.parse(
        Buffer.from(inFile.split('.')[1] ?? '', 'base64url').toString(),
      ) as AnyJwt['claims'];
      const may = [jwt.claims.sub, ...signingKeysOf(jwt.claims).keys()];
      return may.includes(iss) && may.includes(claims.iss) ? [] : [path];
    }),
  );
}

describe('a rotation that is killed', () => {
  const cases: [string, RotationOptions][] = [
    ['of an account’s key', { account: 'demoA' }],
    ['of the key of a role', { account: 'demoA', role: 'reader' }],
    ['of the operator’s key', {}],
  ];

  it.each(cases)(
    '%s at any of its changes leaves all valid, and ends right when it is run again',
    async (_what, options) => {
      let kills = 0;
      for (let at = 1; ; at++) {
        using nsc = nscCopy();
        const before = takeSnapshot(nsc.open());
        const context = nsc.open();
        giveAway(context, oldKey(before, options));
        const seeds = context.keys.list().length;
        Object.assign(changes.state, { made: 0, deadFrom: at });
        const ended = await rotateSigningKey(context, options).then(
          () => true,
          () => false,
        );
        const killed = changes.state.made >= at;
        alive();
        expect(untrusted(takeSnapshot(nsc.open())), `killed at change ${at}`).toEqual([]);
        expect(staleCreds(nsc.open()), `killed at change ${at}`).toEqual([]);
        if (!killed) {
          expect(ended).toBe(true);
          break;
        }
        kills++;
        // A lock names its process, which in truth is alive here.
        rmSync(join(nsc.path, 'stores', '.coffer.lock'), { force: true });
        expectRotated(nsc.open(), before, (await runAgain(nsc.open(), options, before))?.old);
        // Its new key, and no other that was made and forgotten.
        expect(nsc.open().keys.list()).toHaveLength(seeds + 1);
      }
      expect(kills).toBeGreaterThan(20);
    },
  );

  /** An activation token to an account that is not here. */
  function giveAway(context: StoreContext, old: string): void {
    if (!old.startsWith('A')) return;
    using signer = context.keys.read(old) as KeyPair;
    const plain = newActivation(createKeyPair('account').publicKey, {
      name: 'n',
      on: 'svc.x',
      kind: 'service',
    });
    const issuer_account = context.store.account('demoA').claims.sub;
    new ActivationLedger(context.keys.folder).note(
      encodeJwt({ ...plain, nats: { ...plain.nats, issuer_account } }, signer),
    );
  }

  /** Unless all of it was done but for the removal of the lock or the journal. */
  async function runAgain(context: StoreContext, options: RotationOptions, before: Snapshot) {
    const old = oldKey(before, options);
    const again = await rotateSigningKey(context, stillNamed(context, options, old)).catch((error) => {
      expect(error).toMatchObject({ code: 'not_found' });
    });
    return again ?? { old };
  }

  /** As it was named at first; when the old key is gone, its role names the new one. */
  function stillNamed(context: StoreContext, options: RotationOptions, old: string): RotationOptions {
    const named = options.role !== undefined && context.keys.has(old) && isThere(context, old);
    return named ? options : { ...options, role: undefined, old };
  }

  const isThere = ({ store }: StoreContext, key: string): boolean =>
    signingKeysOf(store.account('demoA').claims).has(key);

  const oldKey = ({ operator, accounts }: Snapshot, { account, role }: RotationOptions): string => {
    if (account === undefined) return operator.claims.nats.signing_keys?.[0] ?? '';
    const keys = signingKeysOf(accounts.find(({ name }) => name === account)?.jwt.claims as never);
    return [...keys].find(([, scope]) => scope?.role === role)?.[0] ?? '';
  };

  function expectRotated(context: StoreContext, before: Snapshot, old = ''): void {
    const after = takeSnapshot(context);
    expect(untrusted(after)).toEqual([]);
    expect(staleCreds(context)).toEqual([]);
    expect(after.operator.claims.nats.signing_keys).not.toContain(old);
    for (const { claims } of after.handedOut ?? []) expect(claims.iss).not.toBe(old);
    const keys = (snapshot: Snapshot) =>
      snapshot.accounts.map(({ jwt }) =>
        [...signingKeysOf(jwt.claims).values()].map((scope) => scope?.role).sort(),
      );
    expect(keys(after)).toEqual(keys(before));
    for (const { jwt, users } of after.accounts) {
      expect([...signingKeysOf(jwt.claims).keys()]).not.toContain(old);
      for (const user of users) {
        if (!isRevokedUser(jwt.claims, user.jwt.claims)) expect(user.jwt.claims.iss).not.toBe(old);
      }
    }
  }
});
