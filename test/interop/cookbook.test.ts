import { readFileSync, writeFileSync } from 'node:fs';
import { Client } from '@coffer/client';
import { Admin } from '@coffer/client/admin';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { admin, openEngine } from '../../packages/engine/test/support.js';
import { TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer } from '../support/servers.mjs';

/** What a caller does: a verb, the name of a secret, and sometimes a version or a pattern. */
type Deed = readonly [
  caller: 1 | 2,
  verb: keyof typeof VERBS | 'read the metrics',
  name?: string,
  more?: string,
];

const VALUE = Buffer.from('third');

const VERBS = {
  list: async (client: Client) => expect((await client.list()).length).toBeGreaterThan(0),
  info: (client: Client, name: string) => client.info(name),
  get: (client: Client, name: string) => client.get(name),
  put: (client: Client, name: string) => client.put(name, VALUE),
  'create-version': (client: Client, name: string) => client.createVersion(name, 77, VALUE),
  activate: (client: Client, name: string, version: string) => client.activate(name, Number(version)),
  'delete-version': (client: Client, name: string) => client.deleteVersion(name, 2),
  delete: (client: Client, name: string) => client.delete(name),
  'read the policy': (client: Client) => new Admin(client).policy(),
  'grant on': (client: Client, pattern: string) =>
    new Admin(client).applyPolicy([{ to: ['token:0000000000000000'], actions: ['get'], secrets: [pattern] }]),
  'make a token': (client: Client) => new Admin(client).createToken({ name: 'another' }),
} satisfies Record<string, (client: Client, name: string, more: string) => Promise<unknown>>;

/** The client library has no need for it. */
async function readMetrics(url: string, token: string): Promise<void> {
  const answer = await fetch(`${url}/metrics`, { headers: { Authorization: `Bearer ${token}` } });
  const code = answer.headers.get('Coffer-Error');
  if (code !== null) throw Object.assign(new Error(code), { code });
  expect(await answer.text()).toContain('coffer_ready 1');
}

interface Recipe {
  readonly may: readonly Deed[];
  readonly mayNot: readonly Deed[];
}

