import { expect, test } from 'vitest';

import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import { HEADER } from '../../packages/engine/src/storage/jetstream/layout.js';
import { fingerprint } from '../../packages/engine/src/storage/jetstream/messages.js';
import { admin, bytes, codeOf } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { Engines, healthy, valueAt } from './engines.js';

const WAIT = { timeout: 30_000 };

test('a header that somebody else removes is removed nowhere: all stop, and a heal brings it back', {
  timeout: 120_000,
}, async () => {
  const engines = await Engines.start('removed');
  const a = await engines.open('a');
  const b = await engines.open('b');
  await a.engine.put(admin, 'db', bytes(canary('one')));
  await a.engine.rotateKeys(admin);
  const { layout, last, follow } = await engines.stranger();
  const subject = layout.record(HEADER_KEY);
  const header = await last(subject);

  for (const kind of ['head', 'side'] as const) {
    await follow(HEADER_KEY, bytes(''), [
      [HEADER.operation, 'DEL'],
      [HEADER.kind, kind],
    ]);
    for (const { engine } of [a, b]) {
      await expect.poll(() => engine.sharedHealth?.alarm?.kind, WAIT).toBe('damaged');
      expect(await codeOf(engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(store_alarm|stale)$/);
    }
    await a.engine.healStorage(admin, { dryRun: false });
    for (const one of [a, b]) {
      await healthy(one);
      await expect.poll(() => valueAt(one, 'db'), WAIT).toBe(canary('one'));
      expect(one.fatal).toEqual([]);
    }
    expect((await last(subject))?.data).toEqual(header?.data);
  }
  await b.engine.put(admin, 'db', bytes(canary('two')));
});

test('a header whose ring opens nowhere holds all up, says so, and is gone after a heal', {
  timeout: 120_000,
}, async () => {
  const engines = await Engines.start('closed');
  const a = await engines.open('a');
  const b = await engines.open('b');
  await a.engine.put(admin, 'db', bytes(canary('one')));
  const { layout, last, follow } = await engines.stranger();
  const subject = layout.record(HEADER_KEY);
  const before = await last(subject);
  const forged = bytes(JSON.stringify({ ...before?.json<object>(), generation: 1_000, proof: 'AAAA' }));
  await follow(HEADER_KEY, forged);

  for (const { engine, notices } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.problem?.message, WAIT).toContain('coffer storage heal');
    expect(engine.lacksRootKey).toBe(true);
    expect(notices.join()).toContain('coffer storage heal');
    expect(await codeOf(engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(unavailable|stale)$/);
  }
  await a.engine.healStorage(admin, { dryRun: false });
  for (const one of [a, b]) {
    await healthy(one);
    expect(one.engine.lacksRootKey).toBe(false);
    await expect.poll(() => valueAt(one, 'db'), WAIT).toBe(canary('one'));
    await one.engine.put(admin, 'db', bytes(canary('two')));
    await one.engine.activate(admin, 'db', 1);
  }
  expect((await last(subject))?.data).toEqual(before?.data);
  const kept = await last(layout.fork(HEADER_KEY, fingerprint(forged), 0));
  expect(kept?.data).toEqual(Uint8Array.from(forged));
});
