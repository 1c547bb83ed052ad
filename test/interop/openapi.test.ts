import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, peer } from '../support/servers.mjs';

/**
 * schemathesis asks a real server what `/openapi.json` allows and what it forbids, and holds the answers against it: no
 * 5xx, no status, content type or header that is not told, nothing taken that the schemas forbid or refused that they
 * allow, nothing answered without the header or the token.
 *
 * OPENAPI_EXAMPLES lengthens it (examples for each operation); OPENAPI_SEED repeats one that failed.
 */
const EXAMPLES = Number(process.env.OPENAPI_EXAMPLES ?? 12);
const SEED = Number(process.env.OPENAPI_SEED ?? 4);

const HOOKS = fileURLToPath(new URL('../peers/schemathesis', import.meta.url));
const EVERYTHING = ['get', 'info', 'put', 'create-version', 'activate', 'delete', 'admin'];

/** setec answers 400 where this check wants 405, and the other one is replaced by one of coffer_hooks.py. */
const EXCLUDED_CHECKS = 'unsupported_method,positive_data_acceptance';

it('a development server does what /openapi.json says', async () => {
  await using server = await CofferServer.start({ dev: true });
  await expectNoFinding(server.url, EXAMPLES);
});

it('a server with tokens does what /openapi.json says', async () => {
  using folder = new TemporaryFolder();
  const config = join(folder.path, 'coffer.yaml');
  // It asks without a token more often than an honest client.
  writeFileSync(config, 'limits: { failuresPerMinute: 0 }');
  await using server = await CofferServer.start({ args: ['--config', config] });
  const { token, principal } = await server.createToken('schemathesis');
  await server.applyPolicy([{ to: [principal], actions: EVERYTHING, secrets: ['*'] }]);
  // A policy made up by schemathesis would take the token its rights; the development server gets those.
  const policy = ['--exclude-operation-id', 'applyPolicy'];
  const examples = Math.ceil(EXAMPLES / 2);
  await expectNoFinding(server.url, examples, ['--header', `Authorization: Bearer ${token}`, ...policy]);
});

async function expectNoFinding(
  url: string,
  examples: number,
  options: readonly string[] = [],
): Promise<void> {
  using folder = new TemporaryFolder();
  const program = peer('schemathesis');
  const { code, stdout, stderr } = await run(
    program,
    [
      ...['--config-file', join(HOOKS, 'schemathesis.toml')],
      'run',
      `${url}/openapi.json`,
      ...['--checks', 'all', '--exclude-checks', EXCLUDED_CHECKS],
      ...['--max-examples', String(examples), '--seed', String(SEED)],
      ...['--generation-database', 'none', '--request-timeout', '10', '--continue-on-failure'],
      // It never ends.
      ...['--exclude-operation-id', 'watch'],
      ...['--warnings', 'off', '--no-color'],
      ...options,
    ],
    {
      cwd: folder.path,
      env: {
        PATH: `${dirname(program)}:${process.env.PATH}`,
        HOME: folder.path,
        PYTHONPATH: HOOKS,
        PYTHONDONTWRITEBYTECODE: '1',
        SCHEMATHESIS_HOOKS: 'coffer_hooks',
      },
      timeoutMs: 3_600_000,
    },
  );
  const report = `OPENAPI_EXAMPLES=${EXAMPLES} OPENAPI_SEED=${SEED}\n${stdout}${stderr}`;
  expect(code, report).toBe(0);
  const [, cases = '0'] = /(\d+) generated/.exec(report) ?? [];
  console.log(`schemathesis: ${cases} cases`);
  expect(Number(cases), report).toBeGreaterThan(10 * examples);
}
