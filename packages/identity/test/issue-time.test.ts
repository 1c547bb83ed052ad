import { describe, expect, it } from 'vitest';
import { issueTime, saveAccount } from '../src/index.js';
import { nscCopy } from './nsc-copy.js';

describe('tokens of one account', () => {
  it('have a second each, and none is further ahead of the clock than servers bear', () => {
    using nsc = nscCopy();
    const context = nsc.open();
    const issued: number[] = [];
    for (let edit = 0; edit < 6; edit++) {
      const { claims } = context.store.account('demoB');
      saveAccount(context, 'demoB', claims);
      const { iat } = context.store.account('demoB').claims;
      expect(iat * 1000 - Date.now()).toBeLessThanOrEqual(3_000);
      issued.push(iat);
    }
    expect(new Set(issued).size).toBe(6);
    expect(issued).toEqual(issued.toSorted((a, b) => a - b));
  });

  it('are not issued after one that is far in the future', () => {
    const now = new Date('2026-11-22T12:00:00Z');
    const iat = now.getTime() / 1000 + 3600;
    expect(() => issueTime({ iat }, now)).toThrow(/2026-11-22T13:00:00.000Z.*set the clock/);
    expect(issueTime({ iat: iat - 7200 }, now)).toEqual(now);
  });
});
