import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { Process, TemporaryFolder } from '../../../test/support/processes.mjs';
import { BIN, coffer, type Outcome } from './run.js';

/** A machine of its own: home, state, identities. */
class Place {
  readonly folder = new TemporaryFolder();
  readonly identities = this.folder.join('identities');
  readonly config = this.folder.join('coffer.yaml');
  readonly state = this.folder.join('state');
  readonly rootKey = this.folder.join('root.key');

  constructor() {
    onTestFinished(() => this.folder[Symbol.dispose]());
  }

  /** A configuration that says what `init` says here. */
  writeConfig(more = ''): string {
    const text = `listen: 127.0.0.1:0\nstateDir: ${this.state}\nrootKey: file:${this.rootKey}\n${more}`;
    writeFileSync(this.config, text);
    return text;
  }

  init(...more: string[]): Promise<Outcome> {
    return coffer(
      [
        ...['server', 'init', '--identity-dir', this.identities, '--config', this.config],
        ...['--state-dir', this.state, '--root-key', `file:${this.rootKey}`],
        ...['--listen', '127.0.0.1:0', ...more],
      ],
      { env: { HOME: this.folder.path } },
    );
  }

  async initialised(...more: string[]) {
    const { code, stdout, stderr } = await this.init('--json', ...more);
    expect({ code, stderr: stderr.replace(/^coffer: A root key was made .*\n$/, '') }).toEqual({
      code: 0,
      stderr: '',
    });
    return JSON.parse(stdout);
  }

  /** A server with the configuration that was made, and nothing else. */
  async start(welcome = /(?=)/): Promise<string> {
    const server = new Process(process.execPath, [BIN, 'server', '--config', this.config], {
      env: { HOME: this.folder.path },
    });
    onTestFinished(async () => void (await server.stop()));
    const [url] = await server.waitFor(/https?:\/\/127\.0\.0\.1:\d+(?=\s)/);
    await server.waitFor(welcome);
    return url;
  }
}

