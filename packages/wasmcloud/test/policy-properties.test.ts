import { describe, expect, it } from 'vitest';
import { propertiesOf, textProperty } from '../src/backend/policy-properties.js';
import { SecretsError } from '../src/index.js';

const TYPE = 'properties.secret.wasmcloud.dev/v1alpha1';
const policy = (properties: unknown, type = TYPE) => JSON.stringify({ type, properties });
const refused = (read: () => unknown): string => {
  try {
    read();
  } catch (error) {
    if (error instanceof SecretsError) return `${error.code}: ${error.text}`;
    throw error;
  }
  return 'nothing';
};

describe('the properties of a policy', () => {
  it('are those that a host writes', () => {
    expect(propertiesOf(policy({ role_name: 'shop', n: 1 }))).toEqual({ role_name: 'shop', n: 1 });
  });

  it.each(['', policy(null), JSON.stringify({ type: TYPE })])('are none in %j', (text) => {
    expect(propertiesOf(text)).toEqual({});
  });

  it.each([
    'role_name: shop',
    '[]',
    'null',
    '{}',
    policy([]),
    policy('shop'),
    policy({}, 'policy.secret.wasmcloud.dev/v1alpha1'),
    `{"type":"${TYPE}","properties":{"role_name":"a","role_name":"b"}}`,
    `${policy({})} `.repeat(2),
  ])('cannot be read from %j', (text) => {
    expect(refused(() => propertiesOf(text))).toMatch(
      /^PolicyError: the policy is not {"type":"properties\./,
    );
  });

  it('are not read from a policy that is too long, in bytes', () => {
    const long = policy({ role_name: 'é'.repeat(100) });
    expect(refused(() => propertiesOf(long, Buffer.byteLength(long) - 1))).toMatch(
      /^PolicyError: .* longer than/,
    );
    expect(propertiesOf(long, Buffer.byteLength(long))).toHaveProperty('role_name');
  });
});

describe('a property that is text', () => {
  const read = (properties: Record<string, unknown>) => textProperty(properties, 'role_name', 'roleName');

  it.each([
    [{ role_name: 'a' }, 'a'],
    [{ roleName: 'a' }, 'a'],
    [{ role_name: 'a', roleName: 'a' }, 'a'],
    [{ role_name: null, roleName: 'a' }, 'a'],
    [{ role_name: null }, undefined],
    [{}, undefined],
  ])('is in %j', (properties, value) => {
    expect(read(properties)).toBe(value);
  });

  it.each([{ role_name: 1 }, { roleName: '' }, { role_name: ['a'] }, { role_name: 'a', roleName: 'b' }])(
    'is refused in %j',
    (properties) => {
      expect(refused(() => read(properties))).toMatch(/^PolicyError: role/);
    },
  );

  it('is no member that every object has', () => {
    expect(textProperty({}, 'constructor')).toBeUndefined();
  });
});
