import { describe, expect, it } from 'vitest';
import { SecretsError } from '../src/index.js';
import { referenceOf } from '../src/vault/reference.js';

const DEFAULTS = { namespace: undefined, authMount: 'jwt', enginePath: 'secret', role: undefined };

function read(
  query: { key?: string; field?: string; version?: string },
  properties: Record<string, unknown> = { role_name: 'shop' },
  defaults = {},
) {
  const policy = JSON.stringify({ type: 'properties.secret.wasmcloud.dev/v1alpha1', properties });
  return referenceOf({ key: 'app', ...query }, policy, { ...DEFAULTS, ...defaults });
}

function refused(...args: Parameters<typeof read>): string {
  try {
    read(...args);
  } catch (error) {
    if (error instanceof SecretsError) return error.code;
    throw error;
  }
  return 'nothing';
}

describe('where a secret is', () => {
  it('is told by key, field, version and policy, in both spellings', () => {
    const found = {
      namespace: 'team/a',
      authMount: 'jwt-wasm',
      role: 'shop',
      engine: 'kv/shop',
      enginePath: 'kv/shop',
      key: 'db/main',
      field: 'password',
      version: 3,
    };
    const query = { key: 'db/main', field: 'password', version: '3' };
    const mounts = { mount_path: 'jwt-wasm', secret_engine_path: 'kv/shop', namespace: 'team/a' };
    expect(read(query, { role_name: 'shop', ...mounts })).toEqual(found);
    const camelCase = { roleName: 'shop', mountPath: 'auth/jwt-wasm/', secretEnginePath: '/kv/shop/' };
    expect(read(query, { ...camelCase, namespace: 'team/a/' })).toEqual(found);
  });

  it('is told by the defaults where the policy is silent', () => {
    const found = read({}, {}, { role: 'all', namespace: 'team' });
    expect(found).toMatchObject({ namespace: 'team', role: 'all', authMount: 'jwt', enginePath: 'secret' });
    expect(referenceOf({ key: 'app' }, '', { ...DEFAULTS, role: 'all' })).toMatchObject({ role: 'all' });
  });

  it('needs a role', () => {
    expect(refused({}, {})).toBe('PolicyError');
  });

  it.each(['é', 'a b', 'a?version=1', 'a#b', 'a%2f..%2fb', 'a;b', 'a\\b'])('may be called %j', (key) => {
    const parts = read({ key }).key.split('/');
    expect(parts).toHaveLength(1);
    expect(parts[0]).toMatch(/^[\w.~%!'()*-]+$/);
    expect(decodeURIComponent(parts[0] as string)).toBe(key);
  });

  it.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    '../b',
    'a/..',
    'a/./b',
    'a\nb',
    'a\0',
    '\ud800',
    'a'.repeat(3000),
  ])('cannot be called %j', (key) => {
    expect(refused({ key })).toBe('InvalidRequest');
  });

  it.each(['0', '-1', '1.5', '01', 'latest', '', '1&x=2', '99999999999'])('has no version %j', (version) => {
    expect(refused({ version })).toBe('InvalidRequest');
  });

  const elsewhere = ['..', 'a/../b', 'a//b', '', '.', 'a\r\nX-Vault-Token: b'];
  it.each([
    ...elsewhere.flatMap((path) =>
      ['mount_path', 'secret_engine_path', 'namespace'].map((name) => ({ [name]: path })),
    ),
    { namespace: 'a b' },
    { namespace: 'é' },
    // A token reads itself there.
    { secret_engine_path: 'auth/token' },
    { secret_engine_path: 'Sys' },
    { secret_engine_path: 'identity' },
    { secret_engine_path: '/cubbyhole/' },
    { secret_engine_path: 1 },
  ])('is not at %j', (properties) => {
    expect(refused({}, { role_name: 'shop', ...properties })).toBe('PolicyError');
  });
});
