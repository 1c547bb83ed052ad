import { connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startServer } from '../../cli/test/run.js';
import { Admin } from '../src/admin/index.js';
import { Client, type SecretInfo } from '../src/index.js';

/** How many changes are made; WATCH_CHANGES lengthens it. */
const CHANGES = Number(process.env.WATCH_CHANGES ?? 300);

/** A way to a server's socket that can be cut, in the middle of whatever passes. */
async function cuttable(path: string) {
  const sockets = new Set<Socket>();
  const proxy = createServer((inner) => {
    const outer = connect(path);
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    cut();
    proxy.close();
  });
  const { port } = proxy.address() as { port: number };
  return { url: `http://127.0.0.1:${port}`, cut };
}

test('over connections that break at any moment a watcher knows in the end what there is', async () => {
  await using server = await startServer();
  await using admin = new Client({ server: server.socket });
  const { id, token } = await new Admin(admin).createToken({ name: 'watcher' });
  await new Admin(admin).applyPolicy([{ to: [`token:${id}`], actions: ['get', 'info'], secrets: ['*'] }]);
  const { url, cut } = await cuttable(server.socket.slice('unix:'.length));
  await using watcher = new Client({ server: url, token, retries: 10 });

  const picture = new Map<string, SecretInfo>();
  let events = 0;
  let cuts = 0;
  let resets = 0;
  const done = (async () => {
    for await (const event of watcher.watch()) {
      if (event.type === 'ready' || event.type === 'reset') {
        resets++;
        const secrets = await watcher.list();
        picture.clear();
        for (const secret of secrets) picture.set(secret.name, secret);
      } else if (event.type === 'delete') {
        if (event.name === 'end') return;
        picture.delete(event.name);
      } else {
        const { name, versions, activeVersion } = event;
        if (name !== 'end') picture.set(name, { name, versions, activeVersion });
      }
      events++;
      if (events % 20 !== 0 || cuts === 6) continue;
      cuts++;
      cut();
    }
  })();

  const change = async (number: number) => {
    const name = `n${Math.floor(Math.random() * 20)}`;
    const what = Math.random();
    if (what < 0.5) return admin.put(name, Buffer.from(`${number}`));
    if (what < 0.6) return admin.delete(name);
    const { versions } = await admin.info(name);
    const version = versions[Math.floor(Math.random() * versions.length)] ?? 1;
    return what < 0.8 ? admin.activate(name, version) : admin.deleteVersion(name, version);
  };
  // Four at a time; what cannot be, as to delete an active version, is refused.
  let number = 0;
  const worker = async () => {
    while (number < CHANGES) await change(number++).catch(() => undefined);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  await admin.put('end', Buffer.from('x'));
  await admin.delete('end');
  await done;
  expect([...picture.values()].sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual(await admin.list());
  expect(cuts).toBeGreaterThan(0);
  // Nothing was lost that had to be read anew.
  expect(resets).toBe(1);
});
