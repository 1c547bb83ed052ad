import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type SecretInfo } from '../../packages/client/src/index.js';
import { CofferServer, coffer, SetecServer } from '../support/servers.mjs';

const bytes = (text: string) => Buffer.from(text);
const infosOf = async (client: Client): Promise<SecretInfo[]> =>
  (await client.list()).filter(({ name }) => !name.startsWith('own/'));

describe('secrets of the real setec server', () => {
  let setec: SetecServer;
  let server: CofferServer;
  let source: Client;
  let target: Client;

  beforeAll(async () => {
    setec = await SetecServer.start({ limited: [{ action: ['info'], secret: ['*'] }] });
    server = await CofferServer.start({ dev: true });
    source = new Client({ server: setec.url });
    target = new Client({ server: server.url });

    await source.put('one', bytes('1'));
    // Three versions and a gap, the active one neither the first nor the highest.
    for (const value of ['1', '2', '3', '4']) await source.put('app/db', bytes(value));
    await source.activate('app/db', 3);
    await source.deleteVersion('app/db', 2);
    // Numbers of the user's own, in no order, two of the same value, the lowest active.
    for (const version of [20260401, 7, 4294967295])
      await source.createVersion('app/key', version, bytes('k'));
    await source.activate('app/key', 7);
    await source.put(
      'ünï/\u{1F600}',
      Uint8Array.from({ length: 256 }, (_, index) => index),
    );
    await source.put('empty', bytes(''));
  });
  afterAll(async () => {
    source?.close();
    target?.close();
    await setec?.stop();
    await server?.stop();
  });

  const importing = async (...args: string[]) => {
    const { code, stdout, stderr } = await coffer(['import', 'setec', ...args]);
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  };
  const fromTo = () => ['--from', setec.url, '-s', server.url];
  const valuesOf = async (client: Client) => {
    const requests = (await infosOf(client)).flatMap(({ name, versions }) =>
      versions.map((version) => ({ name, version })),
    );
    return await client.getMany(requests);
  };

  it('are told by a dry run, which copies nothing', async () => {
    const { code, stdout } = await importing(...fromTo(), '--dry-run');
    expect(code).toBe(0);
    expect(stdout).toContain('created app/db  versions 1, 3, 4, 3 is active\n');
    expect(stdout).toContain(
      '\n5 created, 0 changed, 0 unchanged, 0 failed: a dry run, nothing was changed\n',
    );
    expect(await infosOf(target)).toEqual([]);
  });

  it('are copied with names, version numbers, values and active versions', async () => {
    const { code, stdout, stderr } = await importing(...fromTo());
    expect({ code, stderr }).toEqual({ code: 0, stderr: `From ${setec.url} to ${server.url}\n` });
    expect(stdout).toContain('\n5 created, 0 changed, 0 unchanged, 0 failed\n');
    expect(await infosOf(target)).toEqual(await infosOf(source));
    expect(await valuesOf(target)).toEqual(await valuesOf(source));
    expect((await target.info('app/db')).activeVersion).toBe(3);
  });

  it('are the same after a second time', async () => {
    const { code, stdout } = await importing(...fromTo());
    expect({ code, stdout }).toEqual({ code: 0, stdout: '0 created, 0 changed, 5 unchanged, 0 failed\n' });
    expect(await infosOf(target)).toEqual(await infosOf(source));
  });

  it('that came since are added, and what is active here stays unless it is said otherwise', async () => {
    await source.put('one', bytes('2'));
    await source.put('app/db', bytes('5'));
    await source.activate('app/db', 4);
    const detail = 'changed app/db version 5, 4 waits, 3 is active\nchanged one    version 2, 1 is active\n';
    const waits = '1 wait for "coffer activate", or for this command with --activate\n';
    expect((await importing(...fromTo(), '--dry-run')).stdout).toBe(
      `${detail}${waits}0 created, 2 changed, 3 unchanged, 0 failed: a dry run, nothing was changed\n`,
    );
    expect((await importing(...fromTo())).stdout).toBe(
      `${detail}${waits}0 created, 2 changed, 3 unchanged, 0 failed\n`,
    );
    expect((await target.info('app/db')).activeVersion).toBe(3);
    expect((await importing(...fromTo(), '--activate')).stdout).toBe(
      'changed app/db 4 is active\n0 created, 1 changed, 4 unchanged, 0 failed\n',
    );
    expect(await infosOf(target)).toEqual(await infosOf(source));
    expect(await valuesOf(target)).toEqual(await valuesOf(source));
  });

  it('whose numbers no put would give are added with --activate alone, and the last number never', async () => {
    for (const client of [source, target]) {
      for (const name of ['own/gap', 'own/same', 'own/last']) await client.put(name, bytes('1'));
    }
    await source.createVersion('own/gap', 9, bytes('9'));
    await source.createVersion('own/same', 2, bytes('1'));
    await source.createVersion('own/last', 4294967295, bytes('x'));
    const before = await target.list();
    const first = await importing(...fromTo(), '--secrets', 'own/*');
    expect(first.code).toBe(1);
    expect(first.stdout).toContain(
      'failed own/gap  version 9 can only be added by being active for a moment',
    );
    expect(first.stdout).toContain(
      'failed own/same version 2 can only be added by being active for a moment',
    );
    expect(first.stdout).toContain('failed own/last version 4294967295 is the last number there is');
    expect(await target.list()).toEqual(before);
    const second = await importing(...fromTo(), '--secrets', 'own/*', '--activate');
    expect(second.stdout).toContain('\n0 created, 2 changed, 0 unchanged, 1 failed\n');
    expect(await target.info('own/gap')).toEqual({ name: 'own/gap', versions: [1, 9], activeVersion: 9 });
    expect((await target.info('own/last')).versions).toEqual([1]);
    for (const client of [source, target]) {
      for (const name of ['own/gap', 'own/same', 'own/last']) await client.delete(name);
    }
  });

  it('are told of where a number was used here for what is gone', async () => {
    for (const client of [source, target]) await client.put('own/used', bytes('1'));
    await target.put('own/used', bytes('other'));
    await target.deleteVersion('own/used', 2);
    await source.put('own/used', bytes('2'));
    expect((await importing(...fromTo(), '--secrets', 'own/used')).stdout).toContain(
      'failed own/used number 2 was used there before: its value waits as version 3',
    );
    expect(await target.info('own/used')).toEqual({ name: 'own/used', versions: [1, 3], activeVersion: 1 });
    for (const client of [source, target]) await client.delete('own/used');
  });

  it('are copied by their names, if that is asked for', async () => {
    await source.put('own/a', bytes('a'));
    await source.put('own/b', bytes('b'));
    expect((await importing(...fromTo(), '--secrets', 'own/b*')).stdout).toBe(
      'created own/b version 1, 1 is active\n1 created, 0 changed, 0 unchanged, 0 failed\n',
    );
    expect((await importing(...fromTo(), '--secrets', 'nothing')).stderr).toContain('nothing to copy');
    await source.delete('own/a');
    await source.delete('own/b');
    await target.delete('own/b');
  });

  it('do not write over what the target has, and the rest is copied all the same', async () => {
    await source.put('own', bytes('theirs'));
    await target.put('own', bytes('ours'));
    await source.put('own', bytes('theirs too'));
    for (const value of ['1', '2']) await target.put('gone', bytes(value));
    await target.activate('gone', 2);
    await target.deleteVersion('gone', 1);
    for (const value of ['1', '2']) await source.put('gone', bytes(value));
    await source.put('later', bytes('l'));
    const { stdout: told } = await importing(...fromTo(), '--secrets', 'gone', '--dry-run');
    expect(told).toContain('failed gone version 1 can only be added by being active for a moment: ');
    const { code, stdout, stderr } = await importing(...fromTo(), '--activate');
    expect(code).toBe(1);
    expect(stdout).toBe(
      'created later version 1, 1 is active\n' +
        'failed  gone  version 1 was deleted there, and its number is not used again\n' +
        'failed  own   version 1 has another value there: nothing was changed\n' +
        '1 created, 0 changed, 5 unchanged, 2 failed\n',
    );
    expect(stderr).toContain('coffer: 2 of 8 failed: ');
    expect(await target.info('own')).toMatchObject({ versions: [1] });
    expect(await target.info('gone')).toEqual({ name: 'gone', versions: [2], activeVersion: 2 });
    expect(Buffer.from((await target.get('own')).value).toString()).toBe('ours');
  });

  it('that may not be read are failures', async () => {
    const { code, stdout } = await importing('--from', setec.limitedUrl, '-s', server.url, '--dry-run');
    expect(code).toBe(1);
    expect(stdout).toContain('failed app/db  cannot get version 1 from the source: access denied\n');
  });

  it('can be named by -s alone, as setec’s users write it', async () => {
    await using other = await CofferServer.start({ dev: true });
    const { code, stderr } = await coffer(['import', 'setec', '-s', setec.url], {
      env: { COFFER_SERVER: other.url },
    });
    expect({ code, stderr: stderr.toString() }).toEqual({
      code: 0,
      stderr: `From ${setec.url} to ${other.url}\n`,
    });
    await using client = new Client({ server: other.url });
    expect(await infosOf(client)).toEqual(await infosOf(source));
  });

  it('are not sought in a coffer server because --from was forgotten', async () => {
    const { code, stderr } = await importing('-s', server.url);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /is a coffer server, and -s names the server that takes the secrets: .* --from URL/,
    );
    expect((await importing()).stderr).toMatch(/which setec server shall be read\? --from URL names it/);
  });
});
