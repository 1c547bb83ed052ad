import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type AccountClaims,
  keyPairFromFile,
  type StoreContext,
  saveAccount,
  saveUser,
  signingKeysOf,
} from '../src/index.js';
import { nscCopy } from './nsc-copy.js';

const READER = 'ADGQPAPTNSMWKD4YCZAIKW4ASYANMWXLCCY527TEC5MEPKMM32JABUDC';
const SIGNING_KEY = 'ABPLTKJ45XA7OQ5KGWQ2JY2FQFTNFGGHBQRHWALABOH6ZBE5B6XMPVXP';

/** Signs a user of demoA again, by whom it is by itself, or is named. */
function signAgain(context: StoreContext, user: string, key?: string) {
  const { claims } = context.store.user('demoA', user);
  return saveUser(context, 'demoA', user, claims, { before: claims.iss, key });
}

function withoutSigningKey(context: StoreContext, gone: string): void {
  const { claims } = context.store.account('demoA');
  const kept = [...signingKeysOf(claims)].filter(([key]) => key !== gone);
  const signing_keys = kept.map(([key, scope]) => scope ?? key);
  const nats = { ...claims.nats, signing_keys } as AccountClaims['nats'];
  saveAccount(context, 'demoA', { ...claims, nats }, { before: claims.iss });
}

describe('a user whom a role bounds', () => {
  it('is signed by no other key that is here when the seed of its role is not, but by name', () => {
    using copy = nscCopy();
    const context = copy.open();
    const before = context.store.user('demoA', 'demoscoped');
    expect(before.claims.iss).toBe(READER);
    const seed = readFileSync(context.keys.pathOf(READER), 'utf8');
    context.keys.remove(READER);
    expect(context.keys.has(SIGNING_KEY)).toBe(true);
    expect(() => signAgain(context, 'demoscoped')).toThrow(
      expect.objectContaining({ code: 'no_signer', message: expect.stringMatching(/"reader".*with -K/) }),
    );
    expect(context.store.user('demoA', 'demoscoped').text).toBe(before.text);
    expect(signAgain(context, 'demoscoped', seed)).toMatchObject({ signer: READER });
    expect(signAgain(context, 'demoscoped', SIGNING_KEY)).toMatchObject({ signer: SIGNING_KEY });
  });

  it('is signed by no other key when its own is no key of the account any more, but by name', () => {
    using copy = nscCopy();
    const context = copy.open();
    withoutSigningKey(context, READER);
    expect(() => signAgain(context, 'demoscoped')).toThrow(
      expect.objectContaining({ code: 'no_signer', message: expect.stringMatching(/any more.*-K/) }),
    );
    expect(signAgain(context, 'demoscoped', SIGNING_KEY).signer).toBe(SIGNING_KEY);
  });

  it('is not needed for others: one that had its own rights keeps them under another key', () => {
    using copy = nscCopy();
    const context = copy.open();
    expect(context.store.user('demoA', 'demoU').claims.iss).toBe(SIGNING_KEY);
    context.keys.remove(SIGNING_KEY);
    const account = context.store.account('demoA').claims.sub;
    expect(signAgain(context, 'demoU')).toMatchObject({ signer: account, scope: undefined });
  });
});

describe('a file that -K names', () => {
  it.each([
    ['a bare seed', (seed: string) => `${seed}\r\n`],
    [
      'creds',
      (seed: string) => `-----BEGIN USER NKEY SEED-----\r\n${seed}\r\n------END USER NKEY SEED------\r\n`,
    ],
  ])('may end its lines as Windows does: %s', (_what, written) => {
    using copy = nscCopy();
    const { keys } = copy.open();
    const file = join(copy.path, 'windows');
    writeFileSync(file, written(readFileSync(keys.pathOf(READER), 'utf8')));
    using pair = keyPairFromFile(file);
    expect(pair?.publicKey).toBe(READER);
  });
});
