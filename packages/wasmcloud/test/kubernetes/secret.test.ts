/** An entry of a Secret, from what an API server answers. */
import { describe, expect, it } from 'vitest';
import { canary } from '../../../../test/support/canary.mjs';
import { secretOf } from '../../src/kubernetes/secret.js';
import { SecretsError } from '../../src/protocol/errors.js';

const VALUE = canary('entry');
const base64 = (value: string | Uint8Array) => Buffer.from(value).toString('base64');

const DB = { name: 'db', namespace: 'shop' };
const bodyOf = (data: unknown, metadata: object = { ...DB, resourceVersion: '7' }) =>
  Buffer.from(JSON.stringify({ kind: 'Secret', apiVersion: 'v1', metadata, data }));

function told(body: Buffer, query: { field?: string; version?: string } = {}): string {
  try {
    secretOf(body, { key: 'db', ...query }, 'shop');
    return 'read';
  } catch (error) {
    if (!(error instanceof SecretsError)) throw error;
    expect(error.message).not.toContain(VALUE);
    expect(error.message).not.toContain(base64(VALUE));
    return error.message;
  }
}

describe('an entry', () => {
  it('is the one that is named, or the only one', () => {
    const two = bodyOf({ a: base64(VALUE), b: base64('other') });
    for (const secret of [
      secretOf(two, { key: 'db', field: 'a' }, 'shop'),
      secretOf(bodyOf({ a: base64(VALUE) }), { key: 'db' }, 'shop'),
    ]) {
      expect({ ...secret, value: Buffer.from(secret.value).toString() }).toEqual({
        version: '7',
        kind: 'string',
        value: VALUE,
      });
    }
  });

  it('must be named where there are several: the error says how they are called, and nothing else of them', () => {
    expect(told(bodyOf({ password: base64(VALUE), 'a.key': base64(VALUE) }))).toBe(
      'Other: this Secret has several entries, and field says which: a.key, password',
    );
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`entry-${i}`, '']));
    expect(told(bodyOf(many))).toMatch(/ and 280 more$/);
  });

  it('that is not there is not found, by any name that JavaScript has', () => {
    for (const field of ['b', '', 'constructor', 'toString', '__proto__', 'length']) {
      expect(told(bodyOf({ a: base64(VALUE) }), { field })).toBe('SecretNotFound');
    }
    expect(told(bodyOf({}))).toBe('SecretNotFound');
    expect(told(bodyOf(undefined))).toBe('SecretNotFound');
    expect(told(bodyOf(null))).toBe('SecretNotFound');
  });

  it('may be called __proto__, which Kubernetes allows', () => {
    const body = Buffer.from(
      `{"kind":"Secret","metadata":{"name":"db","namespace":"shop","resourceVersion":"7"},"data":{"__proto__":"${base64(VALUE)}"}}`,
    );
    expect(Buffer.from(secretOf(body, { key: 'db' }, 'shop').value).toString()).toBe(VALUE);
  });

  it('is binary where it is no UTF-8, and may be empty', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const secret = secretOf(bodyOf({ a: base64(bytes) }), { key: 'db' }, 'shop');
    expect(secret.kind).toBe('binary');
    expect([...secret.value]).toEqual([...bytes]);
    expect(secretOf(bodyOf({ a: '' }), { key: 'db' }, 'shop')).toMatchObject({ kind: 'string' });
    expect(secretOf(bodyOf({ a: '' }), { key: 'db' }, 'shop').value).toHaveLength(0);
  });

  it('has memory of its own, that its receiver can wipe', () => {
    const { value } = secretOf(bodyOf({ a: base64('x') }), { key: 'db' }, 'shop');
    expect(value.buffer.byteLength).toBeLessThan(8);
  });
});

describe('a version', () => {
  it('is there as long as it is the present one', () => {
    const body = bodyOf({ a: base64(VALUE) });
    expect(told(body, { version: '7' })).toBe('read');
    expect(told(body, { version: '6' })).toBe('SecretNotFound');
    expect(told(body, { version: '07' })).toBe('SecretNotFound');
  });
});

describe('another Secret than was asked for', () => {
  it.each([
    ['by its name', { ...DB, name: 'other', resourceVersion: '7' }],
    ['by its namespace', { ...DB, namespace: 'other', resourceVersion: '7' }],
    ['that has no name', { resourceVersion: '7' }],
  ])('is refused: one %s', (_, metadata) => {
    expect(told(bodyOf({ a: base64(VALUE) }, metadata))).toMatch(
      /^UpstreamError: Kubernetes: the answer is not the Secret that was asked for/,
    );
  });
});

describe('what is no Secret', () => {
  it.each([
    ['no JSON', Buffer.from(`<html>${VALUE}`)],
    ['another kind', Buffer.from(JSON.stringify({ kind: 'ConfigMap', metadata: { resourceVersion: '1' } }))],
    ['no version', bodyOf({ a: base64(VALUE) }, {})],
    ['an entry that is no text', bodyOf({ a: 1 })],
    ['entries in a list', bodyOf([base64(VALUE)])],
  ])('is no Kubernetes API: %s', (_, body) => {
    expect(told(body)).toBe('UpstreamError: Kubernetes: what answers there is no Kubernetes API');
  });
});
