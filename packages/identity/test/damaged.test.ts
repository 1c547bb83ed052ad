import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  findingsIn,
  graphOf,
  issuedBy,
  rotateSigningKey,
  signingKeysOf,
  takeSnapshot,
} from '../src/index.js';
import { nscCopy } from './nsc-copy.js';

const SIGNING = 'ABPLTKJ45XA7OQ5KGWQ2JY2FQFTNFGGHBQRHWALABOH6ZBE5B6XMPVXP';

describe('a store with a damaged token', () => {
  it('of a user is looked at all the same, and the rotation names the user', async () => {
    using nsc = nscCopy();
    const { store } = nsc.open();
    writeFileSync(store.userPath('demoA', 'demoU'), 'garbage');

    const snapshot = takeSnapshot(nsc.open());
    expect(snapshot.damaged).toMatchObject([{ kind: 'user', account: 'demoA', name: 'demoU' }]);
    expect(snapshot.damaged[0]?.problem).toMatch(/demoU\.jwt: .*; put it back from a copy/);
    expect(graphOf(snapshot).children).not.toHaveLength(0);
    expect(issuedBy(snapshot, SIGNING).map(({ name }) => name)).toContain('demolimited');
    const found = findingsIn(nsc.open(), ['demoA', 'demoB']).accounts;
    expect(found.map(({ findings }) => findings.length)).toEqual([1, 0]);

    const report = await rotateSigningKey(nsc.open(), { account: 'demoA', old: SIGNING });
    expect(report.damaged.map(({ name }) => name)).toEqual(['demoU']);
    expect(report.reissued.map(({ name }) => name)).toContain('demolimited');
    expect([...signingKeysOf(store.account('demoA').claims).keys()]).not.toContain(SIGNING);
  });

  it('of an account keeps no other account from being looked at and rotated', async () => {
    using nsc = nscCopy();
    const { store } = nsc.open();
    writeFileSync(store.accountPath('demoB'), '');
    expect(takeSnapshot(nsc.open()).damaged).toMatchObject([{ kind: 'account', name: 'demoB' }]);
    const found = findingsIn(nsc.open(), ['demoA', 'demoB']).accounts;
    expect(found.map(({ findings }) => findings.length)).toEqual([0, 1]);
    const report = await rotateSigningKey(nsc.open(), { account: 'demoA', old: SIGNING });
    expect(report.damaged).toMatchObject([{ kind: 'account', name: 'demoB' }]);
    expect([...signingKeysOf(store.account('demoA').claims).keys()]).not.toContain(SIGNING);
  });

  it('of the operator shows what is wrong with the rest', () => {
    using nsc = nscCopy();
    writeFileSync(nsc.open().store.operatorPath, 'garbage');
    const { operator, accounts } = findingsIn(nsc.open(), ['demoA']);
    expect(operator).toMatchObject([{ level: 'error', text: expect.stringMatching(/demoO\.jwt: /) }]);
    expect(accounts).toEqual([{ name: 'demoA', findings: [] }]);
  });
});
