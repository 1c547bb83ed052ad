import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  decodeUser,
  decorateToken,
  encodeJwt,
  formatCreds,
  newUser,
  parseCreds,
  publicKeyOf,
  tokenIn,
} from '../src/index.js';
import { nscFile, nscFiles } from './vectors.js';

const withCode = (code: string) => expect.objectContaining({ name: 'IdentityError', code });

describe("nsc's creds files", () => {
  it.each(nscFiles('.creds'))('are read, and written to the very same bytes: %s', (path) => {
    const file = nscFile(path);
    const { jwt, seed } = parseCreds(Buffer.from(file));
    expect(publicKeyOf(seed)).toBe(decodeUser(jwt).claims.sub);
    expect(Buffer.from(formatCreds(jwt, seed)).toString()).toBe(file);
  });

  it('are read with the line ends of Windows', () => {
    const file = nscFile('nkeys/creds/demoO/demoA/demoU.creds');
    const { jwt } = parseCreds(Buffer.from(file));
    expect(parseCreds(Buffer.from(file.replaceAll('\n', '\r\n'))).jwt).toBe(jwt);
  });
});

describe('what is no creds file', () => {
  const file = nscFile('nkeys/creds/demoO/demoA/demoU.creds');
  const { jwt, seed } = parseCreds(Buffer.from(file));

  it.each([
    ['nothing', ''],
    ['a bare token', jwt],
    ['a token between dashes', decorateToken(jwt)],
    ['a file with a third block', `${file}-----BEGIN X-----\nY\n------END X------\n`],
    ['a seed cut short', file.replace(Buffer.from(seed).toString(), Buffer.from(seed).toString().slice(1))],
    ['the seed of an account', file.replace(/\nSU/, '\nSA')],
    ['two megabytes', 'x'.repeat(2 * 1024 * 1024)],
  ])('is refused: %s', (_what, text) => {
    expect(() => parseCreds(Buffer.from(text))).toThrow(withCode('malformed_creds'));
  });

  it("is a token with somebody else's seed", () => {
    using account = createKeyPair('account');
    using user = createKeyPair('user');
    expect(() => formatCreds(encodeJwt(newUser(user.publicKey, 'U'), account), seed)).toThrow(
      withCode('malformed_creds'),
    );
  });
});

describe('the token in a file', () => {
  it('is found bare, between dashes and in creds', () => {
    const creds = nscFile('nkeys/creds/demoO/demoA/demoU.creds');
    const { jwt } = parseCreds(Buffer.from(creds));
    for (const file of [jwt, `${jwt}\n`, decorateToken(jwt), creds])
      expect(tokenIn(Buffer.from(file))).toBe(jwt);
    expect(decorateToken(tokenIn(Buffer.from(nscFile('activation.jwt'))))).toBe(nscFile('activation.jwt'));
  });
});
