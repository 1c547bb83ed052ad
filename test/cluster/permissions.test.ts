import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, expect, it } from 'vitest';
import { publishBatch } from '../../packages/engine/src/storage/jetstream/batch-publisher.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer } from '../support/servers.mjs';

const [, PERMISSIONS = ''] =
  /^ *```\n( *authorization \{[\s\S]*?)^ *```$/m.exec(
    readFileSync(new URL('../../docs/scale.md', import.meta.url), 'utf8'),
  ) ?? [];

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(config: object, like?: TemporaryFolder): Promise<CofferServer> {
  const folder = new TemporaryFolder();
  closing.push(() => folder[Symbol.dispose]());
  if (like) copyFileSync(like.join('root.key'), folder.join('root.key'));
  writeFileSync(folder.join('coffer.yaml'), JSON.stringify(config));
  const server = await CofferServer.start({ folder, args: ['--config', folder.join('coffer.yaml')] });
  closing.push(() => server.stop());
  return server;
}

/** The permissions without some of them. */
function withoutRight(what: string, without: string): string {
  const found = PERMISSIONS.lastIndexOf(what);
  if (found < 0) throw new Error(`docs/scale.md does not have ${what}`);
  return PERMISSIONS.slice(0, found) + without + PERMISSIONS.slice(found + what.length);
}

/** The arguments of an instance that was not started yet. */
function prepare({ port }: NatsServer, bucket: string): string[] {
  const folder = new TemporaryFolder();
  closing.push(() => folder[Symbol.dispose]());
  const servers = [`nats://coffer:${encodeURIComponent('a long one')}@127.0.0.1:${port}`];
  const storage = { kind: 'jetstream', servers, replicas: 1, syncAlways: true, bucket };
  writeFileSync(folder.join('coffer.yaml'), JSON.stringify({ storage }));
  const place = ['--config', folder.join('coffer.yaml'), '--state-dir', folder.join('state')];
  return [...place, '--root-key', `file:${folder.join('root.key')}`];
}

async function connectAsCoffer({ url }: NatsServer): Promise<NatsConnection> {
  const who = { user: 'coffer', pass: 'a long one', inboxPrefix: '_INBOX_coffer' };
  const connection = await connect({ servers: url, ...who });
  closing.push(() => connection.close());
  return connection;
}

it('The permissions in docs/scale.md are enough for a store and for what its instances ask each other', async () => {
  const nats = await NatsServer.start({ config: PERMISSIONS });
  closing.push(() => nats.stop());
  const servers = [`nats://coffer:${encodeURIComponent('a long one')}@127.0.0.1:${nats.port}`];
  const storage = { kind: 'jetstream', servers, replicas: 1, syncAlways: true };
  const one = await start({ storage });
  const two = await start({ storage }, one.folder);
  const run = async (server: CofferServer, ...args: string[]) => {
    const { code, stdout, stderr } = await coffer([...args, '-s', server.socket], { input: canary('value') });
    expect(code, stderr.toString()).toBe(0);
    return stdout.toString();
  };
  await run(one, 'put', 'a');
  await expect
    .poll(() => coffer(['get', 'a', '-s', two.socket]).then(({ stdout }) => String(stdout)))
    .toBe(canary('value'));
  await run(one, 'keys', 'rotate');
  const healed = JSON.parse(await run(one, 'storage', 'heal', '--dry-run', '--json'));
  expect(healed).toMatchObject({ dryRun: true, absent: [], restored: 0, removed: 0, forks: [] });
  expect(healed.compared).toHaveLength(2);
  // What sweeps deleted records, which nothing asks for in the time of a test.
  const connection = await connectAsCoffer(nats);
  const { streams } = await jetstreamManager(connection, { checkAPI: false });
  const filter = new Layout('coffer').record(Buffer.from('none'));
  expect(await streams.purge('KV_coffer', { filter, seq: 1 })).toMatchObject({ success: true, purged: 0 });
  await expect.poll(() => run(one, 'audit', 'query')).toMatch(/ allowed +get /);
  for (const server of [one, two]) expect(server.process.output).not.toContain('does not let us');
});

