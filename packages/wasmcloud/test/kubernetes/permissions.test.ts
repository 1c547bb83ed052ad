/** As whom Secrets are read for whom: what an operator's rules let a manifest choose. */
import { createKeyPair } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { Permissions } from '../../src/kubernetes/impersonation.js';
import { accessOf } from '../../src/kubernetes/policy.js';
import { type KubernetesOptions, kubernetesSettings } from '../../src/kubernetes/settings.js';
import { SecretsError } from '../../src/protocol/errors.js';
import { ACCOUNT, COMPONENT, HOST, requester } from './requester.js';

type Rules = NonNullable<KubernetesOptions['impersonation']>;
type Who = Parameters<typeof requester>;

function outcome(options: KubernetesOptions, properties: object, ...[who, how]: Who): string {
  const settings = kubernetesSettings.parse(options);
  const asking = requester({ ...who, properties }, how);
  try {
    const access = accessOf(asking.application.policy, settings.namespace);
    new Permissions(settings).require(asking, access, 'db');
    return 'allowed';
  } catch (error) {
    if (!(error instanceof SecretsError)) throw error;
    return error.code;
  }
}

const under =
  (rules: Rules) =>
  (properties: object, ...who: Who) =>
    outcome({ impersonation: rules }, properties, ...who);

describe('a rule', () => {
  it('allows the users that it names, and nobody else', () => {
    const asking = under([{ applications: ['shop'], users: ['shop-reader', 'team-*'] }]);
    expect(asking({ impersonate: 'shop-reader' })).toBe('allowed');
    expect(asking({ impersonate: 'team-a' })).toBe('allowed');
    for (const user of ['shop-reader2', 'Shop-reader', 'admin', 'team', 'x-team-a']) {
      expect(asking({ impersonate: user })).toBe('Unauthorized');
    }
  });

  it('is for the applications, hosts and entities that it names, all of which must be so', () => {
    const rule = {
      applications: ['shop-*'],
      hosts: [HOST],
      entities: [`component:${ACCOUNT}/*`],
      users: ['reader'],
    };
    const asking = (change: object, ...who: Who) =>
      under([{ ...rule, ...change }])({ impersonate: 'reader' }, ...who);
    const shop = { application: 'shop-eu' };
    expect(asking({}, shop)).toBe('allowed');
    expect(asking({}, { application: 'shop' })).toBe('Unauthorized');
    expect(asking({}, {}, { anonymous: true })).toBe('Unauthorized');
    expect(asking({ hosts: [createKeyPair('server').publicKey] }, shop)).toBe('Unauthorized');
    expect(asking({ entities: [`provider:${ACCOUNT}/*`] }, shop)).toBe('Unauthorized');
    expect(asking({ entities: [`component:${ACCOUNT}/${COMPONENT}`] }, shop)).toBe('allowed');
    expect(asking({}, { ...shop, account: 'AOTHER' })).toBe('Unauthorized');
    expect(asking({}, shop, { selfIssued: true })).toBe('Unauthorized');
  });

  it('is for hosts that have shown who they are: by their own key, or by a signer that the operator lists', () => {
    const asking = under([{ hosts: [HOST], users: ['reader'] }]);
    const as = { impersonate: 'reader' };
    expect(asking(as)).toBe('allowed');
    const hostIssuer = createKeyPair('account').publicKey;
    expect(asking(as, {}, { hostIssuer })).toBe('Unauthorized');
    expect(asking(as, {}, { hostIssuer, hostTrusted: true })).toBe('allowed');
  });

  it('is told of by its host, where that has not shown who it is', () => {
    const settings = kubernetesSettings.parse({ impersonation: [{ hosts: [HOST], users: ['reader'] }] });
    const reason = (issuer?: { hostIssuer: string }, user = 'reader') => {
      const asking = requester({ properties: { impersonate: user } }, issuer);
      const access = accessOf(asking.application.policy, settings.namespace);
      try {
        new Permissions(settings).require(asking, access, 'db');
      } catch (error) {
        return String((error as SecretsError).cause);
      }
      return '';
    };
    expect(reason({ hostIssuer: createKeyPair('account').publicKey })).toMatch(
      /a rule names the host N\w+, but anybody could have made this token/,
    );
    expect(reason(undefined, 'admin')).toMatch(/lets it read in default as admin$/);
  });

  it('allows a request whole, or another one must: what two rules allow is not added up', () => {
    const asking = under([
      { applications: ['shop'], users: ['a'], namespaces: ['one'] },
      { applications: ['shop'], users: ['b'], namespaces: ['two'] },
    ]);
    expect(asking({ impersonate: 'a', namespace: 'one' })).toBe('allowed');
    expect(asking({ impersonate: 'a', namespace: 'two' })).toBe('Unauthorized');
  });

  it('allows no group that it does not name', () => {
    const asking = under([{ applications: ['*'], users: ['reader'], groups: ['readers', 'team:*'] }]);
    expect(asking({ impersonate: 'reader' })).toBe('allowed');
    expect(asking({ impersonate: 'reader', impersonateGroups: ['readers', 'team:a'] })).toBe('allowed');
    expect(asking({ impersonate: 'reader', impersonateGroups: ['readers', 'writers'] })).toBe('Unauthorized');
    const without = under([{ applications: ['*'], users: ['reader'] }]);
    expect(without({ impersonate: 'reader', impersonateGroups: ['readers'] })).toBe('Unauthorized');
  });

  it('means by a * no user and no group of the cluster’s own', () => {
    const asking = under([{ entities: ['*'], users: ['*', 's*'], groups: ['*', 'system:authenticated'] }]);
    expect(asking({ impersonate: 'anybody' })).toBe('allowed');
    expect(asking({ impersonate: 'system:admin' })).toBe('Unauthorized');
    expect(asking({ impersonate: 'system:serviceaccount:shop:orders' })).toBe('Unauthorized');
    expect(asking({ impersonateServiceAccount: 'shop/orders' })).toBe('Unauthorized');
    expect(asking({ impersonate: 'anybody', impersonateGroups: ['system:masters'] })).toBe('Unauthorized');
    expect(asking({ impersonate: 'anybody', impersonateGroups: ['system:authenticated'] })).toBe('allowed');
  });

  it('allows service accounts of the namespaces that it names, however the policy writes them', () => {
    const asking = under([{ applications: ['shop'], serviceAccounts: ['shop/reader-*', 'other/one'] }]);
    expect(asking({ impersonateServiceAccount: 'shop/reader-a' })).toBe('allowed');
    expect(asking({ impersonate: 'system:serviceaccount:shop:reader-a' })).toBe('allowed');
    expect(asking({ impersonateServiceAccount: 'reader-a', namespace: 'shop' })).toBe('allowed');
    expect(asking({ impersonateServiceAccount: 'reader-a' })).toBe('Unauthorized');
    expect(asking({ impersonateServiceAccount: 'kube-system/reader-a' })).toBe('Unauthorized');
    expect(asking({ impersonateServiceAccount: 'other/one-more' })).toBe('Unauthorized');
    expect(asking({ impersonate: 'system:serviceaccount:shop:reader-a:x' })).toBe('Unauthorized');
  });
});

