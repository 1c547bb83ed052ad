import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AccountWatch } from '../src/trust/account-watch.js';
import { EARLIER, Operator, read, startTrustingServer } from './identities.js';
import { startTestServer, temporaryFolder } from './support.js';
import { trustingAccounts } from './wasm-world.js';

/** A log, and its lines as they stand in it, without the time. */
function logged() {
  const lines: { level: number; file?: string; reason?: string; msg: string; more?: number }[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines, warnings: () => lines.filter(({ level }) => level >= 40) };
}

const WAIT = { timeout: 8_000, interval: 50 };

describe('the log of a server', () => {
  it('says which account’s token cannot be used and why, once, and when it can again', async () => {
    const { log, lines, warnings } = logged();
    const { server, operator, account } = await startTrustingServer({}, { log });
    const file = `${operator.folder}/accounts/A/A.jwt`;
    const alice = account.user('alice');
    const before = account.save({}, { now: EARLIER });
    const newest = account.save();
    expect((await read(server, alice, '/api/whoami')).status).toBe(200);
    account.put(newest.slice(0, 50));
    await expect
      .poll(warnings, WAIT)
      .toMatchObject([{ file, reason: expect.stringMatching(/^it is no token/) }]);
    account.put(before);
    await expect
      .poll(() => warnings()[1], WAIT)
      .toMatchObject({ file, reason: expect.stringContaining('a newer token of it was seen before') });
    account.put(newest);
    await expect.poll(() => lines.at(-1), WAIT).toMatchObject({ level: 30, file });
    expect(warnings()).toHaveLength(2);
    expect(JSON.stringify(lines)).not.toContain('eyJ');
  }, 30_000);

  it('names an operator’s file that is damaged', async () => {
    const { log, warnings } = logged();
    const { operator } = await startTrustingServer({}, { log });
    writeFileSync(operator.path, 'nonsense');
    await expect
      .poll(warnings, WAIT)
      .toMatchObject([
        { level: 50, reason: expect.stringContaining(`${operator.path} is no token of an operator`) },
      ]);
  });
});

describe('the start of a server', () => {
  it('says that the token of an account that is trusted by its key was signed by somebody else', async () => {
    const folder = await temporaryFolder();
    const account = new Operator(await temporaryFolder()).account('A');
    const stranger = account.operator.account('B');
    const fileOf = ({ keys }: typeof account) => join(folder, `${keys.publicKey}.jwt`);
    for (const one of [account, stranger]) writeFileSync(fileOf(one), one.save());
    const notices: string[] = [];
    const { log, warnings } = logged();
    const trust = { ...trustingAccounts(account.keys.publicKey), resolver: { folder } };
    await startTestServer(
      { dev: false, trust },
      { log, onNotice: (sentence) => void notices.push(sentence) },
    );
    const says = /it is trusted by its key, and what its token says cannot be believed/;
    expect(notices.filter((one) => one.startsWith(folder))).toEqual([expect.stringMatching(says)]);
    expect(notices.join()).toContain(fileOf(account));
    expect(warnings()).toContainEqual(
      expect.objectContaining({ file: fileOf(account), reason: expect.stringMatching(says) }),
    );
  });
});

describe('a watch over accounts', () => {
  it('does not flood the log, nor tells what was so for a moment', async () => {
    const { log, lines } = logged();
    let looks = 0;
    const problems = Array.from({ length: 100 }, (_, at) => ({ path: `/a/${at}`, says: 'it is not there' }));
    const files = {
      look: async () => {
        looks++;
        return { files: 101, problems: looks === 1 ? [{ path: '/b', says: 'it is half' }] : problems };
      },
    };
    const watch = new AccountWatch({ files, inspector: () => () => expect.fail(), log, everyMs: 5 });
    onTestFinished(() => watch.close());
    await expect.poll(() => looks).toBeGreaterThan(6);
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toMatchObject({ more: 80 });
    expect(JSON.stringify(lines)).not.toContain('/b');
  });
});
