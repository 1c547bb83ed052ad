import { describe, expect, it } from 'vitest';

import type { AuditLog } from '../src/audit/log.js';
import { Gate } from '../src/gate.js';
import type { Caller } from '../src/index.js';
import { identity } from './support.js';

const [alice, bob] = [identity('alice'), identity('bob')];

/** A gate on a log that takes everything at once. */
function openGate(): Gate {
  const log: Pick<AuditLog, 'append'> = { append: async () => 1 };
  return new Gate(log as AuditLog, { sequence: 1 }, () => new Date());
}

const change = (gate: Gate, caller: Caller) =>
  gate.change({ caller, action: 'put', secret: 'a', operation: 'op' }, async () => undefined);

/** Ids of what a head remembers after one more change, which nobody named as little as those before. */
function remembered(gate: Gate): string[] {
  const operation = { by: alice.principals[0].id, request: '', result: 0, given: false };
  const before = { recent: [{ ...operation, id: 'op' }], spent: [] };
  return gate.remember(before, { ...operation, id: 'next' }).recent.map(({ id }) => id);
}

describe('an operation whose outcome is not in the log yet', () => {
  it.each([
    ['another caller’s', bob],
    ['another one of the same caller’s', alice],
  ])('is remembered although %s with its id has ended', async (_, other) => {
    const gate = openGate();
    const made = await change(gate, alice);
    await (await change(gate, other)).settle();
    expect(remembered(gate)).toEqual(['op', 'next']);
    await made.settle();
    expect(remembered(gate)).toEqual(['next']);
  });
});
