import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TemporaryFolder } from '../../../test/support/processes.mjs';
import { CofferServer, coffer } from '../../../test/support/servers.mjs';

test('SIGHUP has a server read its configuration file again, and a broken one changes nothing', async () => {
  using folder = new TemporaryFolder();
  const file = folder.join('coffer.yaml');
  writeFileSync(file, 'limits: { failuresPerMinute: 1 }\n');
  await using server = await CofferServer.start({ args: ['--config', file] });
  const pid = server.process.pid as number;

  writeFileSync(file, 'limits: { failuresPerMinute: 2, idleSeconds: 5 }\n');
  process.kill(pid, 'SIGHUP');
  await server.process.waitFor(
    /"applied":\["limits.failuresPerMinute"\],"needRestart":\["limits.idleSeconds"\].*some of it needs a restart/,
  );
  writeFileSync(file, 'limits: [');
  process.kill(pid, 'SIGHUP');
  await server.process.waitFor(/"reason":"[^"]*coffer\.yaml:\d+: .*nothing has changed/);
  expect((await coffer(['whoami', '-s', server.socket])).code).toBe(0);
});

test('SIGUSR1 does not open an inspector that every user of the machine could connect to', async () => {
  await using server = await CofferServer.start();
  process.kill(server.process.pid as number, 'SIGUSR1');
  // An inspector would have been announced long before the server has answered, ended and been waited for.
  expect((await coffer(['whoami', '-s', server.socket])).code).toBe(0);
  expect(await server.process.stop()).toEqual({ code: 0, signal: null });
  expect(server.process.output).not.toMatch(/debugger/i);
});

test('SIGHUP does not end a server without a terminal, in development either', async () => {
  await using server = await CofferServer.start({ dev: true });
  process.kill(server.process.pid as number, 'SIGHUP');
  await server.process.waitFor(/configuration read again/);
  expect((await coffer(['list', '-s', server.url])).code).toBe(0);
});
