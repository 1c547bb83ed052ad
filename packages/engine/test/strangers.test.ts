import { describe, expect, it } from 'vitest';

import { type RefusedStrangers, Strangers } from '../src/audit/strangers.js';
import { auditEntries } from './audit-file.js';
import { admin, openEngine } from './support.js';

const refusals = async (stateDir: string) =>
  (await auditEntries(stateDir)).filter(({ action }) => action === 'refused');

/** What the next settling writes. */
async function settled(strangers: Strangers): Promise<RefusedStrangers | undefined> {
  let written: RefusedStrangers | undefined;
  await strangers.settle(async (refused) => {
    written = refused;
  });
  return written;
}

describe('callers whom nobody knows', () => {
  it('get one entry together, with how many they were, since when, and the busiest of them', async () => {
    let now = new Date('2031-02-03T04:05:06Z');
    const { engine, stateDir } = await openEngine(undefined, { now: () => now });
    for (let stranger = 1; stranger <= 9; stranger++) {
      for (let i = 0; i < stranger; i++) engine.refusedStranger(`192.0.2.${stranger}`);
      now = new Date(now.getTime() + 1_000);
    }
    expect(await refusals(stateDir)).toEqual([]);
    await engine.close();
    expect(await refusals(stateDir)).toMatchObject([
      {
        principal: { id: 'server', kind: 'server', user: 'server' },
        authorized: false,
        count: 45,
        since: '2031-02-03T04:05:06.000Z',
        addresses: 9,
        busiest: [9, 8, 7, 6, 5].map((count) => ({ ip: `192.0.2.${count}`, count })),
      },
    ]);
  });

  it('leave no entry where there were none', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.list(admin);
    await engine.close();
    expect(await refusals(stateDir)).toEqual([]);
  });

  it('are counted on where the entry cannot be written', async () => {
    const strangers = new Strangers(() => new Date(0));
    for (const address of ['a', 'b', 'a']) strangers.add(address);
    await strangers.settle(async () => {
      strangers.add('b');
      strangers.add('c');
      throw new Error('the disk is full');
    });
    strangers.add('b');
    expect(await settled(strangers)).toEqual({
      count: 6,
      since: new Date(0).toISOString(),
      addresses: 3,
      busiest: [
        { ip: 'b', count: 3 },
        { ip: 'a', count: 2 },
        { ip: 'c', count: 1 },
      ],
    });
    expect(await settled(strangers)).toBeUndefined();
  });

  it('take no more memory however many there are', async () => {
    const strangers = new Strangers(() => new Date(0));
    for (let i = 0; i < 20_000; i++) strangers.add(`address ${i}`);
    for (let i = 0; i < 3; i++) strangers.add('address 7');
    const refused = await settled(strangers);
    expect(refused).toMatchObject({ count: 20_003, addresses: 4_096 });
    expect(refused?.busiest[0]).toEqual({ ip: 'address 7', count: 4 });
  });
});
