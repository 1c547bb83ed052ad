import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer, peer, SetecServer } from '../support/servers.mjs';

/** The ways of docs/migrating.md, there and back. */

const ENV_FILE = `# billing
export DB_PASSWORD='s3cr$t pass'
API_KEY=abcdef # the key
PEM="line1
line2"
`;

it('a program sees the same through coffer as it saw through a .env file, and again through one that was exported', async () => {
  await using server = await CofferServer.start();
  using folder = new TemporaryFolder();
  const cwd = folder.path;
  const env = { COFFER_SERVER: server.socket };
  const shown = async (command: string, args: readonly string[]) => {
    const { stdout } = await run(command, args, { cwd, env });
    const all = stdout.toString().split('\0');
    return all.filter((line) => /^(DB_PASSWORD|API_KEY|PEM)=/.test(line)).sort();
  };
  const sourced = () => shown('sh', ['-c', 'set -a; . ./.env; env -0']);
  writeFileSync(folder.join('.env'), ENV_FILE);
  const before = await sourced();
  expect(before).toHaveLength(3);

  expect((await coffer(['import', 'env', '--prefix', 'prod/billing/', '.env'], { cwd, env })).code).toBe(0);
  const { stdout } = await coffer(['list', '--json'], { env });
  const names: string[] = JSON.parse(stdout.toString()).map(({ name }: { name: string }) => name);
  writeFileSync(
    folder.join('map'),
    names.map((name) => `${name.replace('prod/billing/', '')}=${name}\n`).join(''),
  );
  const through = await coffer(['run', '--env-file', 'map', '--', 'env', '-0'], { cwd, env });
  expect(through.stdout.toString().split('\0')).toEqual(expect.arrayContaining(before));

  const exported = await coffer(['export', 'env', '--prefix', 'prod/billing/', '--yes'], { env });
  writeFileSync(folder.join('.env'), exported.stdout);
  expect(await sourced()).toEqual(before);
});

it('secrets go from setec to coffer and back, with their numbers and what is active', async () => {
  await using setec = await SetecServer.start();
  await using server = await CofferServer.start();
  const atSetec = async (args: readonly string[], input = '') => {
    const { code, stdout, stderr } = await run(peer('setec'), args, {
      env: { SETEC_SERVER: setec.url },
      input,
    });
    expect({ code, stderr: code === 0 ? '' : stderr.toString() }).toEqual({ code: 0, stderr: '' });
    return stdout.toString();
  };
  const here = async (args: readonly string[], input = '') => {
    const { code, stdout, stderr } = await coffer(args, { env: { COFFER_SERVER: server.socket }, input });
    expect({ code, stderr: code === 0 ? '' : stderr.toString() }).toEqual({ code: 0, stderr: '' });
    return stdout.toString();
  };
  const table = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/));

  for (const value of ['one', 'two']) await atSetec(['put', 'app/db'], value);
  await atSetec(['activate', 'app/db', '2']);
  await atSetec(['put', 'app/other'], 'x');
  await here(['import', 'setec', '--from', setec.url]);
  expect(table(await here(['list']))).toEqual(table(await atSetec(['list'])));
  expect(await here(['import', 'setec', '--activate', '--from', setec.url])).toContain(
    '0 created, 0 changed, 2 unchanged, 0 failed',
  );

  await here(['put', '--activate', 'app/db'], 'three');
  await here(['put', 'app/new'], 'n');
  const { token, principal } = await server.createToken('back');
  await server.applyPolicy([{ to: [principal], actions: ['get', 'info'], secrets: ['app/*'] }]);
  const tokenFile = server.folder.join('back.token');
  writeFileSync(tokenFile, token);
  const from = ['--from', server.url, '--from-token-file', tokenFile];
  expect(await here(['import', 'setec', '--activate', ...from, '-s', setec.url])).toContain(
    '1 created, 1 changed, 1 unchanged, 0 failed',
  );
  expect(table(await atSetec(['list']))).toEqual(table(await here(['list'])));
  expect(await atSetec(['get', 'app/db'])).toBe('three');
});
