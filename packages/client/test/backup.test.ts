import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Admin } from '../src/admin/index.js';
import { Client } from '../src/index.js';
import { answering } from './http-server.js';

const FACTS = { backupId: 'b'.repeat(32), storeId: '5'.repeat(32), madeAt: '2026-11-22T10:00:00.000Z' };
const HASH = '1f'.repeat(32);

/** What is in clear of a backup, around bytes that only its key opens. */
function backup(sealed = randomBytes(100_000)): Buffer {
  const preamble = Buffer.from(JSON.stringify({ ...FACTS, header: 'e30=' }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(preamble.length);
  const numbers = Buffer.alloc(32);
  for (const [index, number] of [12n, 5n, 6n, 34n].entries()) numbers.writeBigUInt64BE(number, 8 * index);
  const parts = [
    Buffer.from('coffer-backup-v1\n'),
    length,
    preamble,
    sealed,
    numbers,
    Buffer.from(HASH, 'hex'),
  ];
  const body = Buffer.concat(parts);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

/** What a client makes of an answer. */
async function read(body: Buffer, status = 200, headers = { 'Content-Type': 'application/octet-stream' }) {
  await using server = await answering(status, body, headers);
  await using client = new Client({ server: server.url, retries: 0 });
  const bytes = new Admin(client).backup();
  const chunks: Uint8Array[] = [];
  for (;;) {
    const next = await bytes.next();
    if (next.done) return { bytes: Buffer.concat(chunks), facts: next.value };
    chunks.push(next.value);
  }
}

describe('a backup', () => {
  test('comes as it is, and says in the end what it is', async () => {
    const body = backup();
    const { bytes, facts } = await read(body);
    expect(bytes).toEqual(body);
    expect(facts).toEqual({
      ...FACTS,
      madeAt: new Date(FACTS.madeAt),
      bytes: body.length,
      records: 12,
      damaged: { records: 5, auditLine: 6 },
      auditHead: { seq: 34, hash: HASH },
    });
    expect((await read(backup(Buffer.alloc(0)))).facts.records).toBe(12);
  });

  test('that is cut off or changed on its way is an error, not a shorter backup', async () => {
    const body = backup();
    for (const length of [0, 10, 40, 5_000, body.length - 80, body.length - 32, body.length - 1]) {
      await expect(read(body.subarray(0, length))).rejects.toMatchObject({ code: 'bad_answer' });
    }
    for (const place of [0, 30, 50_000, body.length - 70, body.length - 1]) {
      const changed = Buffer.from(body);
      changed[place] = (changed[place] ?? 0) ^ 1;
      await expect(read(changed)).rejects.toMatchObject({ code: 'bad_answer' });
    }
    await expect(read(Buffer.concat([body, Buffer.from('\n')]))).rejects.toMatchObject({
      code: 'bad_answer',
    });
  });

  test('that is refused is told as any refusal', async () => {
    const answer = Buffer.from('{"code":"access_denied","message":"access denied"}');
    const headers = { 'Content-Type': 'application/json', 'Coffer-Error': 'access_denied' };
    await expect(read(answer, 403, headers)).rejects.toMatchObject({ code: 'access_denied', status: 403 });
  });
});