it('An instance whose NATS user may not write any more says so, and goes on when it may again', async () => {
  const nats = await NatsServer.start({ config: PERMISSIONS });
  closing.push(() => nats.stop());
  const servers = [`nats://coffer:${encodeURIComponent('a long one')}@127.0.0.1:${nats.port}`];
  const one = await start({ storage: { kind: 'jetstream', servers, replicas: 1, syncAlways: true } });
  const status = async () => String((await coffer(['storage', 'status', '-s', one.socket])).stdout);
  expect(await status()).not.toContain('Changes are refused');
  await nats.restart({ config: withoutRight('"$KV.coffer.>", ', '') });
  await expect
    .poll(status, { timeout: 30_000 })
    .toMatch(/^Changes are refused: the NATS user may not publish to \$KV\.coffer\.>: .*docs\/scale\.md/m);
  expect(await (await fetch(`${one.url}/readyz`)).text()).toContain('changes are refused now (unfit_store)"');
  await nats.restart({ config: PERMISSIONS });
  const put = async () => (await coffer(['put', 'a', '-s', one.socket], { input: canary('value') })).code;
  await expect.poll(put, { timeout: 30_000 }).toBe(0);
});

it('A change that the NATS user may not write is refused at once, and not in doubt', async () => {
  const nats = await NatsServer.start({ config: PERMISSIONS });
  closing.push(() => nats.stop());
  const connection = await connectAsCoffer(nats);
  const message = { subject: '$KV.other.r.a', data: new Uint8Array(), headers: [] };
  expect(await publishBatch(connection, 'KV_other', 'id', [message], 2_000)).toEqual({
    is: 'refused',
    reason: 'Permissions Violation for Publish to "$KV.other.r.a"',
  });
});

it.each([
  [
    '"coffer.store.coffer", "coffer.store.coffer.>"]\n',
    ']\n',
    'may not subscribe to coffer.store.coffer, nor subscribe to coffer.store.coffer.>: is',
  ],
  ['"coffer.store.coffer.>", "_INBOX', '"_INBOX', 'may not publish to coffer.store.coffer.>: is'],
  ['"$JS.API.>", ', '', 'JetStream cannot be used (Permissions Violation for Publish to "$JS.API.'],
])('The doctor finds that %s is missing among the permissions', async (what, without, says) => {
  const nats = await NatsServer.start({ config: withoutRight(what, without) });
  closing.push(() => nats.stop());
  const { stdout } = await coffer(['doctor', ...prepare(nats, 'coffer')]);
  expect(stdout.toString()).toContain(says);
  expect(stdout.toString()).toContain('give the user the permissions that docs/scale.md has for it');
});

it('A start with the name of a bucket that its NATS user may not write to says so, and makes no stream', async () => {
  const nats = await NatsServer.start({ config: PERMISSIONS });
  closing.push(() => nats.stop());
  const all = prepare(nats, 'cofferx');
  const started = await coffer(['server', '--listen', '127.0.0.1:0', ...all]);
  const refusal = /the NATS user may not publish to \$KV\.cofferx\.>: look at storage\.bucket/;
  expect([started.code, started.stderr.toString()]).toEqual([1, expect.stringMatching(refusal)]);
  const doctor = await coffer(['doctor', ...all]);
  expect(doctor.stdout.toString()).toMatch(
    /may not publish to \$KV\.cofferx\.>, nor publish to coffer\.audit\.cofferx\.\*, .*: is cofferx the right/,
  );
  const connection = await connectAsCoffer(nats);
  const { streams } = await jetstreamManager(connection, { checkAPI: false });
  expect(await streams.names().next()).toEqual([]);
});
