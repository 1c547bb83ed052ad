import { describe, expect, it } from 'vitest';
import { wordsOf } from '../src/vault/words.js';

const words = (body: unknown) => wordsOf(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

describe('what Vault says of a refusal', () => {
  it('is one line', () => {
    const errors = ['1 error occurred:\n\t* permission denied\n\n', 'and\u0007 more'];
    expect(words({ errors })).toBe('permission denied; and more');
  });

  it('is short, and holds no token', () => {
    expect(words({ errors: ['x'.repeat(10_000)] })).toHaveLength(300);
    const [old, client, jwt] = [
      's.0123456789abcdefABCDEF',
      `hvs.${'A'.repeat(90)}`,
      `eyJ${'a'.repeat(40)}.b.c`,
    ];
    expect(words({ errors: [`${old} ${client} ${jwt}`] })).toBe('[token] [token] [token]');
  });

  it('is what Go says for it, where it is not asked', () => {
    const said = 'Client sent an HTTP request to an HTTPS server.';
    expect(words(`${said}\n`)).toBe(said);
  });

  it.each(['', '<html>', '{}', '{"errors":[]}', '{"errors":[1]}'])('is nothing in %j', (body) => {
    expect(words(body)).toBe('');
  });
});