describe('coffer server init', () => {
  test('is all that it takes: its user administers the server that is started next', async () => {
    const place = new Place();
    const { creds, principal } = await place.initialised();
    const url = await place.start();
    const as = (...args: string[]) => coffer(['-s', url, '--creds', creds, ...args]);
    const me = JSON.parse((await as('whoami', '--json')).stdout);
    expect(me.principals[0]).toMatchObject({ id: principal, kind: 'nats', name: 'admin' });
    const value = canary('initialised');
    expect(await coffer(['-s', url, '--creds', creds, 'put', 'a/b'], { input: value })).toMatchObject({
      code: 0,
    });
    expect((await as('get', 'a/b')).stdout).toBe(value);
    expect((await as('token', 'create', 'ci')).code).toBe(0);
    expect((await as('get', 'a/c')).stderr).toContain('not found');
  });

  test('prints what was made, and what to type next', async () => {
    const place = new Place();
    const { code, stdout } = await place.init('--name', 'acme', '--account', 'prod', '--user', 'alice');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^operator +acme +O[A-Z2-7]{55} +made$/m);
    expect(stdout).toMatch(/^account +prod +A[A-Z2-7]{55} +made$/m);
    expect(stdout).toMatch(/^user +alice +U[A-Z2-7]{55} +made$/m);
    expect(stdout).toContain(`server --config ${place.config}`);
    expect(stdout).toMatch(/--creds \S+\/alice\.creds whoami$/m);
    expect(stdout).toMatch(/identity add user --account prod -K A[A-Z2-7]{55} --name billing/);
    expect(stdout).not.toMatch(/S[OAU][A-Z2-7]{56}/);
  });

  test('names who signs further users, so that a rotation takes them along', async () => {
    const place = new Place();
    const { signingKey, account } = await place.initialised();
    const identity = (...args: string[]) => coffer(['identity', ...args, '--all-dirs', place.identities]);
    expect(signingKey).not.toBe(account.key);
    expect((await identity('add', 'user', '--account', 'main', '-K', signingKey, 'billing')).code).toBe(0);
    const { stdout } = await identity('rotate-signing-key', '--account', 'main', '--dry-run');
    expect(stdout).toContain('billing');
  });

  test('keeps seeds out of the configuration and of the state folder, and for their owner only', async () => {
    const place = new Place();
    const { creds, store } = await place.initialised();
    const readable = [place.config, ...filesIn(place.state), ...filesIn(store)];
    for (const path of readable) {
      expect(readFileSync(path, 'latin1')).not.toMatch(/S[OAU][A-Z2-7]{56}/);
    }
    for (const path of [...filesIn(join(place.identities, 'keys')), creds, place.config]) {
      expect(statSync(path).mode & 0o777).toBe(0o600);
    }
  });

  test('may be run again, and changes nothing then', async () => {
    const place = new Place();
    const first = await place.initialised();
    const before = snapshot(place);
    const second = await place.initialised();
    expect(second).toEqual({
      ...first,
      operator: { ...first.operator, isNew: false },
      account: { ...first.account, isNew: false },
      user: { ...first.user, isNew: false },
      configWritten: false,
      granted: false,
    });
    expect(snapshot(place)).toEqual(before);
  });

  test('goes on where it was cut short', async () => {
    const place = new Place();
    const first = await place.initialised();
    rmSync(first.creds);
    rmSync(place.config);
    const second = await place.initialised();
    expect(second.creds).toBe(first.creds);
    expect(existsSync(second.creds)).toBe(true);
    expect(second.configWritten).toBe(true);
    expect(second.user.key).toBe(first.user.key);
  });

  test('grants by way of a server that runs', async () => {
    const place = new Place();
    await place.initialised();
    const url = await place.start();
    const second = await place.initialised('--user', 'bob');
    expect(second).toMatchObject({ granted: true, user: { name: 'bob', isNew: true } });
    const { stdout } = await coffer(['-s', url, '--creds', second.creds, 'policy', 'show', '--json']);
    expect(JSON.parse(stdout).grants).toHaveLength(2);
  });

  test('goes by a configuration that is there, leaves it alone, and says what to write into it', async () => {
    const place = new Place();
    const text = place.writeConfig();
    const { code, stdout, stderr } = await place.init();
    expect(code).toBe(0);
    expect(readFileSync(place.config, 'utf8')).toBe(text);
    expect(stderr).toContain('was there already and is left as it is: write this into it');
    expect(stderr).toContain(`trust:\n  resolver:\n    store: ${join(place.identities, 'coffer')}`);
    expect(stdout).toContain('was there');
    // Done as told, the grant is where the server looks.
    place.writeConfig(`trust: {resolver: {store: ${join(place.identities, 'coffer')}}}\n`);
    const { creds } = await place.initialised();
    const url = await place.start();
    expect((await coffer(['-s', url, '--creds', creds, 'token', 'list'])).code).toBe(0);
  });

  test('refuses what a configuration that is there says otherwise, name by name, and makes nothing', async () => {
    const place = new Place();
    place.writeConfig();
    const other = place.folder.join('other');
    const refused = await place.init('--state-dir', other, '--public-url', 'https://a.example');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`${place.config} is there already, and a server goes by it: `);
    expect(refused.stderr).toContain(`--state-dir says ${other}, and by the file stateDir is ${place.state}`);
    expect(refused.stderr).toContain(
      '--public-url says https://a.example, and by the file publicUrl is not set',
    );
    expect(refused.stderr).not.toContain('--listen');
    const env = { HOME: place.folder.path, COFFER_ROOT_KEY: 'passphrase:prompt' };
    const asked = ['server', 'init', '--identity-dir', place.identities, '--config', place.config];
    expect((await coffer(asked, { env })).stderr).toContain(
      `COFFER_ROOT_KEY says passphrase:prompt, and by the file rootKey is file:${place.rootKey}`,
    );
    expect([place.identities, place.state, other, place.rootKey].filter(existsSync)).toEqual([]);
  });

  test('makes no operator beside one that a configuration trusts already', async () => {
    const place = new Place();
    const { operator } = await place.initialised();
    const refused = await place.init('--name', 'other');
    expect(refused.stderr).toContain(`${place.config} is there already and trusts others`);
    expect(existsSync(join(place.identities, 'other'))).toBe(false);
    const token = join(place.identities, 'coffer', 'coffer.jwt');
    place.writeConfig(`trust: {operators: [${token}], resolver: {folder: ${place.folder.path}}}\n`);
    expect(await place.initialised('--user', 'bob')).toMatchObject({
      trusted: true,
      operator: { key: operator.key },
    });
    const options = ['--trust-store', join(place.identities, 'coffer')];
    expect((await place.init(...options)).stderr).toContain('leave out --trust-store');
  });

  test('ends where no folder can be made, and says so', async () => {
    const place = new Place();
    const { code, stderr } = await place.init('--identity-dir', '/proc/coffer/identities');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^coffer: cannot make \/proc\/coffer/);
  });

  test('asks for a public URL where other machines come, before it makes anything', async () => {
    const place = new Place();
    const open = ['--listen', '0.0.0.0:0', '--insecure-http'];
    const refused = await place.init(...open);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('trust needs publicUrl');
    expect(existsSync(place.identities)).toBe(false);
    await place.initialised(...open, '--public-url', 'https://coffer.example.com');
    expect(readFileSync(place.config, 'utf8')).toContain('publicUrl: https://coffer.example.com\n');
  });

  test('puts no identities into the state folder', async () => {
    const place = new Place();
    mkdirSync(place.state, { recursive: true });
    const inside = join(place.state, 'identities');
    const refused = await place.init('--identity-dir', inside);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('the identities must not be in the state folder');
    expect(existsSync(inside)).toBe(false);
    expect((await place.init('--dev')).stderr).toContain('leave it out here');
  });

  test('has a configuration that nothing is wrong with, but that the seeds lie near', async () => {
    const place = new Place();
    await place.initialised();
    const { stdout, code } = await coffer(['config', 'check', '--json', place.config], {
      env: { HOME: place.folder.path },
    });
    expect(code).toBe(0);
    const { findings } = JSON.parse(stdout) as {
      findings: { subject: string; level: string; says: string }[];
    };
    const trust = findings.filter(({ subject }) => subject === 'trust');
    expect(trust.map(({ level, says }) => [level, says])).toEqual([
      ['ok', expect.stringMatching(/^operator coffer \(O/)],
      ['ok', expect.stringMatching(/^1 account in /)],
      ['ok', expect.stringMatching(/^proofs are to name http:\/\/127\.0\.0\.1:0 or /)],
      ['warning', expect.stringMatching(/^the seeds in .* are readable by the server’s user/)],
    ]);
  });
});