/** What the tables of docs/policy-cookbook.md say, by its headings; a second policy under one of them has a 2 behind it. */
const RECIPES: Readonly<Record<string, Recipe>> = {
  'CI reads one prefix': {
    may: [[1, 'get', 'ci/registry/password']],
    mayNot: [
      [1, 'get', 'prod/db/password'],
      [1, 'info', 'ci/registry/password'],
      [1, 'put', 'ci/registry/password'],
    ],
  },
  'A service and its own secrets': {
    may: [
      [1, 'get', 'prod/billing/db'],
      [1, 'get', 'prod/shared/smtp'],
    ],
    mayNot: [
      [1, 'get', 'prod/shop/db'],
      [1, 'get', 'prod/shared/other'],
      [1, 'put', 'prod/billing/db'],
    ],
  },
  'A deployer rotates, and reads nothing': {
    may: [
      [1, 'list'],
      [1, 'put', 'prod/db/password'],
      [1, 'activate', 'prod/db/password', '2'],
    ],
    mayNot: [
      [1, 'get', 'prod/db/password'],
      [1, 'create-version', 'prod/db/password'],
      [1, 'delete-version', 'prod/db/password'],
      [1, 'delete', 'prod/db/password'],
    ],
  },
  'A deployer rotates, and reads nothing 2': {
    may: [
      [1, 'put', 'prod/db/password'],
      [2, 'activate', 'prod/db/password', '2'],
    ],
    mayNot: [
      [1, 'activate', 'prod/db/password', '1'],
      [1, 'get', 'prod/db/password'],
      [2, 'put', 'prod/db/password'],
      [2, 'get', 'prod/db/password'],
    ],
  },
  'A team administers its part': {
    may: [
      [1, 'put', 'team-a/key'],
      [1, 'get', 'team-a/key'],
      [1, 'read the policy'],
      [1, 'grant on', 'team-a/*'],
    ],
    mayNot: [
      [1, 'get', 'team-b/key'],
      [1, 'grant on', 'team-b/*'],
      [1, 'grant on', '*'],
      [1, 'make a token'],
    ],
  },
  'People on call: look, roll back, read nothing': {
    may: [
      [1, 'list'],
      [1, 'info', 'prod/db/password'],
      [2, 'activate', 'prod/db/password', '1'],
    ],
    mayNot: [
      [1, 'get', 'prod/db/password'],
      [1, 'put', 'prod/db/password'],
      [1, 'info', 'staging/x'],
    ],
  },
  'Who sees names, and no values': {
    may: [
      [1, 'list'],
      [1, 'info', 'prod/db/password'],
    ],
    mayNot: [
      [1, 'get', 'prod/db/password'],
      [1, 'put', 'prod/db/password'],
      [1, 'read the policy'],
    ],
  },
  'Metrics, and nothing else': {
    may: [[1, 'read the metrics']],
    mayNot: [
      [1, 'info', 'prod/db/password'],
      [1, 'get', 'prod/db/password'],
      [1, 'read the policy'],
      [2, 'read the metrics'],
    ],
  },
  'Break glass': {
    may: [
      [1, 'get', 'prod/db/password'],
      [1, 'activate', 'prod/db/password', '1'],
    ],
    mayNot: [
      [1, 'put', 'prod/db/password'],
      [1, 'delete', 'prod/db/password'],
      [1, 'get', 'staging/x'],
    ],
  },
  'A token for each host': {
    may: [
      [1, 'get', 'hosts/web-1/tls.key'],
      [1, 'get', 'prod/web/session-key'],
      [2, 'get', 'hosts/web-2/tls.key'],
      [2, 'get', 'prod/web/session-key'],
    ],
    mayNot: [
      [1, 'get', 'hosts/web-2/tls.key'],
      [2, 'get', 'hosts/web-1/tls.key'],
    ],
  },
  'A letter box': {
    may: [[1, 'put', 'inbox/partner/api-key']],
    mayNot: [
      [1, 'get', 'inbox/partner/api-key'],
      [1, 'info', 'inbox/partner/api-key'],
      [1, 'put', 'inbox/other'],
    ],
  },
};

const ACCOUNT = 'AAQOZ36UGX6LBNEC2DGRATZSARR2BI2AY4FN3LNXGRK6XKKWZBWZ7JIR';
const BILLING = `component:${ACCOUNT}/MD5B7V2RP3BTVVXQLUTIGOUSPPONAHOFIPKKICWCYGYLMYHQ7WXA45BC`;
const DATABASE = `provider:${ACCOUNT}/VARYCN2SGGVXHWW3YR32BWYQFOJ2NZ5CTBPABY3OXT546AT56QEIGEA6`;
const HOST = 'NAA2C2BXZH4IUODVC4BZMSAE5OUBXOLLYBLESIYRLNON7TX2PHTYPFWN';
const ANOTHER = `component:${ACCOUNT}/M${'A'.repeat(55)}`;
const STRANGER = `component:A${'B'.repeat(55)}/MD5B7V2RP3BTVVXQLUTIGOUSPPONAHOFIPKKICWCYGYLMYHQ7WXA45BC`;

/** What the recipe for components says: only over NATS there are such callers. */
const COMPONENTS = {
  heading: 'Components of wasmCloud',
  may: [
    [BILLING, 'prod/billing/key', {}],
    [BILLING, 'prod/shop/key', { application: 'shop-eu' }],
    [ANOTHER, 'prod/shop/key', { application: 'shop' }],
    [DATABASE, 'prod/db/password', { host: HOST }],
  ],
  mayNot: [
    [BILLING, 'prod/shop/key', { application: 'bank' }],
    [BILLING, 'prod/shop/key', {}],
    [ANOTHER, 'prod/billing/key', { application: 'shop' }],
    [STRANGER, 'prod/shop/key', { application: 'shop' }],
    [DATABASE, 'prod/db/password', { host: HOST.replace(/.$/, 'A') }],
  ],
} as const;

