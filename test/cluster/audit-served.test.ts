import { expect, it, onTestFinished } from 'vitest';

import { admin, bytes } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { coffer } from '../support/servers.mjs';
import { textOf } from './audit-instances.js';
import { Deployment } from './deployment.js';
import { Engines } from './engines.js';
import { Requests } from './workload/requests.js';

interface Line {
  readonly instance: string;
  readonly seq: number;
  readonly time: string;
  readonly action: string;
}

const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);

it('the audit of several instances is read and verified at any of them, and without them', {
  timeout: 180_000,
}, async () => {
  await using deployment = await Deployment.start({ instances: 2, servers: 1, storage: { replicas: 1 } });
  const requests = new Requests();
  const ask = (place: { url: string }, method: string, body: object) =>
    requests.ask({ url: place.url, token: deployment.token }, { method, body });
  const Value = Buffer.from(canary('audited')).toString('base64');
  for (const place of deployment.places) {
    expect((await ask(place, 'put', { Name: `of-${place.name}`, Value })).status).toBe(200);
  }
  requests.close();
  const verify = async (...args: string[]) => {
    const { code, stdout, stderr } = await coffer(['audit', 'verify', ...args], {});
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  };
  const query = async (...args: string[]) =>
    linesOf(await deployment.admin('a', 'audit', 'query', '--json', ...args));
  // The other's lines come when they are copied.
  await expect
    .poll(async () => (await query('--secret', 'of-b')).map(({ action }) => action))
    .toContain('put');
  const all = await query();
  expect(new Set(all.map(({ instance }) => instance)).size).toBe(2);
  const times = all.map(({ time }) => time);
  expect(times).toEqual([...times].sort());
  const own = await query('--own');
  const [a] = own.map(({ instance }) => instance);
  expect(new Set(own.map(({ instance }) => instance))).toEqual(new Set([a]));
  const [b] = all.map(({ instance }) => instance).filter((instance) => instance !== a);
  expect(new Set((await query('--instance', b ?? '')).map(({ instance }) => instance))).toEqual(new Set([b]));
  expect(await deployment.admin('a', 'audit', 'query', '--secret', 'of-b')).toContain(` at ${b}`);

  const atA = ['-s', deployment.instance('a').server.socket];
  const verified = await verify(...atA);
  expect(verified).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('So do the copies of all instances’ logs:'),
  });
  expect(verified.stdout).toContain(b);
  const told = JSON.parse((await verify(...atA, '--json')).stdout);
  expect(told).toMatchObject({ whole: true, instance: a });
  expect(told.copies.map((one: { instance: string }) => one.instance).sort()).toEqual([a, b].sort());

  const folders = deployment.instances.flatMap(({ server }) => ['--state-dir', server.stateDir]);
  expect((await verify(...folders)).code).toBe(0);
  expect(await verify(...folders, ...folders.slice(0, 2))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('the log of the same instance'),
  });
  const offline = await coffer(['audit', 'query', '--json', ...folders], {});
  expect(new Set(linesOf(offline.stdout.toString()).map(({ instance }) => instance))).toEqual(
    new Set([a, b]),
  );

  const before = (await query('--instance', b ?? '')).length;
  await deployment.instance('b').stop();
  const { server, folder } = deployment.instance('b');
  const rootKey = `file:${folder.join('root.key')}`;
  const alone = await verify('--state-dir', server.stateDir, '--root-key', rootKey);
  expect(alone).toMatchObject({ code: 0, stdout: expect.stringContaining('of the store holds') });
  deployment.instance('b').wipe({ audit: true });
  expect((await query('--instance', b ?? '')).length).toBeGreaterThanOrEqual(before);
  expect((await verify(...atA)).code).toBe(0);
  await deployment.instance('b').start();
  await expect.poll(async () => new Set((await query()).map(({ instance }) => instance)).size).toBe(3);
  expect((await verify(...atA)).code).toBe(0);

  const connection = await deployment.cluster.connect();
  await connection.request(
    `$JS.API.STREAM.PURGE.COFFER_AUDIT_coffer`,
    JSON.stringify({ filter: `coffer.audit.coffer.${b}` }),
    { timeout: 5_000 },
  );
  await connection.request(
    `$JS.API.STREAM.PURGE.COFFER_AUDIT_coffer`,
    JSON.stringify({ filter: `coffer.audit.coffer.${a}` }),
    { timeout: 5_000 },
  );
  await connection.close();
  // What this server still has it copies again; before that, it is missed.
  await expect.poll(async () => (await verify(...atA)).code).toBe(0);
  expect((await query('--action', 'copies-lost')).map(({ instance }) => instance)).toEqual([a]);
});

it('copies are read after the data keys were changed, whoever changed them', {
  timeout: 120_000,
}, async () => {
  await using cluster = await NatsCluster.start({ size: 1, auth: 'open' });
  const engines = new Engines(cluster, 'rotated');
  const [{ engine: a }, { engine: b }] = [await engines.open('a'), await engines.open('b')];
  onTestFinished(() => Promise.all([a.close(), b.close()]).then(() => undefined));
  await expect.poll(() => a.put(admin, 'x', bytes('1')).then(() => 'made', String)).toBe('made');
  const copied = () =>
    expect.poll(() => (a.auditCopies?.pending ?? 1) + (b.auditCopies?.pending ?? 1)).toBe(0);
  await copied();
  for (const engine of [a, b]) {
    await expect.poll(() => engine.rotateKeys(admin).then(() => 'begun', String)).toBe('begun');
    await expect.poll(() => engine.rotation(admin).then((found) => found ?? 'over', String)).toBe('over');
    await expect.poll(() => (engine === a ? b : a).get(admin, 'x').then(() => 'read', String)).toBe('read');
  }
  await copied();
  const { keys } = { keys: (await a.keys(admin)).dataKeys };
  expect(keys.map(({ id }) => id)).toEqual([3]);
  const chains = (await b.auditInstances(admin)).chains.map(({ chain }) => chain);
  expect(chains).toHaveLength(2);
  for (const chain of chains) {
    const text = await textOf(b.audit(admin, { instance: chain }));
    expect(text).not.toContain('unreadable');
    const lines = linesOf(text);
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, index) => index + 1));
  }
});
