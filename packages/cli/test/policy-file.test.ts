import { describe, expect, test } from 'vitest';
import { grantLine, policyText } from '../src/grants.js';
import { parsePolicy } from '../src/policy-file.js';

const GRANTS = [
  { to: ['token:abc', 'token:*'], actions: ['get', 'info'], secrets: ['prod/*', 'a "b"\n', 'true', '*'] },
  {
    to: ['dev'],
    actions: ['create-version', 'admin'],
    secrets: ['1', 'null', '- x', '# y', 'ключ', '\u009b2J'],
  },
] as const;

describe('a policy file', () => {
  test('may be YAML or JSON', () => {
    const yaml = 'grants:\n  - to: [token:abc]\n    actions:\n      - get\n    secrets: ["prod/*"]\n';
    const grants = [{ to: ['token:abc'], actions: ['get'], secrets: ['prod/*'] }];
    expect(parsePolicy(yaml)).toEqual(grants);
    expect(parsePolicy(JSON.stringify({ grants }))).toEqual(grants);
  });

  test('is read back as it is shown, whatever stands in it', () => {
    expect(parsePolicy(policyText(GRANTS))).toEqual(GRANTS);
    expect(parsePolicy(policyText([]))).toEqual([]);
    expect(parsePolicy(`grants: [{${grantLine(GRANTS[0])}}]`)).toEqual([GRANTS[0]]);
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
      'grants: [{to: [a], actions: [get], secrets: [b], when: {}}]',
      'grants[0].when: unknown key, write to, actions',
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
