import { appendFileSync, chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Caller } from '@coffer/engine';
import { describe, expect, it } from 'vitest';
import { checkNode, describeSwap } from '../src/checkup/machine.js';
import { type CheckedInstallation, checkInstallation } from '../src/index.js';
import { type Changes, call, listing, startTestServer, temporaryFolder } from './support.js';

/** A stopped server's place, with one secret in its store. */
async function place(changes: Changes = {}) {
  const folder = await temporaryFolder();
  const stateDir = join(folder, 'state');
  const rootKey = `file:${join(folder, 'root.key')}`;
  const start = () => startTestServer({ dev: false, stateDir, rootKey, ...changes });
  const server = await start();
  await call(server, 'put', { Name: 'a', Value: 'AAAA' }, { socket: true });
  await server.close();
  const audit = join(stateDir, 'audit', 'audit.log');
  return { folder, stateDir, rootKey, audit, start };
}

const SOCKET: Caller = { principals: [{ id: 'socket', kind: 'socket' }], address: 'unix' };

type Place = Pick<Awaited<ReturnType<typeof place>>, 'stateDir' | 'rootKey'>;

function check({ stateDir, rootKey }: Place, now?: Date, flags = {}): Promise<CheckedInstallation> {
  return checkInstallation({ flags: { listen: '127.0.0.1:0', stateDir, rootKey, ...flags }, env: {} }, now);
}

/** What it has against the place, but for what every test machine has, and for the backup that nobody made. */
async function complaints(where: Place, now?: Date, flags = {}): Promise<string[]> {
  const { findings } = await check(where, now, flags);
  return findings
    .filter(({ level }) => level !== 'ok')
    .filter(
      ({ subject }) => !['swap', 'core dumps', 'file system', 'backup', 'locked memory'].includes(subject),
    )
    .filter(({ subject, says }) => !(subject === 'clock' && says.startsWith('no NTP')))
    .map(({ level, subject, says }) => `${level} ${subject}: ${says}`);
}

const sentenceOf = async (where: Place, subject: string, now?: Date) =>
  (await check(where, now)).findings.find((finding) => finding.subject === subject)?.says;