describe('the policy cookbook', () => {
  const policies = policiesOf(
    readFileSync(new URL('../../docs/policy-cookbook.md', import.meta.url), 'utf8'),
  );

  it('has a test for every recipe, and recipes that coffer policy check takes', async () => {
    expect([...policies.keys()]).toEqual([...Object.keys(RECIPES), COMPONENTS.heading]);
    using folder = new TemporaryFolder();
    const checked = [...policies.values()].map(async (policy, index) => {
      const file = folder.join(`${index}.yaml`);
      writeFileSync(file, policy);
      return (await coffer(['policy', 'check', file])).stderr.toString();
    });
    expect((await Promise.all(checked)).join('')).toBe('');
  });

  it('allows what it says, and nothing of what it says it does not', async () => {
    await using server = await CofferServer.start();
    await using admin = new Client({ server: server.socket });
    const tokens = [
      await new Admin(admin).createToken({ name: 'one' }),
      await new Admin(admin).createToken({ name: 'two' }),
    ];
    const clients = tokens.map(({ token }) => new Client({ server: server.url, token }));
    const run = async ([caller, verb, name = '', more = '']: Deed) =>
      verb === 'read the metrics'
        ? readMetrics(server.url, tokens[caller - 1]?.token ?? '')
        : VERBS[verb](clients[caller - 1] as Client, name, more);
    const deeds = Object.values(RECIPES).flatMap(({ may, mayNot }) => [...may, ...mayNot]);
    for (const name of new Set(
      deeds.flatMap(([, verb, name]) => (verb === 'grant on' ? [] : (name ?? []))),
    )) {
      for (const value of ['first', 'second']) await admin.put(name, Buffer.from(value));
    }
    for (const [recipe, { may, mayNot }] of Object.entries(RECIPES)) {
      const policy = (policies.get(recipe) ?? '').replace(/a{15}(\d)/g, (_, n) => tokens[n - 1]?.id ?? '');
      await new Admin(admin).applyPolicy(parse(policy).grants);
      // First what must not work: a team may take its own rights away.
      for (const deed of mayNot) {
        await expect(run(deed), `${recipe}: ${deed}`).rejects.toMatchObject({ code: 'access_denied' });
      }
      for (const deed of may) await expect(run(deed), `${recipe}: ${deed}`).resolves.not.toThrow();
    }
    for (const client of clients) client.close();
  });
});

it('the policy cookbook allows components and providers what it says, for the applications and hosts that it says', async () => {
  const text = readFileSync(new URL('../../docs/policy-cookbook.md', import.meta.url), 'utf8');
  const { grants } = parse(policiesOf(text).get(COMPONENTS.heading) ?? '');
  const { engine } = await openEngine();
  await engine.applyPolicy(admin, grants);
  const outcome = ([id, name, conditions]: (typeof COMPONENTS)['may' | 'mayNot'][number]): Promise<string> =>
    engine.get({ principals: [{ id, kind: 'component' }], address: 'nats', conditions }, name).then(
      () => 'allowed',
      ({ code }) => code,
    );
  // What is allowed is not there.
  for (const deed of COMPONENTS.may) expect(await outcome(deed), `${deed}`).toBe('not_found');
  for (const deed of COMPONENTS.mayNot) expect(await outcome(deed), `${deed}`).toBe('access_denied');
  const list = await engine.list({ principals: [{ id: BILLING, kind: 'component' }], address: 'nats' });
  expect(list).toEqual([]);
});

/** The YAML blocks that are whole policies, by the heading that they stand under. */
function policiesOf(text: string): Map<string, string> {
  const policies = new Map<string, string>();
  let heading = '';
  for (const [, title, block] of text.matchAll(/^#+ (.+)$|^```yaml\n(grants:[\s\S]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    if (block !== undefined) policies.set(policies.has(heading) ? `${heading} 2` : heading, block);
  }
  return policies;
}
