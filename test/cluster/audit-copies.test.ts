import { cp, rename, rm } from 'node:fs/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { Shared, servedAnew, textOf } from './audit-instances.js';

const A = 'aaaaaaaaaaaaaaaa';
const B = 'bbbbbbbbbbbbbbbb';
const STREAM = 'COFFER_AUDIT_test';

const nats = servedAnew();

describe('copies of audit logs', () => {
  it('are the log, line for line, and say nothing in clear', async () => {
    const a = await nats.shared.open(A);
    await a.write(3_000, 'prod/very-secret-name');
    await expect.poll(() => a.pending).toBe(0);
    expect(await textOf(a.copies.read(A, {}))).toBe(await nats.shared.logText(A));
    expect(await a.copies.chains()).toMatchObject([{ chain: A, instance: A, name: 'name-aa', first: 1 }]);
    const verdict = await nats.shared.verify(a.copies.read(A, {}), A);
    expect(verdict).toMatchObject({ instance: A, entries: a.log.durable.seq });
    expect(verdict.broken).toBeUndefined();
    const connection = await connect({ servers: nats.server.url });
    const jsm = await jetstreamManager(connection);
    const message = await jsm.streams.getMessage(STREAM, { last_by_subj: `coffer.audit.test.${A}` });
    expect(Buffer.from(message?.data ?? []).includes('very-secret-name')).toBe(false);
    expect(String(message?.header)).not.toContain('very-secret-name');
    await connection.close();
  });

  it('come from all instances in the order of time, and each line says whose it is', async () => {
    const [a, b] = [await nats.shared.open(A), await nats.shared.open(B)];
    for (let i = 0; i < 20; i++) await (i % 2 ? a : b).write(3);
    await expect.poll(() => a.pending + b.pending).toBe(0);
    const text = await textOf(await a.copies.readAll({}, a.log.durable.seq));
    const lines = text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(a.log.durable.seq + b.log.durable.seq);
    const times = lines.map(({ time }) => time as string);
    expect(times).toEqual([...times].sort());
    expect(new Set(lines.map(({ instance }) => instance))).toEqual(new Set([A, B]));
    for (const id of [A, B]) {
      const own = lines.filter(({ instance }) => instance === id).map(({ seq }) => seq);
      expect(own).toEqual(own.map((_, index) => index + 1));
    }
    const wanted = await textOf(await b.copies.readAll({ secret: '*/2', action: 'get' }, b.log.durable.seq));
    expect(wanted.split('\n').slice(0, -1)).toHaveLength(20);
  });

  it('are read however many there are, from any line and any time on', async () => {
    const a = await nats.shared.open(A);
    for (let i = 0; i < 40; i++) await a.write(1_000);
    const since = new Date();
    await expect.poll(() => new Date() > since).toBe(true);
    for (let i = 0; i < 10; i++) await a.write(1_000);
    await expect.poll(() => a.pending).toBe(0);
    const text = await nats.shared.logText(A);
    expect(await textOf(a.copies.read(A, {}))).toBe(text);
    const lines = text.split('\n').slice(0, -1);
    expect(await textOf(a.copies.read(A, { from: 33_333 }))).toBe(`${lines.slice(33_332).join('\n')}\n`);
    const late = (await textOf(a.copies.read(A, { since }))).split('\n').slice(0, -1);
    expect(late.length).toBeGreaterThanOrEqual(10_000);
    expect(late).toEqual(lines.slice(-late.length));
  });

  it('wait for JetStream while requests do not, and come once when it is back', async () => {
    const a = await nats.shared.open(A);
    await expect.poll(() => a.pending).toBe(0);
    await nats.server.pause();
    await a.write(500);
    expect(a.pending).toBeGreaterThanOrEqual(500);
    await expect.poll(() => a.copies.facts.problem?.code).toBe('unavailable');
    expect(a.copies.facts.pendingSince).toBeInstanceOf(Date);
    expect(await a.copies.readAll({}, 5).catch((error) => error.code)).toBe('unavailable');
    await a.close();
    const again = await nats.shared.open(A);
    await again.write(100);
    await nats.server.restart();
    await expect.poll(() => again.pending).toBe(0);
    expect(again.copies.facts).toMatchObject({ problem: undefined, pendingSince: undefined });
    expect(await textOf(again.copies.read(A, {}))).toBe(await nats.shared.logText(A));
    expect((await nats.shared.verify(again.copies.read(A, {}), A)).broken).toBeUndefined();
  });

  it('do not hold up the end of a server whose NATS does not answer', async () => {
    const a = await nats.shared.open(A);
    await expect.poll(() => a.pending).toBe(0);
    nats.server.process.signal('SIGSTOP');
    await a.write(5);
    const begun = performance.now();
    await a.close();
    expect(performance.now() - begun).toBeLessThan(6_000);
    nats.server.process.signal('SIGCONT');
    const again = await nats.shared.open(A);
    await expect.poll(() => again.pending).toBe(0);
    expect(await textOf(again.copies.read(A, {}))).toBe(await nats.shared.logText(A));
  });

  it('come once, whenever the server is killed', async () => {
    const a = await nats.shared.open(A);
    let writing = true;
    const written = (async () => {
      while (writing) {
        await a.write(50);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    for (let i = 0; i < 5; i++) {
      const { seq } = a.copies.facts.delivered;
      await expect.poll(() => a.copies.facts.delivered.seq).toBeGreaterThan(seq + 1_000);
      await nats.server.process.kill();
      await nats.server.restart();
    }
    writing = false;
    await written;
    await expect.poll(() => a.pending).toBe(0);
    expect(await textOf(a.copies.read(A, {}))).toBe(await nats.shared.logText(A));
  });

  it('survive the disk of their instance', async () => {
    const [a, b] = [await nats.shared.open(A), await nats.shared.open(B)];
    await a.write(50);
    await expect.poll(() => a.pending).toBe(0);
    const kept = await nats.shared.logText(A);
    await rm(nats.shared.logOf(A), { recursive: true });
    expect(await textOf(b.copies.read(A, {}))).toBe(kept);
  });

  it('wait where their stream is full, which is told and refuses nothing', async () => {
    const a = await nats.shared.open(A, { auditMaxBytes: 64 * 1024 });
    for (let i = 0; i < 20; i++) await a.write(50);
    await expect.poll(() => a.copies.facts.problem?.code).toBe('storage_full');
    expect(a.notices.join()).toContain('is full; give it more bytes');
    await a.write(1);
    const connection = await connect({ servers: nats.server.url });
    const jsm = await jetstreamManager(connection);
    await jsm.streams.update(STREAM, { max_bytes: 16 * 1024 * 1024 });
    await connection.close();
    await expect.poll(() => a.pending).toBe(0);
    expect(await textOf(a.copies.read(A, {}))).toBe(await nats.shared.logText(A));
  });

  it('take a line that is longer than a message', async () => {
    const a = await nats.shared.open(A);
    await a.log.note('accept-rollback', { target: 'x'.repeat(3_000_000) });
    await a.write(2);
    await expect.poll(() => a.pending).toBe(0);
    expect(await textOf(a.copies.read(A, {}))).toBe(await nats.shared.logText(A));
    await a.close();
    const again = await nats.shared.open(A);
    await expect.poll(() => again.pending).toBe(0);
    expect(await textOf(again.copies.read(A, {}))).toBe(await nats.shared.logText(A));
  });

  it('open after their data key is gone', async () => {
    const [a, b] = [await nats.shared.open(A), await nats.shared.open(B)];
    const { ring } = nats.shared;
    for (let i = 0; i < 3; i++) {
      await a.write(10);
      await expect.poll(() => a.pending).toBe(0);
      ring.replaceDataKeys([...ring.dataKeys, ring.nextDataKey(new Date())]);
      await a.write(10);
      await expect.poll(() => a.pending).toBe(0);
      await b.copies.keepKeys();
      ring.replaceDataKeys([ring.newest]);
    }
    await a.close();
    const again = await nats.shared.open(A);
    await expect.poll(() => again.pending).toBe(0);
    expect(await textOf(again.copies.read(A, {}))).toBe(await nats.shared.logText(A));
  });
});

describe('what becomes of copies', () => {
  const manager = async () => {
    const connection = await connect({ servers: nats.server.url });
    return { connection, jsm: await jetstreamManager(connection) };
  };

  it('is another store’s affair: its stream is not written to', async () => {
    const a = await nats.shared.open(A);
    await expect.poll(() => a.pending).toBe(0);
    await using other = new Shared(nats.server.url);
    const b = await other.open(B);
    await expect.poll(() => b.copies.facts.problem?.code).toBe('unfit_store');
    expect(b.notices.join()).toContain('is not that of this store');
    expect((await a.copies.chains()).map(({ chain }) => chain)).toEqual([A]);
  });

  it('is noticed: a beginning that is gone', async () => {
    const a = await nats.shared.open(A);
    for (let i = 0; i < 3; i++) {
      await a.write(10);
      await expect.poll(() => a.pending).toBe(0);
    }
    const { connection, jsm } = await manager();
    await jsm.streams.purge(STREAM, { filter: `coffer.audit.test.${A}`, seq: 2 });
    await connection.close();
    const { broken } = await nats.shared.verify(a.copies.read(A, {}), A);
    expect(broken?.reason).toContain('are gone, and no signed entry says that they were retired');
  });

  it('is noticed and mended: all of them gone', async () => {
    const a = await nats.shared.open(A);
    await a.write(100);
    await expect.poll(() => a.pending).toBe(0);
    const { connection, jsm } = await manager();
    await jsm.streams.delete(STREAM);
    await connection.close();
    await a.write(1);
    await expect.poll(() => a.pending).toBe(0);
    const text = await nats.shared.logText(A);
    expect(text).toContain('"action":"copies-lost"');
    expect(await textOf(a.copies.read(A, {}))).toBe(text);
  });

  it('is told by the others, when an end is gone whose own disk is lost', async () => {
    const [a, b] = [await nats.shared.open(A), await nats.shared.open(B)];
    await a.write(100);
    await expect.poll(() => a.pending).toBe(0);
    await b.copies.witness();
    const { delivered } = a.copies.facts;
    const before = b.log.durable.seq;
    await b.copies.witness();
    expect(b.log.durable.seq).toBe(before);
    await expect.poll(() => b.pending).toBe(0);
    expect((await nats.shared.verify(b.copies.read(B, {}), B)).witnessed).toEqual({ [A]: delivered });
    await a.copies.witness();
    await expect.poll(() => a.pending).toBe(0);
    await b.copies.witness();
    expect(b.log.durable.seq).toBe(before);
  });

  it('is told by a signed line, when they are old', async () => {
    let now = new Date('2031-01-01T00:00:00Z');
    const DAY = 24 * 60 * 60 * 1_000;
    const a = await nats.shared.open(A, { now: () => now, segmentBytes: 8_192 });
    for (let i = 0; i < 20; i++) await a.write(20);
    await expect.poll(() => a.pending).toBe(0);
    now = new Date(now.getTime() + 40 * DAY);
    await a.write(1);
    await nats.server.pause();
    await a.write(20);
    const then = new Date(now.getTime() - 30 * DAY);
    const { seq } = a.copies.facts.delivered;
    await expect.poll(() => a.log.retire(then, a.copies.facts.delivered.seq)).toBe(0);
    expect(await a.log.first()).toBeGreaterThan(1);
    expect(await a.log.first()).toBeLessThanOrEqual(seq);
    a.copies.logRetired();
    await a.copies.retire(then);
    await nats.server.restart();
    await expect.poll(() => a.pending).toBe(0);
    expect((await a.copies.info(A))?.first).toBe(1);
    await a.copies.retire(then);
    const first = (await a.copies.info(A))?.first ?? 0;
    expect(first).toBeGreaterThan(1);
    expect(first).toBeLessThanOrEqual(await a.log.first());
    const verdict = await nats.shared.verify(a.copies.read(A, {}), A);
    expect(verdict.first).toBe(first);
    expect(verdict.broken).toBeUndefined();
  });

  it('is told by another, when all of an instance is old', async () => {
    const old = await nats.shared.open(A, { now: () => new Date('2031-01-01T00:00:00Z') });
    await expect.poll(() => old.pending).toBe(0);
    await old.close();
    const b = await nats.shared.open(B);
    await expect.poll(() => b.pending).toBe(0);
    await b.copies.retire(new Date('2031-02-01T00:00:00Z'));
    expect((await b.copies.chains()).map(({ chain }) => chain)).toEqual([B]);
    await expect.poll(() => b.pending).toBe(0);
    expect(Object.keys((await nats.shared.verify(b.copies.read(B, {}), B)).takenAway ?? {})).toEqual([A]);
  });

  it('is not done in the name of another: messages and logs that are exchanged do not verify', async () => {
    const [a, b] = [await nats.shared.open(A), await nats.shared.open(B)];
    await a.write(10);
    await expect.poll(() => a.pending + b.pending).toBe(0);
    const { connection, jsm } = await manager();
    const message = await jsm.streams.getMessage(STREAM, { last_by_subj: `coffer.audit.test.${A}` });
    if (!message) throw new Error('no message');
    const told = headers();
    told.set('Coffer-Audit', message.header.get('Coffer-Audit'));
    const options = { headers: told, timeout: 5_000 };
    await connection.request('coffer.audit.test.cccccccccccccccc', message.data, options);
    await connection.close();
    const exchanged = await nats.shared.verify(b.copies.read('cccccccccccccccc', {}), 'cccccccccccccccc');
    expect(exchanged.broken?.line).toBe(1);
    expect((await nats.shared.verify(b.copies.read(A, {}), B)).broken?.reason).toContain(
      `of the instance ${A}`,
    );
    await a.close();
    await b.close();
    await rename(nats.shared.logOf(A), `${nats.shared.logOf(A)}-aside`);
    await cp(nats.shared.logOf(B), nats.shared.logOf(A), { recursive: true });
    const anchor = a.log.durable;
    const witness = { anchor, revision: 9, generation: 9 };
    await expect(nats.shared.open(A, { witness })).rejects.toMatchObject({ code: 'audit_rolled_back' });
  });

  it('stops where the log was put back, until that is accepted; then both chains are there', async () => {
    const a = await nats.shared.open(A);
    await a.write(10);
    await a.close();
    const aside = `${nats.shared.logOf(A)}-aside`;
    await cp(nats.shared.logOf(A), aside, { recursive: true });
    const more = await nats.shared.open(A);
    await more.write(10, 'gone');
    await expect.poll(() => more.pending).toBe(0);
    await more.close();
    await rm(nats.shared.logOf(A), { recursive: true });
    await cp(aside, nats.shared.logOf(A), { recursive: true });
    const back = await nats.shared.open(A);
    await expect.poll(() => back.copies.facts.problem?.code).toBe('audit_rolled_back');
    await back.write(5);
    await back.close();
    const accepted = await nats.shared.open(A, { acceptRollback: true });
    await expect.poll(() => accepted.pending).toBe(0);
    // The log alone had nothing to accept.
    expect(accepted.notices).toEqual([
      expect.stringMatching(/^Going on as --accept-rollback says: the copies/),
    ]);
    expect((await accepted.copies.chains()).map(({ chain }) => chain)).toEqual([A, `${A}-1`]);
    expect(await textOf(accepted.copies.read(`${A}-1`, {}))).toBe(await nats.shared.logText(A));
    const left = await nats.shared.verify(accepted.copies.read(A, {}), A);
    const next = await nats.shared.verify(accepted.copies.read(`${A}-1`, {}), A);
    expect([left.broken, next.broken]).toEqual([undefined, undefined]);
    expect(next.remarks.map(({ action }) => action)).toContain('accept-rollback');
    const all = (await textOf(await accepted.copies.readAll({}, accepted.log.durable.seq))).split('\n');
    expect(new Set(all).size).toBe(all.length);
    expect(all.filter((line) => line.includes('gone/'))).toHaveLength(10);
    await accepted.close();
    const after = await nats.shared.open(A, { acceptRollback: true });
    await expect.poll(() => after.pending).toBe(0);
    expect(await textOf(after.copies.read(`${A}-1`, {}))).toBe(await nats.shared.logText(A));
    expect(after.notices).toEqual([expect.stringContaining('--accept-rollback was not needed')]);
  });
});
