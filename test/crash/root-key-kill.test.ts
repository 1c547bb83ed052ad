import { readdirSync } from 'node:fs';
import { Admin } from '@coffer/client/admin';
import { expect, onTestFinished, test } from 'vitest';

import { TemporaryFolder } from '../support/processes.mjs';
import { clientOf, expectSoundAudit, launch, outcomeOf, urlOf } from './server.js';

/**
 * Kills the server as it begins its nth call that matches: strace's `inject`, with one thread for all calls of node's.
 *
 * @param path only calls on this file
 */
const killedAt = (call: string, nth: number, path?: string) => [
  'env',
  'UV_THREADPOOL_SIZE=1',
  'strace',
  ...['-D', '-f', '-q', '-o', '/dev/null', ...(path === undefined ? [] : ['-P', path])],
  ...['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${nth}`],
];

/** More calls of a kind than a start and a rotation make. */
const ENOUGH = 25;

test.each([
  ['fsync', 'fsync', undefined],
  ['link', '/^link(at)?$', undefined],
  ['rename', '/^rename(at|at2)?$', undefined],
  ["fdatasync of the store's file", 'fdatasync', 'data.mdb'],
])(
  'a server killed at any %s of a new root key opens again, by the old key or by the new one',
  async (what, call, file) => {
    using folder = new TemporaryFolder();
    const first = launch(folder);
    await clientOf(await urlOf(first)).put('kept', Buffer.from('value'));
    await first.stop();
    const path = file && folder.join('state', 'store', file);
    let kills = 0;
    for (let nth = 1; nth <= ENOUGH; nth++) {
      const server = launch(folder, { under: killedAt(call, nth, path) });
      onTestFinished(() => server.kill().then(() => undefined));
      const url = await urlOf(server).catch(() => undefined);
      if (url === undefined) continue;
      const outcome = await outcomeOf(new Admin(clientOf(url)).rotateKeys({ root: true }));
      const survived = 'value' in outcome;
      if (!survived) expect(outcome.code).toBe('unreachable');
      await server.kill();

      const again = launch(folder);
      const client = clientOf(await urlOf(again));
      expect(Buffer.from((await client.get('kept')).value).toString()).toBe('value');
      const { rootKey } = await new Admin(client).keys();
      await expectSoundAudit(client, folder.join('state'));
      if (survived) {
        // Whatever was left half done: a further rotation goes through.
        const { rootKey: next } = await new Admin(client).rotateKeys({ root: true });
        expect(next.id).not.toBe(rootKey.id);
        expect(readdirSync(folder.path)).toContain(`root.key.retired-${rootKey.id}`);
        await again.stop();
        break;
      }
      await again.kill();
      kills++;
    }
    console.log(`${what}: killed on the way ${kills} times`);
    expect(kills).toBeGreaterThan(0);
  },
);
