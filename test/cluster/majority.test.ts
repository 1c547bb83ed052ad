import { afterEach, expect, it } from 'vitest';
import { coffer } from '../support/servers.mjs';
import { Deployment, readiness } from './deployment.js';

let deployment: Deployment | undefined;
afterEach(async () => {
  await deployment?.[Symbol.asyncDispose]();
});

it('an instance whose NATS servers are away for the most part says so, and calls nobody alive of whom it cannot hear', async () => {
  deployment = await Deployment.start({ instances: 2, storage: { stale: 'allow' } });
  const { cluster } = deployment;
  const one = deployment.instance('a');
  const leader = await cluster.leaderOf('KV_coffer');
  const [left, ...others] = cluster.servers.filter((server) => server !== leader);
  await Promise.all([leader, ...others].map((server) => server?.kill()));
  await expect
    .poll(async () => (await readiness(one)).body, { timeout: 30_000 })
    .toContain('more than half of its servers are away');
  const status = async () => String((await coffer(['storage', 'status', '-s', one.server.socket])).stdout);
  await expect.poll(status, { timeout: 30_000 }).toMatch(/^[0-9a-f]{16} .* not known$/m);
  await expect.poll(status).toMatch(/^Changes are refused: .*more than half of its servers are away/m);
  expect(await status()).not.toMatch(/ alive$/m);
  await expect
    .poll(status, { timeout: 30_000 })
    .toMatch(/^None of the servers leads, and nothing can be changed/m);
  const rows = (await status()).match(/^n\d .*$/gm)?.map((row) => row.split(/ {2,}/));
  expect(rows?.sort()).toEqual(
    cluster.servers.map((server) => [server.name, server === left ? 'answers' : 'not known']),
  );
  const doctor = await coffer([
    'doctor',
    '--config',
    one.folder.join('coffer.yaml'),
    '--state-dir',
    one.server.stateDir,
  ]);
  expect(String(doctor.stdout)).toMatch(
    new RegExp(`none of the servers of the bucket coffer leads .*, of which ${left?.name} answers`),
  );
  for (const command of ['query', 'verify']) {
    const { stderr } = await coffer(['audit', command, '-s', one.server.socket]);
    expect(String(stderr)).toMatch(/; with --own this instance’s own log, which needs no NATS$/m);
  }
  const put = await coffer(['put', 'a', '-s', one.server.socket], { input: 'x' });
  expect([put.code, String(put.stderr)]).toEqual([
    1,
    expect.stringContaining('cannot reach its store in NATS'),
  ]);
});
