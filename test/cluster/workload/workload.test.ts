import { expect, it } from 'vitest';
import { CofferServer } from '../../support/servers.mjs';
import { check } from '../checker/check.js';
import { Workload } from './workload.js';

const RULES = { boundMs: 0 };

it('an only server answers all clients as the checker wants it, and what is made up is found', async () => {
  await using server = await CofferServer.start();
  const { token, principal } = await server.createToken('chaos');
  await server.applyPolicy([
    { to: [principal], actions: ['get', 'info', 'put', 'activate', 'delete'], secrets: ['chaos/*'] },
  ]);
  const place = { name: 'a', url: server.url };
  const workload = new Workload({ places: [place], token, secrets: 9, clients: 8, restMs: 2 });
  workload.start();
  await expect.poll(() => workload.operations.length).toBeGreaterThan(1_500);
  await workload.stop();
  const finals = await workload.read(place);
  workload.close();
  const { operations } = workload;
  expect(operations.filter(({ outcome }) => outcome === 'unknown')).toEqual([]);
  expect(check({ operations, finals }, RULES)).toEqual([]);

  const changed = finals.map((final) => ({ ...final, active: final.active + 1 }));
  expect(check({ operations, finals: changed }, RULES)).not.toEqual([]);
  const read = operations.findLastIndex(({ kind, outcome }) => kind === 'get' && outcome === 'ok');
  const late = operations.with(read, { ...(operations[read] as (typeof operations)[number]), value: 'x' });
  expect(check({ operations: late, finals }, RULES)).toMatchObject([{ kind: 'wrong value' }]);
});