describe('creds that a server does not take', () => {
  test('are answered with what to do about it', async () => {
    const place = new Place();
    const { creds, user, account } = await place.initialised();
    const url = await place.start(/COFFER_CREDS=FILE .* get hello/);
    const whoami = async (...more: string[]) =>
      (await coffer(['-s', url, '--creds', creds, 'whoami', ...more])).stderr;
    expect(await whoami('--audience', 'https://other.example')).toMatch(
      /this server is .*: name that as the audience; that is --audience URL, or COFFER_AUDIENCE\n$/,
    );
    const identity = (...args: string[]) => coffer(['identity', ...args, '--all-dirs', place.identities]);
    expect((await identity('revocations', 'add-user', '--account', 'main', 'admin')).code).toBe(0);
    await expect.poll(() => whoami(), { timeout: 4000 }).toContain(`user ${user.key}`);
    expect(await whoami()).toMatch(
      new RegExp(
        `account ${account.key} has revoked what was issued for it up to 20\\S+Z, and this token is of 20\\S+Z; ` +
          'ask whoever gave you the creds file for a new one, which --creds FILE takes\n$',
      ),
    );
  });
});

describe('names in a policy file', () => {
  test('are those of the identities, and the server gets keys', async () => {
    const place = new Place();
    const made = await place.initialised();
    const url = await place.start();
    const file = place.folder.join('policy.yaml');
    writeFileSync(
      file,
      'aliases: {boss: "nats:main/admin"}\ngrants:\n' +
        '  - {to: [boss], actions: [get, info, put, admin], secrets: ["*"]}\n' +
        '  - {to: ["nats-tag:main:ci"], actions: [get], secrets: ["ci/*"]}\n',
    );
    const names = ['--identity-dir', place.identities];
    const checked = await coffer(['policy', 'check', file, ...names]);
    expect(checked.stdout).toMatch(new RegExp(`^boss +${made.principal}$`, 'm'));
    expect(checked.stdout).toMatch(new RegExp(`^nats-tag:main:ci +nats-tag:${made.account.key}:ci$`, 'm'));
    const applied = await coffer(['-s', url, '--creds', made.creds, 'policy', 'apply', file, ...names]);
    expect(applied).toMatchObject({ code: 0, stderr: '' });
    const { stdout } = await coffer(['-s', url, '--creds', made.creds, 'policy', 'show', '--json']);
    expect(JSON.parse(stdout).grants.flatMap(({ to }: { to: string[] }) => to)).toEqual(
      expect.arrayContaining([made.principal, `nats-tag:${made.account.key}:ci`]),
    );
  });

  test('that nobody has are refused, and that are several operators’', async () => {
    const place = new Place();
    await place.initialised();
    const file = place.folder.join('policy.yaml');
    writeFileSync(file, 'grants: [{to: ["nats:main/bob"], actions: [get], secrets: ["*"]}]\n');
    const names = ['--identity-dir', place.identities];
    const refused = await coffer(['policy', 'check', file, ...names]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      'grants[0].to[0]: there is no user "bob" in the account "main" under the operator "coffer"',
    );
    const nobody = await coffer(['policy', 'check', file, '--identity-dir', place.folder.join('empty')]);
    expect(nobody.stderr).toContain('names cannot be looked up: there is no operator');
  });
});

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

function snapshot(place: Place): string[] {
  return [place.config, ...filesIn(place.identities)].sort().map((path) => `${path} ${readFileSync(path)}`);
}