describe('a policy that names nobody', () => {
  it('is refused, with what to write', () => {
    expect(under([{ entities: ['*'], users: ['*'] }])({})).toBe('PolicyError');
  });

  it('reads with coffer’s own rights where that is configured, in the one namespace', () => {
    const direct = { direct: true, namespace: 'shop' };
    expect(outcome(direct, {})).toBe('allowed');
    expect(outcome(direct, { namespace: 'shop' })).toBe('allowed');
    expect(outcome(direct, { namespace: 'kube-system' })).toBe('Unauthorized');
    expect(outcome(direct, { impersonate: 'anybody' })).toBe('Unauthorized');
  });

  it('reads the Secrets that are named for it, if any are', () => {
    const naming = (...secretNames: string[]) => outcome({ direct: true, secretNames }, {});
    expect(naming('other', 'd*')).toBe('allowed');
    expect(naming('*')).toBe('allowed');
    expect(naming('other')).toBe('Unauthorized');
    expect(naming('d')).toBe('Unauthorized');
  });
});

describe('a policy that is wrong', () => {
  it.each([
    ['a namespace that would lead elsewhere in the URL', { impersonate: 'a', namespace: '../kube-system' }],
    ['an empty namespace', { impersonate: 'a', namespace: '' }],
    ['an empty user', { impersonate: '' }],
    ['a user that would end the header', { impersonate: 'a\r\nImpersonate-Group: system:masters' }],
    ['a user beyond ASCII', { impersonate: 'jürgen' }],
    ['a user that is a list', { impersonate: ['a'] }],
    ['two users', { impersonate: 'a', impersonateServiceAccount: 'b' }],
    ['groups without a user', { impersonateGroups: ['a'] }],
    ['a group that would end the header', { impersonate: 'a', impersonateGroups: ['a\nb'] }],
    ['a misspelt property', { impersonateGroup: ['a'] }],
    ['a misspelt property in other letters', { Impersonate: 'a' }],
    ['a namespace in other letters', { impersonate: 'a', nameSpace: 'b' }],
    ['a namespace by another name', { impersonate: 'a', namespaces: ['b'] }],
    ['a service account that is none', { impersonateServiceAccount: 'a/b/c' }],
    ['a service account with a colon', { impersonateServiceAccount: 'a/b:c' }],
  ])('is told so: %s', (_, properties) => {
    const rules: Rules = [{ entities: ['*'], users: ['*'], groups: ['*'] }];
    expect(outcome({ impersonation: rules, direct: true }, properties)).toBe('PolicyError');
  });
});

describe('settings', () => {
  const told = (options: unknown): string => {
    const read = kubernetesSettings.safeParse(options);
    return read.success ? 'fine' : read.error.issues.map(({ message }) => message).join('; ');
  };
  const ruleTold = (rule: object) =>
    told({ impersonation: [{ applications: ['a'], users: ['b'], ...rule }] });

  it('are refused where they would let nobody in', () => {
    expect(told({})).toMatch(/lets nobody read/);
    expect(told({ direct: true })).toBe('fine');
    expect(told({ impersonation: [{ entities: ['*'], users: ['b'] }], secretNames: ['a'] })).toMatch(
      /direct: true lets policies read/,
    );
  });

  it('are refused where a rule does not say for whom or as whom', () => {
    expect(told({ impersonation: [{ users: ['a'] }] })).toMatch(/for whom/);
    expect(told({ impersonation: [{ applications: ['a'] }] })).toMatch(/as whom/);
    expect(ruleTold({})).toBe('fine');
  });

  it.each([
    ['everybody’s master', { groups: ['system:masters'] }],
    ['all groups of the cluster', { groups: ['system:*'] }],
    ['all users of the cluster', { users: ['system:*'] }],
    ['all service accounts', { users: ['system:serviceaccount:*'] }],
    ['service accounts of all namespaces', { serviceAccounts: ['*/a'] }],
    ['a host that is none', { hosts: ['host-1'] }],
    ['an empty list', { applications: [] }],
    ['an unknown key', { application: ['a'] }],
  ])('are refused where a rule names %s', (_, rule) => {
    expect(ruleTold(rule)).not.toBe('fine');
  });
});
