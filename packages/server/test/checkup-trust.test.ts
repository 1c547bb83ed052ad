import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeJwt, newOperator } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { checkConfiguration } from '../src/index.js';
import { Operator } from './identities.js';
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
