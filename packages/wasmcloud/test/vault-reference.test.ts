import { describe, expect, it } from 'vitest';
import { SecretsError } from '../src/index.js';
import { Allowed } from '../src/vault/allow.js';
import type { VaultAllow } from '../src/vault/index.js';
import { referenceOf } from '../src/vault/reference.js';

const ANY = ['*'];
const EVERYTHING = { namespaces: ANY, authMounts: ANY, enginePaths: ANY, roles: ANY };
const DEFAULTS = { namespace: undefined, authMount: 'jwt', enginePath: 'secret', role: undefined };

function read(
  query: { key?: string; field?: string; version?: string },
  properties: Record<string, unknown> = { role_name: 'shop' },
  defaults = {},
  allow: VaultAllow = EVERYTHING,
) {
  const policy = JSON.stringify({ type: 'properties.secret.wasmcloud.dev/v1alpha1', properties });
  const all = { ...DEFAULTS, ...defaults };
  return referenceOf({ key: 'app', ...query }, policy, all, new Allowed(allow, all));
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
      authPath: 'jwt-wasm',
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
    expect(found).toMatchObject({ namespace: 'team', role: 'all', authPath: 'jwt', enginePath: 'secret' });
    const all = { ...DEFAULTS, role: 'all' };
    expect(referenceOf({ key: 'app' }, '', all, new Allowed({}, all))).toMatchObject({ role: 'all' });
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
    { role_name: 'x'.repeat(513) },
  ])('is not at %j', (properties) => {
    expect(refused({}, { role_name: 'shop', ...properties })).toBe('PolicyError');
  });
});

describe('what a policy may name', () => {
  const elsewhere = [
    { namespace: 'team' },
    { mount_path: 'jwt2' },
    { secret_engine_path: 'finance' },
    { secretEnginePath: 'secret/data/finance' },
  ];

  it.each(elsewhere)('is no %j unless it is allowed', (properties) => {
    expect(refused({}, { role_name: 'shop', ...properties }, {}, {})).toBe('PolicyError');
    const others = { namespaces: ['x'], authMounts: ['jwt3'], enginePaths: ['fin', 'finance/*'] };
    expect(refused({}, { role_name: 'shop', ...properties }, {}, others)).toBe('PolicyError');
  });

  it('is what the settings name themselves, as whatever it is written, and any role if they name none', () => {
    const said = { role_name: 'any', mount_path: 'auth/jwt/', secret_engine_path: '/secret/' };
    expect(read({}, said, {}, {})).toMatchObject({ role: 'any', authPath: 'jwt', engine: 'secret' });
    expect(read({}, { role_name: 'x', namespace: 'team/' }, { namespace: 'team' }, {})).toMatchObject({
      namespace: 'team',
    });
  });

  it('is no other role than that of the settings, nor than those that are allowed', () => {
    expect(refused({}, { role_name: 'other' }, { role: 'shop' }, {})).toBe('PolicyError');
    expect(read({}, { role_name: 'shop' }, { role: 'shop' }, {})).toMatchObject({ role: 'shop' });
    const allow = { roles: ['shop-*'] };
    expect(read({}, { role_name: 'shop-a' }, { role: 'shop' }, allow)).toMatchObject({ role: 'shop-a' });
    expect(read({}, { role_name: 'shop-a' }, {}, allow)).toMatchObject({ role: 'shop-a' });
    expect(refused({}, { role_name: 'other' }, {}, allow)).toBe('PolicyError');
  });

  it('is what is allowed, by patterns', () => {
    const allow = { namespaces: ['team/*'], authMounts: ['auth/wasm/'], enginePaths: ['kv-*'] };
    const said = { role_name: 'shop', namespace: 'team/a', mount_path: 'wasm', secret_engine_path: 'kv-a/' };
    expect(read({}, said, {}, allow)).toMatchObject({
      namespace: 'team/a',
      authPath: 'wasm',
      engine: 'kv-a',
    });
  });
});
