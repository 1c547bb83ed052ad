import { cp } from 'node:fs/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  COPY_HEADER,
  CopiesLayout,
  type CopySpan,
  parseSpan,
} from '../../packages/engine/src/audit/copies/format.js';
import { Link } from '../support/links.mjs';
import { servedAnew, textOf } from './audit-instances.js';

const A = 'aaaaaaaaaaaaaaaa';
const CLONE = 'clone';
/** How often a sender loses its connection, at some moment between a message and its answer. */
const LOSSES = 8;

const nats = servedAnew();

/** Which lines each message of a chain holds, in the stream's order. */
async function spansOf(chain: string): Promise<CopySpan[]> {
  const layout = new CopiesLayout(nats.shared.bucket);
  const connection = await connect({ servers: nats.server.url });
  const { streams } = await jetstreamManager(connection);
  const { state } = await streams.info(layout.stream);
  const spans: CopySpan[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await streams.getMessage(layout.stream, { seq });
    if (message?.subject !== layout.chain(chain)) continue;
    const span = parseSpan(message.header.get(COPY_HEADER));
    if (span) spans.push(span);
  }
  await connection.close();
  return spans;
}

/** Each line once, in order, none left out. */
function expectSeamless(spans: readonly CopySpan[]): void {
  const places = spans.map(({ first, last, prev, hash }) => ({ first, last, prev, hash }));
  const seams = places.slice(1).map(({ first, prev }, index) => {
    const before = places[index];
    return first === (before?.last ?? 0) + 1 && prev === before?.hash;
  });
  expect(places[0]?.first).toBe(1);
  expect(seams).not.toContain(false);
}

describe('two senders of one instance’s log', () => {
  it('deliver each line once and in order, whose answers so ever are lost', async () => {
    const a = await nats.shared.open(A);
    const link = await Link.open({ host: '127.0.0.1', port: Number(new URL(nats.server.url).port) });
    onTestFinished(() => link.close());
    const other = nats.shared.sendToo(a, `nats://${link.address}`);
    const both = [a.copies, other];
    let writing = true;
    const written = (async () => {
      while (writing) {
        await a.write(20);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    for (let loss = 0; loss < LOSSES; loss++) {
      const { seq } = a.log.durable;
      // What it sends comes true, and it does not hear so.
      link.cut('back');
      await expect.poll(() => a.log.durable.seq, { interval: 10 }).toBeGreaterThan(seq + 100);
      link.break();
      link.mend();
      const { seq: delivered } = other.facts.delivered;
      await expect.poll(() => other.facts.delivered.seq, { interval: 10 }).toBeGreaterThan(delivered);
    }
    writing = false;
    await written;
    await expect.poll(() => both.map(({ facts }) => facts.pending)).toEqual([0, 0]);
    expectSeamless(await spansOf(A));
    const text = await nats.shared.logText(A);
    for (const copies of both) expect(await textOf(copies.read(A, {}))).toBe(text);
    expect(text).not.toContain('copies-lost');
    expect((await nats.shared.verify(a.copies.read(A, {}), A)).broken).toBeUndefined();
    expect((await a.copies.chains()).map(({ chain }) => chain)).toEqual([A]);
  });

  it('that write on in a copy each: one is believed, and the other says that it is not', async () => {
    const first = await nats.shared.open(A);
    await first.write(50);
    await first.close();
    await cp(nats.shared.logOf(A), nats.shared.logOf(CLONE), { recursive: true });
    const two = await Promise.all([nats.shared.open(A), nats.shared.open(CLONE)]);
    expect(two.map(({ id }) => id)).toEqual([A, A]);
    for (let i = 0; i < 10; i++) await Promise.all(two.map((one, index) => one.write(10, `of ${index}`)));
    const codes = () => two.map(({ copies }) => copies.facts.problem?.code).sort();
    await expect.poll(codes).toEqual(['audit_rolled_back', undefined]);
    const isBelieved = two.findIndex(({ copies }) => copies.facts.problem === undefined);
    await Promise.all(two.map((one, index) => one.write(10, `of ${index}`)));
    const [believed, other] = [two[isBelieved], two[1 - isBelieved]];
    await expect.poll(() => believed?.pending).toBe(0);
    expect(other?.pending).toBeGreaterThan(0);
    expectSeamless(await spansOf(A));
    const text = await textOf((believed ?? first).copies.read(A, {}));
    expect(text).toBe(await nats.shared.logText(isBelieved === 0 ? A : CLONE));
    expect(text).not.toContain(`of ${1 - isBelieved}/`);
    expect((await nats.shared.verify((believed ?? first).copies.read(A, {}), A)).broken).toBeUndefined();
    expect(other?.notices.join()).toContain('another process has its copy');
  });
});
