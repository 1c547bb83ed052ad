import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { Process, TemporaryFolder } from '../../../test/support/processes.mjs';
import { CofferServer, coffer, cofferCommand } from '../../../test/support/servers.mjs';

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

test('SIGUSR1 does not open an inspector while "coffer run" waits for its values', async () => {
  let running: Process | undefined;
  let asked = 0;
  const slow = createServer((request, response) => {
    request.resume();
    response.setHeader('Content-Type', 'application/json');
    if (++asked === 1) {
      process.kill(running?.pid as number, 'SIGUSR1');
      // When it asks again, it has had the signal: one that came with the values could be meant for the command.
      response.writeHead(503, { 'Coffer-Error': 'busy', 'Retry-After': '1' });
      response.end('{"code":"busy","message":"busy"}');
      return;
    }
    response.end('{"secrets":[{"name":"a","version":1,"value":"YQ=="}]}');
  });
  await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
  const env = { COFFER_SERVER: `http://127.0.0.1:${(slow.address() as AddressInfo).port}` };
  running = new Process(
    ...cofferCommand('run', '--env', 'A=a', '--', process.execPath, '-p', 'process.env.A'),
    {
      env,
    },
  );
  await using ended = running;
  expect(await ended.exited).toEqual({ code: 0, signal: null });
  expect(ended.output).toBe('a\n');
  expect(asked).toBe(2);
  slow.close();
});

test('SIGHUP does not end a server without a terminal, in development either', async () => {
  await using server = await CofferServer.start({ dev: true });
  process.kill(server.process.pid as number, 'SIGHUP');
  await server.process.waitFor(/configuration read again/);
  expect((await coffer(['list', '-s', server.url])).code).toBe(0);
});