describe('the doctor', () => {
  it('has nothing against a sound place, and leaves it as it is', async () => {
    const where = await place();
    const before = listing(where.folder);
    expect(await complaints(where)).toEqual([]);
    expect(listing(where.folder)).toEqual(before);
    expect(await sentenceOf(where, 'store')).toMatch(/^[0-9a-f]{32}, format \d+, opened by the root key$/);
    expect(await sentenceOf(where, 'data keys')).toMatch(/^key 1 since /);
    expect(await sentenceOf(where, 'audit log')).toMatch(
      /^the last (\d+) of \1 lines are a chain, signed (just now|\d+ seconds ago)$/,
    );
    expect(await sentenceOf(where, 'server')).toBe('none has the store open');
  });

  it('looks at a server that runs without disturbing it', async () => {
    const where = await place();
    const server = await where.start();
    expect(await complaints(where)).toEqual([]);
    const { socketPath } = await check(where);
    expect(socketPath).toBe(server.socketPath);
    expect(await sentenceOf(where, 'server')).toMatch(/^process \d+, running since .*, has the store open$/);
    expect((await call(server, 'put', { Name: 'b', Value: 'AAAA' }, { socket: true })).status).toBe(200);
  });

  it('finds files that others can read', async () => {
    const where = await place();
    chmodSync(where.audit, 0o644);
    expect(await complaints(where)).toEqual([
      expect.stringMatching(
        /^problem files: others can read or write audit\/audit\.log in .*: chmod -R go= /,
      ),
    ]);
  });

  it('finds a root key that is not the store’s, once', async () => {
    const [one, other] = [await place(), await place()];
    expect(await complaints({ ...one, rootKey: other.rootKey })).toEqual([
      expect.stringMatching(/^problem store: the root key does not open this store/),
    ]);
    chmodSync(other.rootKey.slice('file:'.length), 0o640);
    expect(await complaints(other)).toEqual([expect.stringMatching(/^problem root key: .*chmod 600 it/)]);
  });

  it('looks at a store as far as it can where a person has the passphrase', async () => {
    const { stateDir } = await place();
    const where = { stateDir, rootKey: 'passphrase:prompt' };
    expect(await complaints(where)).toEqual([]);
    expect(await sentenceOf(where, 'store')).toMatch(/without its root key not looked into$/);
  });

  it('finds a development store that is to be a production one', async () => {
    const where = await place({ dev: true });
    expect(await complaints(where)).toEqual([
      expect.stringMatching(/^problem store: .* holds a development store/),
    ]);
  });

  it('finds a damaged store, and lives on where that ends who reads it', async () => {
    const where = await place();
    const file = join(where.stateDir, 'store', 'data.mdb');
    const whole = readFileSync(file);
    writeFileSync(file, 'nonsense');
    expect(await complaints(where)).toEqual([
      `problem store: the store's file ${file} is damaged: restore the store from a backup`,
    ]);
    writeFileSync(file, whole.fill(0xff, 2 * 4096));
    expect(await complaints(where)).toEqual([
      expect.stringMatching(
        /^problem store: the store in .* is damaged: to read it ended the process that tried \(SIG/,
      ),
    ]);
  });

  it.each([
    ['changed', (text: string) => text.replace('"action":"put"', '"action":"pxt"')],
    ['missing', (text: string) => text.split('\n').toSpliced(2, 1).join('\n')],
    ['no JSON', (text: string) => text.split('\n').toSpliced(2, 1, '{').join('\n')],
  ])('finds a line of the audit log that is %s', async (_how, change) => {
    const where = await place();
    writeFileSync(where.audit, change(readFileSync(where.audit, 'utf8')));
    expect(await complaints(where)).toEqual([
      expect.stringMatching(/^problem audit log: line \d does not hold: .*"coffer audit verify"$/),
    ]);
  });

  it('finds an audit log of another server, and one that is gone', async () => {
    const [one, other] = [await place(), await place()];
    cpSync(other.audit, one.audit);
    expect(await complaints(one)).toEqual([
      expect.stringMatching(/^problem audit log: the checkpoint in line \d is not signed by this server/),
    ]);
    const { folder } = await place();
    mkdirSync(join(folder, 'state2'), { mode: 0o700 });
    mkdirSync(join(folder, 'state2', 'store'), { mode: 0o700 });
    cpSync(join(folder, 'state', 'store', 'data.mdb'), join(folder, 'state2', 'store', 'data.mdb'));
    const where = { stateDir: join(folder, 'state2'), rootKey: `file:${folder}/root.key` };
    expect(await complaints(where)).toContainEqual(
      expect.stringMatching(/^problem audit log: there is none in /),
    );
  });

  it('finds an audit log that was cut, or exchanged for an older one', async () => {
    const where = await place();
    const old = readFileSync(where.audit);
    const server = await where.start();
    await call(server, 'put', { Name: 'b', Value: 'AAAA' }, { socket: true });
    await server.close();
    expect(await complaints(where)).toEqual([]);
    for (const earlier of [old, '']) {
      writeFileSync(where.audit, earlier);
      expect(await complaints(where)).toEqual([
        expect.stringMatching(/^problem audit log: it lacks a line that the store knows/),
      ]);
    }
  });

  it('lets pass a last line that is not whole: a crash tore it', async () => {
    const where = await place();
    appendFileSync(where.audit, '{"id":1');
    expect(await complaints(where)).toEqual([]);
    expect(await sentenceOf(where, 'audit log')).toMatch(
      /a crash has torn the last one, which the next start mends$/,
    );
  });

  it('finds a clock that is behind the audit log', async () => {
    const where = await place();
    expect(await complaints(where, new Date(Date.now() - 60_000))).toEqual([
      expect.stringMatching(
        /^problem clock: it says .*, and the newest line of the audit log is of .*: set it right/,
      ),
    ]);
  });

  it('finds a data key that is old, and a quota that is used up', async () => {
    const where = await place();
    const config = join(where.folder, 'coffer.yaml');
    writeFileSync(config, 'storage: { quotaBytes: 10 }\n');
    const later = new Date(Date.now() + 3 * 365 * 24 * 60 * 60 * 1000);
    expect(await complaints(where, later, { config })).toEqual([
      expect.stringMatching(/^problem quota: .* are used, so that no change is taken/),
      expect.stringMatching(/^warning data keys: key 1 since .*: "coffer keys rotate" makes another one$/),
    ]);
  });

  it('knows when the last backup was made', async () => {
    const where = await place();
    expect(await sentenceOf(where, 'backup')).toMatch(/^none was ever made/);
    const server = await where.start();
    for await (const _bytes of server.engine.backup(SOCKET));
    const told = async (days: number) => {
      const now = new Date(Date.now() + days * 24 * 60 * 60 * 1000);
      const { findings } = await check(where, now);
      return findings.find(({ subject }) => subject === 'backup');
    };
    expect(await told(3)).toMatchObject({ level: 'ok', says: 'the last one was made 3 days ago' });
    expect(await told(8)).toMatchObject({
      level: 'warning',
      says: expect.stringMatching(/^the last one was made 8 days/),
    });
  });
});

describe('the doctor on the machine', () => {
  it('finds a node that is too old', () => {
    expect(checkNode('20.18.1')).toMatchObject({ level: 'problem' });
    expect(checkNode('20.19.0')).toMatchObject({ level: 'ok' });
    expect(checkNode('24.0.0')).toMatchObject({ level: 'ok' });
  });

  it('finds swap on a disk, and lets pass what lies in memory or is encrypted below', () => {
    const head = 'Filename\t\t\t\tType\t\tSize\n';
    expect(describeSwap(head)).toMatchObject({ level: 'ok', says: 'off' });
    expect(describeSwap(`${head}/dev/zram0 partition 1\n/dev/dm-1 partition 1\n`)).toMatchObject({
      level: 'ok',
    });
    expect(describeSwap(`${head}/dev/zram0 partition 1\n/swapfile file 1\n`)).toMatchObject({
      level: 'warning',
      says: expect.stringContaining('/swapfile'),
    });
  });
});
