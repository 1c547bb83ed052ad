import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createKeyPair, encodeWascap } from '@coffer/identity';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type OperatorSource, Operators, readOperator } from '../src/trust/operators.js';
import { EARLIER, Operator, proofOf, read, sendProof, startTrustingServer, trusting } from './identities.js';
import { startTestServer, temporaryFolder } from './support.js';

const log = pino({ level: 'silent' });

interface Looks {
  readonly maxAgeSeconds?: number;
  readonly patienceMs?: number;
  readonly read?: (source: OperatorSource) => Promise<string>;
}

async function open(sources: readonly OperatorSource[], looks: Looks = {}): Promise<Operators> {
  const options = { log, onChange: () => {}, maxAgeSeconds: 300, pollMs: 10, ...looks };
  const operators = await Operators.open(sources, options);
  onTestFinished(() => operators.close());
  return operators;
}

const UNUSABLE: readonly (readonly [string, (path: string) => void])[] = [
  ['a pipe', (path) => void execFileSync('mkfifo', [path])],
  ['a folder', (path) => void mkdirSync(path)],
  [
    'larger than any token',
    (path) => {
      writeFileSync(path, '');
      truncateSync(path, 2 ** 40);
    },
  ],
];

describe('the file of an operator’s token', () => {
  it.each(UNUSABLE)('that is %s keeps a server from starting, at once', async (_what, make) => {
    const path = join(await temporaryFolder(), 'o.jwt');
    make(path);
    await expect(readOperator({ file: path })).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it.each(UNUSABLE)(
    'that becomes %s trusts nobody, and is read again when it is right',
    async (_what, make) => {
      const operator = new Operator(await temporaryFolder());
      const operators = await open([{ file: operator.path }]);
      expect(operators.tokens).toHaveLength(1);
      operator.remove();
      make(operator.path);
      await expect.poll(() => operators.missing).toBe(1);
      rmSync(operator.path, { recursive: true });
      const token = operator.save({ signing_keys: [] });
      await expect.poll(() => operators.tokens).toEqual([token]);
    },
  );

  it('on a disk that does not answer counts until it is too old, and keeps no other from being looked at', async () => {
    const [dead, well] = [new Operator(await temporaryFolder()), new Operator(await temporaryFolder())];
    const [old, first] = [dead.save(), well.save()];
    let hangs = false;
    let looks = 0;
    const operators = await open([{ file: dead.path }, { file: well.path }], {
      maxAgeSeconds: 0.4,
      patienceMs: 40,
      read: (source) => {
        if (!hangs || !('file' in source) || source.file !== dead.path) return readOperator(source);
        looks++;
        return new Promise(() => {});
      },
    });
    hangs = true;
    const second = well.save({ signing_keys: [] });
    expect(second).not.toBe(first);
    await expect.poll(() => operators.tokens).toEqual([old, second]);
    await expect.poll(() => operators.tokens).toEqual([second]);
    expect(operators.missing).toBe(1);
    // Each look that never ends holds up a thread.
    expect(looks).toBe(2);
  });

  it('on a disk that answers again is read again', async () => {
    const operator = new Operator(await temporaryFolder());
    const token = operator.save();
    const waiting: (() => void)[] = [];
    let hangs = false;
    const operators = await open([{ file: operator.path }], {
      maxAgeSeconds: 0.1,
      patienceMs: 20,
      read: (source) => {
        if (!hangs) return readOperator(source);
        return new Promise((_resolve, reject) => waiting.push(() => reject(new Error('EIO'))));
      },
    });
    hangs = true;
    await expect.poll(() => operators.missing).toBe(1);
    hangs = false;
    for (const end of waiting) end();
    await expect.poll(() => operators.tokens).toEqual([token]);
  });

  it('on a disk that does not answer keeps a server from starting', async () => {
    const never = { patienceMs: 20, read: () => new Promise<string>(() => {}) };
    await expect(open([{ file: '/dead/o.jwt' }], never)).rejects.toThrow('/dead/o.jwt does not answer');
  });
});

describe('an operator without a token of NATS', () => {
  it('is trusted by its key alone, where that key signed its accounts', async () => {
    const operator = new Operator(await temporaryFolder());
    const account = operator.account('A');
    const alice = account.user('alice');
    const { publicKey } = operator.keys;
    const trust = { ...trusting(''), operators: [publicKey], resolver: { store: operator.folder } };
    const server = await startTestServer({ dev: false, trust });
    const status = async () => (await read(server, alice, '/api/whoami')).status;
    expect(await status()).toBe(401);
    account.save({}, { signer: operator.keys });
    await expect.poll(status).toBe(200);
  });

  it('may have one of wasmCloud, and no key in place of it in a file', async () => {
    const operator = createKeyPair('operator');
    const token = encodeWascap({ sub: operator.publicKey, wascap: { name: 'op' } }, operator);
    const file = join(await temporaryFolder(), 'op.jwt');
    writeFileSync(file, `${token}\n`);
    expect(await readOperator({ file })).toBe(token);
    expect(await readOperator({ token })).toBe(token);
    writeFileSync(file, operator.publicKey);
    await expect(readOperator({ file })).rejects.toThrow(`${file} holds a key and no token`);
  });
});

describe('an operator’s older token', () => {
  it('that is put back counts for nobody, although nobody came while the newer one was in force', async () => {
    const operator = new Operator(await temporaryFolder());
    const first = operator.save({}, { now: new Date(EARLIER.getTime() - 60_000) });
    const alice = operator.account('A').user('alice');
    const folder = await temporaryFolder();
    const stateDir = join(folder, 'state');
    const rootKey = `file:${join(folder, 'k', 'root.key')}`;
    const trust = { ...trusting(''), operators: [operator.path], resolver: { store: operator.folder } };
    const config = { dev: false, trust, stateDir, rootKey };
    const server = await startTestServer(config);
    const status = async (at: typeof server) => (await read(at, alice, '/api/whoami')).status;
    expect(await status(server)).toBe(200);
    operator.save({ signing_keys: [] }, { now: EARLIER });
    const seen = () => server.engine.newestIssued(operator.keys.publicKey);
    await expect.poll(seen, { timeout: 2000 }).toBe(Math.floor(EARLIER.getTime() / 1000));
    await server.close();
    writeFileSync(operator.path, first);
    const again = await startTestServer(config);
    expect(await status(again)).toBe(401);
  });
});

describe('a proof that cannot be read for a reason nobody foresaw', () => {
  it('is a stranger’s, and fills no log', async () => {
    const lines: string[] = [];
    const { server, account } = await startTrustingServer(
      {},
      { log: pino({ level: 'error' }, { write: (line: string) => void lines.push(line) }) },
    );
    const alice = account.user('alice');
    // What an honest chain needs next is not there.
    Object.defineProperty(server.engine, 'tokenRevoked', {
      value: () => {
        throw new RangeError('canary-unforeseen');
      },
    });
    const statuses = new Set<number>();
    for (let tries = 0; tries < 70; tries++) {
      statuses.add((await sendProof(server, proofOf(alice, server), '/api/whoami')).status);
    }
    expect([...statuses]).toEqual([401, 429]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('a proof could not be read');
    expect(lines[0]).not.toContain('canary-unforeseen');
  });
});
