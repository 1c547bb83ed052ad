import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { Authority } from '../support/certificates.mjs';
import { freePort, run, TemporaryFolder } from '../support/processes.mjs';
import { peer } from '../support/servers.mjs';
import { configOf as configFileOf, EMBEDDED, type Manifest, only, render } from './chart.js';
import { Container, type ContainerOptions, whyNoContainers } from './container.js';
import { build, configOf, execForm, ids, ignores, parseContainerfile } from './containerfile.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const path = 'deploy/container/Containerfile';
const stages = parseContainerfile(readFileSync(join(root, path), 'utf8'));
const last = stages.at(-1);
if (last === undefined) throw new Error(`${path} has no stage`);
const config = configOf(last);

describe('the Containerfile', () => {
  it('is found right by hadolint', async () => {
    const { code, stdout, stderr } = await run(peer('hadolint'), [path], { cwd: root });
    expect({ code, output: `${stdout}${stderr}` }).toEqual({ code: 0, output: '' });
  });

  it('takes its bases by a tag that says which', () => {
    const bases = stages.map(({ base }) => base);
    expect(bases).toEqual([
      expect.stringMatching(/^node:\d+\.\d+\.\d+-bookworm-slim$/),
      expect.stringMatching(/^gcr\.io\/distroless\/cc-debian12:nonroot$/),
    ]);
  });

  it('runs nothing by a shell, and nothing as root, whom Kubernetes knows by no number', () => {
    expect(last.instructions.filter(({ name }) => name === 'RUN')).toEqual([]);
    for (const { instructions } of stages) {
      for (const one of instructions) if (/^(RUN|CMD|ENTRYPOINT)$/.test(one.name)) execForm(one);
    }
    expect(config.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(config.healthcheck.length).toBeGreaterThan(0);
  });

  it('has no tests, no history and nothing that was built here in its context', () => {
    const isIgnored = ignores(readFileSync(join(root, '.dockerignore'), 'utf8'));
    const outside = [
      '.git/config',
      'docs/tls.md',
      'packages/cli/dist/main.js',
      'packages/cli/test/x.ts',
      'node_modules/a',
    ];
    const inside = ['package-lock.json', 'packages/cli/src/main.ts', 'packages/cli/bin/coffer.js', path];
    expect([...outside, ...inside].filter(isIgnored)).toEqual(outside);
  });
});

const why = await whyNoContainers();

/** The steps with npm's registry and compiler, in folders; then the command in namespaces of its own. */
describe.skipIf(why !== undefined || process.getuid?.() !== 0)(
  'what its steps make, run by nobody in particular',
  () => {
    const folder = new TemporaryFolder();
    const user = ids(config.user);
    let image = '';

    beforeAll(async () => {
      chmodSync(folder.path, 0o755);
      const home = folder.join('home');
      mkdirSync(home);
      chownSync(home, user.uid, user.gid);
      const env = { HOME: home, ...(await npmSettings(folder.join('npm'))) };
      image = build(stages, { context: root, folder: folder.join('stages'), user, env });
    }, 600_000);
    afterAll(() => folder[Symbol.dispose]());

    /** Volume and root key as a pod has them: root's, and a group's to write, or read. */
    async function place(name: string, mode = 0o440): Promise<ContainerOptions & { readonly keys: string }> {
      const port = await freePort();
      const [state, keys] = [folder.join(name, 'volume'), folder.join(name, 'keys')];
      for (const made of [state, keys]) mkdirSync(made, { recursive: true });
      chownSync(state, user.uid, user.gid);
      addKey(keys, 'root.key', mode);
      const env = { COFFER_LISTEN: `127.0.0.1:${port}`, COFFER_ROOT_KEY: 'file:/run/coffer/root.key' };
      const mounts = {
        '/var/lib/coffer': { folder: state, writable: true },
        '/run/coffer': { folder: keys },
      };
      return { config, root: image, env, mounts, groups: [FS_GROUP], keys };
    }
    function addKey(keys: string, name: string, mode = 0o440): void {
      const path = join(keys, name);
      writeFileSync(path, `coffer-root-key-v1:${randomBytes(32).toString('base64')}\n`);
      give(path, mode);
    }
    function give(path: string, mode = 0o440): void {
      chownSync(path, 0, FS_GROUP);
      chmodSync(path, mode);
    }
    const FS_GROUP = 4711;

    it('holds the command and what it needs: no compiler, no tests, no shell', async () => {
      const { stdout } = await run('find', [join(image, 'opt/coffer'), join(image, 'usr/local')], {
        timeoutMs: 60_000,
      });
      const files = stdout
        .toString()
        .split('\n')
        .map((file) => relative(image, file));
      expect(files).toContain('opt/coffer/packages/server/dist/server.js');
      const needless =
        /node_modules\/(typescript|vitest|@biomejs)$|packages\/.*(\.d\.ts|\.map|\/test)$|packages\/testing\/dist$|bin\/(npm|sh)$/;
      expect(files.filter((file) => needless.test(file))).toEqual([]);
    });

    it('serves with a read-only file system and without HOME, and ends when it is told to', async () => {
      const options = await place('serves');
      const value = canary('container');
      await using container = new Container(options);
      await container.process.waitFor(/http:\/\/127\.0\.0\.1:\d+/);

      expect((await container.exec(config.healthcheck)).code).toBe(0);
      const put = await container.exec(['/usr/local/bin/node', '-e', PUT, value]);
      expect({ code: put.code, stderr: put.stderr.toString() }).toMatchObject({ code: 0 });
      const got = await container.exec(['/usr/local/bin/coffer', 'get', 'db/password']);
      expect(got.stdout.toString().trim()).toBe(value);

      const write = await container.exec([
        '/usr/local/bin/node',
        '-e',
        'fs.writeFileSync("/opt/coffer/x", "")',
      ]);
      expect(write.stderr.toString()).toMatch(/EROFS|EACCES/);
      expect((await container.exec(['/bin/sh', '-c', 'true'])).code).toBe(127);

      expect(await container.stop()).toMatchObject({ code: 0 });
      expect(container.process.output).toMatch('finishing what is under way');
      expectNoCanary(container.process.output, 'what the container says');
    });

    it('takes another root key from where only root writes, as in a pod or from systemd', async () => {
      const options = await place('rotates');
      const value = canary('rotated');
      addKey(options.keys, 'root-2.key');
      await using before = new Container(options);
      await before.process.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
      await before.exec(['/usr/local/bin/node', '-e', PUT, value]);
      const rotate = [
        '/usr/local/bin/coffer',
        'keys',
        'rotate',
        '--root',
        '--to',
        'file:/run/coffer/root-2.key',
      ];
      expect(await before.exec(rotate)).toMatchObject({ code: 0 });
      await before.stop();

      const env = { ...options.env, COFFER_ROOT_KEY: 'file:/run/coffer/root-2.key' };
      await using after = new Container({ ...options, env });
      await after.process.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
      const got = await after.exec(['/usr/local/bin/coffer', 'get', 'db/password']);
      expect(got.stdout.toString().trim()).toBe(value);
      await after.stop();

      await using former = new Container(options);
      expect(await former.process.exited).toMatchObject({ code: 1 });
      expect(former.process.output).toMatch(/root key/);
    });

    it('is what the chart’s pod runs: its arguments, its files where they are mounted, its probes', async () => {
      const manifests = await render(EMBEDDED);
      const [pod] = only(manifests, 'StatefulSet').spec.template.spec.containers;
      const { keys, mounts, ...options } = await place('pod');
      const port = Number(options.env?.COFFER_LISTEN?.split(':')[1]);
      const authority = new Authority();
      const [tls, configuration] = [folder.join('pod/tls'), folder.join('pod/configuration')];
      for (const made of [tls, configuration]) mkdirSync(made);
      writeFileSync(join(configuration, 'coffer.yaml'), configFileOf(manifests));
      const { cert, key } = authority.issue();
      for (const [name, content] of Object.entries({ 'tls.crt': cert, 'tls.key': key })) {
        writeFileSync(join(tls, name), content);
        give(join(tls, name));
      }
      const sources: Record<string, { folder: string; writable?: boolean }> = {
        state: { folder: folder.join('pod/volume'), writable: true },
        configuration: { folder: configuration },
        'root-key': { folder: keys },
        tls: { folder: tls },
      };
      const mounted = pod.volumeMounts.map(({ name, mountPath, subPath }: Manifest) => [
        subPath === undefined ? mountPath : dirname(mountPath),
        sources[name],
      ]);
      // In a pod nobody else has the port.
      const env = { COFFER_LISTEN: `127.0.0.1:${port}` };
      await using container = new Container({
        ...options,
        env,
        args: pod.args,
        mounts: Object.fromEntries(mounted),
      });
      await container.process.waitFor(/https:\/\/127\.0\.0\.1:\d+/);
      for (const { httpGet } of [pod.startupProbe, pod.livenessProbe, pod.readinessProbe]) {
        const asked = get({ port, path: httpGet.path, ca: authority.cert });
        const [{ statusCode }] = await once(asked, 'response');
        expect(statusCode).toBe(200);
      }
      const me = await container.exec(['/usr/local/bin/coffer', 'whoami']);
      expect({ code: me.code, said: me.stdout.toString() }).toEqual({
        code: 0,
        said: expect.stringMatching(/socket/),
      });
      const doctor = await container.exec([
        '/usr/local/bin/coffer',
        'doctor',
        '--config',
        '/etc/coffer/coffer.yaml',
      ]);
      expect(doctor.stdout.toString()).not.toMatch(/^problem/m);
      expect(await container.stop()).toMatchObject({ code: 0 });
    });

    it('is unhealthy when nothing serves', async () => {
      const options = await place('unhealthy');
      await using container = new Container({
        ...options,
        args: ['-e', 'setInterval(() => {}, 1000); console.log("up")'],
        config: NODE,
      });
      await container.process.waitFor(/up/);
      const asked = await container.exec(config.healthcheck);
      expect({ code: asked.code, says: asked.stderr.toString() }).toEqual({
        code: 1,
        says: expect.stringMatching(/^not ready: /),
      });
    });
    const NODE = { ...config, command: ['/usr/local/bin/node'] };

    it.each([
      ['444', 'readable by everybody'],
      ['460', 'writable by the group'],
    ])('refuses a root key of mode %s, which is %s', async (mode) => {
      await using container = new Container(await place(`mode-${mode}`, Number.parseInt(mode, 8)));
      expect(await container.process.exited).toMatchObject({ code: 1 });
      expect(container.process.output).toMatch(/can be read by others/);
    });

    it('refuses a root key that a group has in which the server is not', async () => {
      await using container = new Container({ ...(await place('stranger')), groups: [] });
      expect(await container.process.exited).toMatchObject({ code: 1 });
      expect(container.process.output).toMatch(/cannot be read \(EACCES\)/);
    });
  },
);

/** How npm reaches its registry on this machine, and what it has of it already, for the user of the steps. */
async function npmSettings(folder: string): Promise<Record<string, string>> {
  mkdirSync(folder);
  const ask = async (name: string) => {
    const { stdout } = await run('npm', ['config', 'get', name], { env: { HOME: homedir() } });
    return stdout.toString().trim();
  };
  const settings: Record<string, string> = {
    npm_config_registry: await ask('registry'),
    npm_config_cache: join(folder, 'cache'),
    npm_config_prefer_offline: 'true',
    npm_config_loglevel: 'error',
  };
  const cached = join(await ask('cache'), '_cacache');
  if (existsSync(cached)) cpSync(cached, join(folder, 'cache/_cacache'), { recursive: true });
  const authorities = {
    NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS,
    npm_config_cafile: await ask('cafile'),
  };
  for (const [name, file] of Object.entries(authorities)) {
    if (!file || !existsSync(file)) continue;
    cpSync(file, join(folder, name));
    settings[name] = join(folder, name);
  }
  await run('chown', ['-R', config.user, folder]);
  return settings;
}

/** There is no shell to give the command its input. */
const PUT = `
  const { spawnSync } = require('node:child_process');
  const put = spawnSync('/usr/local/bin/coffer', ['put', 'db/password'], { input: process.argv[1], encoding: 'utf8' });
  process.stderr.write(put.stderr);
  process.exit(put.status);
`;
