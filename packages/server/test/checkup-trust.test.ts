import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeJwt, newAccount, newOperator } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { checkConfiguration, checkInstallation } from '../src/index.js';
import { EARLIER, Operator, read, startTrustingServer } from './identities.js';
import { temporaryFolder } from './support.js';

/** What a look at a configuration finds of its trust, what is bad last. */
async function findings(flags: object, yaml = ''): Promise<string[]> {
  const folder = await temporaryFolder();
  const config = join(folder, 'coffer.yaml');
  writeFileSync(
    config,
    `listen: 127.0.0.1:0\nstateDir: ${folder}/state\nrootKey: file:${folder}/key\n${yaml}`,
  );
  const { findings } = await checkConfiguration({ flags: { config, ...flags }, env: { HOME: folder } });
  return findings
    .filter(({ subject }) => subject === 'trust')
    .map(({ level, says }) => `${level}: ${says}`)
    .sort();
}

describe('the checks of trust', () => {
  it('name the operator, count the accounts, and say what proofs must name', async () => {
    const operator = new Operator(await temporaryFolder());
    operator.account('A');
    operator.account('B');
    expect(await findings({ trustStore: operator.folder, publicUrl: 'https://Coffer.test/' })).toEqual([
      `ok: 2 accounts in ${operator.folder}/accounts`,
      `ok: operator O (${operator.keys.publicKey})`,
      'ok: proofs are to name https://coffer.test',
    ]);
    expect(await findings({})).toEqual([]);
  });

  it('find an operator’s token that is missing, is none, or has expired', async () => {
    const operator = new Operator(await temporaryFolder());
    const flags = { trustStore: operator.folder };
    const claims = newOperator(operator.keys.publicKey, 'O');
    writeFileSync(operator.path, encodeJwt({ ...claims, exp: 1 }, operator.keys));
    expect(await findings(flags)).toContainEqual(
      expect.stringMatching(/^problem: the token of operator O .* expired at 1970-01-01T00:00:01/),
    );
    writeFileSync(operator.path, 'nonsense');
    expect(await findings(flags)).toContainEqual(
      expect.stringMatching(/^problem: .*O\.jwt is no token of an operator/),
    );
    operator.remove();
    expect(await findings(flags)).toContainEqual(
      expect.stringMatching(/^problem: .* is no folder of an operator/),
    );
    rmSync(operator.folder, { recursive: true });
    expect(await findings(flags)).toContainEqual(expect.stringMatching(/^problem: .* is not there/));
  });

  it('find an account that is trusted by its key, and whose token somebody else signed', async () => {
    const folder = await temporaryFolder();
    const account = new Operator(await temporaryFolder()).account('A');
    const key = account.keys.publicKey;
    writeFileSync(join(folder, `${key}.jwt`), account.save());
    const found = await findings({}, `trust: {accounts: [${key}], resolver: {folder: ${folder}}}\n`);
    expect(found).toContainEqual(
      expect.stringMatching(
        `^problem: ${folder}/${key}.jwt: account .* is trusted by its key, and what its token says cannot`,
      ),
    );
  });

  it('find each account whose token cannot be used, and say why', async () => {
    const operator = new Operator(await temporaryFolder());
    const good = operator.account('Good');
    operator.account('Half').put(good.save().slice(0, 100));
    operator.account('Other').save({}, { signer: new Operator(await temporaryFolder(), 'P').keys });
    operator
      .account('Old')
      .put(encodeJwt({ ...newAccount(good.keys.publicKey, 'x'), exp: 1 }, operator.keys));
    mkdirSync(join(operator.folder, 'accounts', 'Empty'));
    const found = await findings({ trustStore: operator.folder });
    const at = (name: string) => `problem: ${operator.folder}/accounts/${name}/${name}.jwt: `;
    expect(found).toEqual(
      expect.arrayContaining([
        `ok: 1 of 5 accounts in ${operator.folder}/accounts`,
        `${at('Empty')}it is not there: all users of this account are refused`,
        expect.stringMatching(new RegExp(`^${at('Half')}it is no token of an account: `)),
        expect.stringMatching(new RegExp(`^${at('Old')}account A\\w+ \\(x\\): this token has expired`)),
        expect.stringMatching(
          new RegExp(`^${at('Other')}account A\\w+ \\(Other\\): no trusted operator has the key`),
        ),
      ]),
    );
  });

  it('find an account in a folder under another’s name, and take one of another operator’s lightly', async () => {
    const operator = new Operator(await temporaryFolder());
    const [one, other] = [operator.account('A'), operator.account('B')];
    const folder = await temporaryFolder();
    const put = (key: string, token: string) => writeFileSync(join(folder, `${key}.jwt`), token);
    put(one.keys.publicKey, one.save());
    put(other.keys.publicKey, one.save());
    const stranger = new Operator(await temporaryFolder()).account('S');
    put(stranger.keys.publicKey, stranger.save());
    const yaml = `trust: {operators: [${operator.path}], resolver: {folder: ${folder}}}\n`;
    const found = await findings({}, yaml);
    expect(found).toContainEqual(`ok: 1 of 3 accounts in ${folder}`);
    expect(found).toContainEqual(
      expect.stringMatching(`^problem: .*it is the token of another account, ${one.keys.publicKey}`),
    );
    expect(found).toContainEqual(expect.stringMatching(/^warning: .*no trusted operator has the key/));
  });

  it('say nothing of the accounts of an operator whose token cannot be read', async () => {
    const operator = new Operator(await temporaryFolder());
    operator.account('A');
    writeFileSync(operator.path, 'nonsense');
    const found = await findings({ trustStore: operator.folder });
    expect(found.filter((one) => one.startsWith('problem'))).toHaveLength(1);
  });

  it('warn of seeds that lie beside the store, and of creds that others can read', async () => {
    const stores = await temporaryFolder();
    const operator = new Operator(join(stores, 'stores'));
    operator.account('A');
    const keys = join(stores, 'keys', 'keys', 'O', 'AA');
    mkdirSync(keys, { recursive: true });
    writeFileSync(join(keys, 'O.nk'), '');
    expect(await findings({ trustStore: operator.folder })).toContainEqual(
      expect.stringMatching(/^warning: the seeds in .*\/keys\/keys are readable by the server’s user/),
    );
    const creds = join(stores, 'sys.creds');
    writeFileSync(creds, '');
    chmodSync(creds, 0o644);
    const yaml = `trust: {operators: [${operator.path}], resolver: {nats: {servers: ["nats://x"], creds: ${creds}}}}\n`;
    expect(await findings({}, yaml)).toContainEqual(`problem: others can read ${creds}: chmod 600 ${creds}`);
  });
});

describe('a look at an installation', () => {
  it('finds tokens that are older than those that its server has seen', async () => {
    const folder = await temporaryFolder();
    const place = { stateDir: join(folder, 'state'), rootKey: `file:${join(folder, 'key')}` };
    const { server, operator, account } = await startTrustingServer(place);
    const look = async () => {
      const flags = { ...place, listen: '127.0.0.1:0', trustStore: operator.folder };
      const { findings } = await checkInstallation({ flags, env: { HOME: folder } });
      return findings.filter(({ level, subject }) => level === 'problem' && subject === 'trust');
    };
    const alice = account.user('alice');
    const before = account.save({}, { now: EARLIER });
    account.save();
    expect((await read(server, alice, '/api/whoami')).status).toBe(200);
    expect(await look()).toEqual([]);
    account.put(before);
    const path = `${operator.folder}/accounts/A/A.jwt`;
    expect(await look()).toMatchObject([
      { says: expect.stringContaining(`the token in ${path} is older than one`) },
    ]);
    operator.save({}, { now: new Date(EARLIER.getTime() - 60_000) });
    expect(await look()).toMatchObject([
      { says: expect.stringMatching(/^the token of operator O \(O\w+\) is older/) },
    ]);
  });
});
