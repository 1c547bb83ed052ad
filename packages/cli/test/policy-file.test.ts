import { describe, expect, test } from 'vitest';
import { Failure } from '../src/failure.js';
import { grantLine, policyText } from '../src/grants.js';
import { parsePolicy } from '../src/policy-file.js';

const GRANTS = [
  { to: ['token:abc', 'token:*'], actions: ['get', 'info'], secrets: ['prod/*', 'a "b"\n', 'true', '*'] },
  {
    to: ['dev'],
    actions: ['create-version', 'admin'],
    secrets: ['1', 'null', '- x', '# y', 'ключ', '\u009b2J'],
  },
  {
    to: ['a:b'],
    actions: ['get'],
    secrets: ['x'],
    when: { application: ['shop', '}, {', '*'], host: ['N*'] },
  },
  { to: ['a:b'], actions: ['get'], secrets: ['x'], when: { application: ['shop'] } },
  { to: ['a:b'], actions: ['get'], secrets: ['x'], when: { host: ['true'] } },
] as const;

describe('a policy file', () => {
  test('may be YAML or JSON', () => {
    const yaml = 'grants:\n  - to: [token:abc]\n    actions:\n      - get\n    secrets: ["prod/*"]\n';
    const grants = [{ to: ['token:abc'], actions: ['get'], secrets: ['prod/*'] }];
    expect(parsePolicy(yaml).grants).toEqual(grants);
    expect(parsePolicy(JSON.stringify({ grants })).grants).toEqual(grants);
  });

  test('is read back as it is shown, whatever stands in it', () => {
    expect(parsePolicy(policyText(GRANTS)).grants).toEqual(GRANTS);
    expect(parsePolicy(policyText([])).grants).toEqual([]);
    for (const grant of GRANTS) {
      expect(parsePolicy(`grants: [{${grantLine(grant)}}]`).grants).toEqual([grant]);
    }
  });

  test.each([
    ['', 'it is empty: write "grants: []" to allow nothing to anybody'],
    ['[]', 'the file: must hold grants'],
    ['{}', 'grants: missing'],
    ['grants: {}', 'grants: must be a list'],
    ['grant: []', 'grant: unknown key, write grants'],
    ['grants: [x]', 'grants[0]: must hold to, actions, secrets'],
    ['grants: [{to: [a], actions: [get]}]', 'grants[0].secrets: missing'],
    [
      'grants: [{to: [a], actions: [get], secrets: [b], where: {}}]',
      'grants[0].where: unknown key, write to, actions, secrets, when',
    ],
    ['grants: [{to: [a], actions: [get], secrets: [b], when: {}}]', 'grants[0].when: is empty'],
    [
      'grants: [{to: [a], actions: [get], secrets: [b], when: }]',
      'grants[0].when: must hold application, host',
    ],
    [
      'grants: [{to: [a], actions: [get], secrets: [b], when: {applications: [c]}}]',
      'grants[0].when.applications: unknown key, write application, host',
    ],
    [
      'grants: [{to: [a], actions: [get], secrets: [b], when: {application: c}}]',
      'grants[0].when.application: must be a list',
    ],
    [
      'grants: [{to: [a], actions: [get], secrets: [b], when: {application: [c], host: []}}]',
      'grants[0].when.host: is empty',
    ],
    [
      'grants: [{to: [a], actions: [get], secrets: [b], when: {host: [1]}}]',
      'grants[0].when.host[0]: must be text',
    ],
    [
      'grants: [{to: [a], actions: [get, info], secrets: [b], when: {host: [c]}}]',
      'grants[0].when: stands in grants whose only action is get',
    ],
    ['grants: [{to: a, actions: [get], secrets: [b]}]', 'grants[0].to: must be a list'],
    ['grants: [{to: [], actions: [get], secrets: [b]}]', 'grants[0].to: is empty'],
    [
      'grants: [{to: [a], actions: [get, gett], secrets: [b]}]',
      'grants[0].actions[1]: unknown action "gett", write get,',
    ],
    ['grants: [{to: [a], actions: [1], secrets: [b]}]', 'grants[0].actions[0]: not an action, write get'],
    ['grants: [{to: [a], actions: [get], secrets: [1]}]', 'grants[0].secrets[0]: must be text'],
    ['grants: [{to: [a], actions: [get], secrets: [""]}]', 'grants[0].secrets[0]: must be text'],
    ['grants: []\ngrants: []', 'Map keys must be unique at line 2, column 1'],
    ['grants: [', 'line 1'],
    ['grants: !!js []', 'Unresolved tag'],
    ['grants: [{to: [*], actions: [get], secrets: [b]}]', 'needs quotes'],
    ['grants: [{to: [*all], actions: [get], secrets: [b]}]', 'needs quotes'],
    ['grants: &x []\n--- \n', 'multiple documents'],
  ])('%j is refused: %s', (text, sentence) => {
    expect(() => parsePolicy(text)).toThrow(sentence);
  });
});

const ACCOUNT = `A${'B'.repeat(55)}`;
const USER = `U${'C'.repeat(55)}`;
const COMPONENT = `M${'D'.repeat(55)}`;

const names = () => ({
  accountKey(name: string) {
    if (name === 'main') return ACCOUNT;
    throw new Failure(`there is no account "${name}"`);
  },
  userKey(account: string, name: string) {
    if (account === ACCOUNT && name === 'alice') return USER;
    throw new Failure(`there is no user "${name}"`);
  },
});

const toOf = (to: string, aliases = '') =>
  parsePolicy(`${aliases}\ngrants: [{to: [${to}], actions: [get], secrets: ["*"]}]`, names);

describe('the principals of a policy file', () => {
  test.each([
    [`nats:${ACCOUNT}/${USER}`, `nats:${ACCOUNT}/${USER}`],
    ['nats:main/alice', `nats:${ACCOUNT}/${USER}`],
    [`nats:${ACCOUNT}/alice`, `nats:${ACCOUNT}/${USER}`],
    ['nats:main/*', `nats:${ACCOUNT}/*`],
    [`nats:main/${USER}`, `nats:${ACCOUNT}/${USER}`],
    ['nats-tag:main:team:web', `nats-tag:${ACCOUNT}:team:web`],
    ['nats:*/alice*', 'nats:*/alice*'],
    [`component:main/${COMPONENT}`, `component:${ACCOUNT}/${COMPONENT}`],
    ['provider:main/*', `provider:${ACCOUNT}/*`],
    [`component:${ACCOUNT}/${COMPONENT}`, `component:${ACCOUNT}/${COMPONENT}`],
    [`component:self-issued/${COMPONENT}`, `component:self-issued/${COMPONENT}`],
    ['component:*', 'component:*'],
    ['nats:*', 'nats:*'],
    ['token:abc', 'token:abc'],
  ])('%j is %s', (written, id) => {
    const { grants, resolved } = toOf(JSON.stringify(written));
    expect(grants[0]?.to).toEqual([id]);
    expect(resolved).toEqual(written === id ? [] : [{ name: written, id }]);
  });

  test('may have aliases, of ids and of names', () => {
    const aliases = `aliases: {alice: "nats:main/alice", ci: "token:abc"}`;
    expect(toOf('alice, ci, socket, "token:*"', aliases)).toMatchObject({
      grants: [{ to: [`nats:${ACCOUNT}/${USER}`, 'token:abc', 'socket', 'token:*'] }],
      resolved: [
        { name: 'alice', id: `nats:${ACCOUNT}/${USER}` },
        { name: 'ci', id: 'token:abc' },
      ],
    });
  });

  test('need nobody who knows identities where there are only ids', () => {
    const policy = `grants: [{to: ["nats:${ACCOUNT}/${USER}"], actions: [get], secrets: ["*"]}]`;
    expect(parsePolicy(policy).grants).toHaveLength(1);
  });

  test.each([
    ['"nats:main/bob"', '', 'grants[0].to[0]: there is no user "bob"'],
    ['"component:other/M1"', '', 'grants[0].to[0]: there is no account "other"'],
    ['"nats:other/alice"', '', 'grants[0].to[0]: there is no account "other"'],
    ['"nats:*/alice"', '', 'grants[0].to[0]: "nats:*/alice": whose user "alice" is meant cannot be told'],
    ['alise', 'aliases: {alice: "token:a"}', 'grants[0].to[0]: "alise" is no alias of this file'],
    ['a', 'aliases: {a: "nats:main/bob"}', 'aliases.a: there is no user "bob"'],
    ['a', 'aliases: {a: 1}', 'aliases.a: must be text'],
    ['a', 'aliases: [a]', 'aliases: must hold names'],
    ['a', 'aliases: {"a:b": "token:a"}', 'aliases: "a:b" cannot be an alias'],
    ['a', 'aliases: {socket: "token:a"}', 'aliases: "socket" cannot be an alias'],
  ])('%s with %j are refused: %s', (to, aliases, sentence) => {
    expect(() => toOf(to, aliases)).toThrow(sentence);
  });
});
