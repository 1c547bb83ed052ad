import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Link } from './links.mjs';
import { newTrust } from './nats-trust.mjs';
import { freePort, Process, TemporaryFolder } from './processes.mjs';
import { peer } from './servers.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in cluster.d.mts.

/** The client that packages/identity depends on. */
const nats = createRequire(new URL('../../packages/identity/package.json', import.meta.url))(
  '@nats-io/transport-node',
);

export class NatsCluster {
  static async start({ size = 3, auth = 'open', sync = 'always', direct = false, config = '' } = {}) {
    const cluster = new NatsCluster(auth === 'operator', sync, config);
    try {
      await cluster.#begin(size, direct);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  #trust;
  #sync;
  #config;
  /** From each server to each other, by both names. */
  #links = new Map();
  #gates = new Set();
  #connections = new Set();

  constructor(withOperator, sync, config) {
    this.folder = new TemporaryFolder();
    this.servers = [];
    this.#trust = withOperator ? newTrust(this.folder) : undefined;
    this.#sync = sync;
    this.#config = config;
    this.appCreds = this.#trust?.appCreds;
    this.systemCreds = this.#trust?.systemCreds;
  }

  get urls() {
    return this.servers.map(({ url }) => url);
  }

  server(name) {
    const found = this.servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`the cluster has no server ${name}`);
    return found;
  }

  async gate(name) {
    const gate = new Gate(name, this.servers);
    await gate.open();
    this.#gates.add(gate);
    return gate;
  }

  async connect(options = {}) {
    return await this.#connect({ ...this.#authenticate(this.appCreds), ...options });
  }

  async connectSystem(options = {}) {
    const how = this.#trust ? this.#authenticate(this.systemCreds) : { user: 'sys', pass: 'sys' };
    return await this.#connect({ ...how, ...options });
  }

  isolate(server, { clients = false, direction } = {}) {
    for (const [key, link] of this.#links) if (key.split(' ').includes(server.name)) link.cut(direction);
    if (clients) for (const gate of this.#gates) gate.cut(server);
  }

  delay(milliseconds) {
    for (const link of this.#links.values()) link.delay(milliseconds);
  }

  mend() {
    for (const link of this.#links.values()) link.mend();
    for (const gate of this.#gates) gate.mend();
  }

  async resume() {
    this.mend();
    for (const server of this.servers) {
      if (server.paused) server.resume();
      if (!server.running) await server.start();
    }
    await this.ready();
  }

  async ready({ timeoutMs = 30_000 } = {}) {
    await this.#until(timeoutMs, 'JetStream of the cluster did not answer', async (connection) => {
      await ask(connection, '$JS.API.INFO');
      if (this.servers.length > 1) await this.#expectPeers();
    });
  }

  async settled(stream, { timeoutMs = 60_000 } = {}) {
    await this.#until(timeoutMs, `not all servers have all of ${stream}`, async (connection) => {
      const { cluster } = await ask(connection, `$JS.API.STREAM.INFO.${stream}`);
      const behind = cluster?.replicas?.filter(({ current, offline }) => !current || offline) ?? [];
      if (behind.length > 0) throw new Error(`${behind.map(({ name }) => name)} still behind`);
    });
  }

  async leaderOf(stream) {
    const connection = await this.connect({ servers: this.servers.filter(serves).map(({ url }) => url) });
    try {
      const { cluster } = await ask(connection, `$JS.API.STREAM.INFO.${stream}`);
      return cluster?.leader === undefined ? undefined : this.server(cluster.leader);
    } finally {
      await this.#close(connection);
    }
  }

  async stop() {
    await Promise.all([...this.#connections].map((connection) => this.#close(connection)));
    await Promise.all(this.servers.map((server) => server.stop()));
    const links = [...this.#links.values(), ...[...this.#gates].flatMap((gate) => gate.links)];
    await Promise.all(links.map((link) => link.close()));
    this.folder[Symbol.dispose]();
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }

  async #begin(size, direct) {
    const names = Array.from({ length: size }, (_, index) => `n${index + 1}`);
    const ports = new Map();
    for (const name of names) ports.set(name, direct ? await freePort() : -1);
    if (size > 1 && !direct) {
      for (const from of names) {
        for (const to of names) if (from !== to) this.#links.set(`${from} ${to}`, await Link.open());
      }
    }
    for (const name of names) {
      const others = names.filter((other) => other !== name);
      const routes = others.map((to) =>
        direct ? `127.0.0.1:${ports.get(to)}` : this.#links.get(`${name} ${to}`).address,
      );
      const incoming = others.map((from) => this.#links.get(`${from} ${name}`)).filter(Boolean);
      const lines = (storeDir, routePort) => this.#configuration(name, storeDir, { routePort, routes });
      this.servers.push(new ClusterServer(name, this.folder, lines, incoming, ports.get(name)));
    }
    await Promise.all(this.servers.map((server) => server.start()));
    await this.ready();
  }

  #configuration(name, storeDir, { routePort, routes }) {
    const trust = this.#trust?.config ?? [
      'system_account: SYS',
      'accounts: {',
      '  SYS: { users: [{ user: sys, password: sys }] }',
      '  APP: { jetstream: enabled, users: [{ user: app, password: app }] }',
      '}',
      'no_auth_user: app',
    ];
    return [
      `server_name: ${name}`,
      'host: 127.0.0.1',
      `jetstream: { store_dir: ${JSON.stringify(storeDir)}, sync_interval: ${JSON.stringify(this.#syncOf(name))} }`,
      ...trust,
      ...(routes.length === 0 ? [] : clusterLines(routePort, routes)),
      this.#config,
    ];
  }

  #syncOf(name) {
    const at = Number(name.slice(1)) - 1;
    return typeof this.#sync === 'string' ? this.#sync : this.#sync[at];
  }

  /** Only with all servers that run in JetStream's own group, under one leader, is there a place for a stream's replicas. */
  async #expectPeers() {
    const running = this.servers.filter(serves).length;
    const system = await this.connectSystem({ reconnect: false, timeout: 2_000 });
    try {
      const how = { strategy: 'count', maxMessages: running, maxWait: 2_000 };
      let peers = 0;
      const leaders = new Set();
      let answers = 0;
      for await (const answer of await system.requestMany('$SYS.REQ.SERVER.PING.JSZ', '', how)) {
        const { server, data } = answer.json();
        const { leader, replicas = [] } = data?.meta_cluster ?? {};
        answers++;
        leaders.add(leader);
        if (leader === server.name)
          peers = 1 + replicas.filter((peer) => peer.current && !peer.offline).length;
      }
      if (answers < running || leaders.size !== 1) throw new Error('not all servers know the same leader');
      if (peers < running) throw new Error(`${peers} of ${running} servers are in JetStream's group`);
    } finally {
      await this.#close(system);
    }
  }

  #authenticate(file) {
    return file === undefined ? {} : { authenticator: nats.credsAuthenticator(readFileSync(file)) };
  }

  async #connect(options) {
    const connection = await nats.connect({
      servers: this.urls,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 0,
      ignoreClusterUpdates: true,
      ...options,
    });
    this.#connections.add(connection);
    return connection;
  }

  async #close(connection) {
    this.#connections.delete(connection);
    await connection.close();
  }

  /** Tries until it does not throw; what kept it from that is the cause of the error. */
  async #until(timeoutMs, problem, attempt) {
    const end = performance.now() + timeoutMs;
    for (;;) {
      let connection;
      try {
        connection = await this.connect({ reconnect: false, timeout: 2_000 });
        return await attempt(connection);
      } catch (cause) {
        if (performance.now() > end) throw new Error(problem, { cause });
        await sleep(50);
      } finally {
        if (connection !== undefined) await this.#close(connection);
      }
    }
  }
}

/** One nats-server of a cluster, with a folder and ports that it keeps. */
export class ClusterServer {
  #lines;
  #incoming;
  #routePort;
  #folder;

  constructor(name, folder, lines, incoming, routePort) {
    this.name = name;
    this.storeDir = folder.join(name);
    this.port = -1;
    this.paused = false;
    this.#folder = folder;
    this.#lines = lines;
    this.#incoming = incoming;
    this.#routePort = routePort;
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  get running() {
    return this.process?.running === true;
  }

  async start() {
    const file = this.#folder.join(`${this.name}.conf`);
    const lines = this.#lines(this.storeDir, this.#routePort);
    writeFileSync(file, [`port: ${this.port}`, ...lines, ''].join('\n'));
    this.process = new Process(peer('nats-server'), ['-c', file]);
    this.paused = false;
    try {
      if (lines.includes('cluster: {')) {
        const pattern = /Listening for route connections on 127\.0\.0\.1:(\d+)/;
        const [, port] = await this.process.waitFor(pattern);
        this.#routePort = Number(port);
        for (const link of this.#incoming) link.target = { host: '127.0.0.1', port: this.#routePort };
      }
      const [, port] = await this.process.waitFor(/Listening for client connections on 127\.0\.0\.1:(\d+)/);
      this.port = Number(port);
      await this.process.waitFor(/Server is ready/);
    } catch (error) {
      await this.process.kill().catch(() => {});
      throw error;
    }
  }

  async stop() {
    if (this.paused) this.resume();
    if (this.running) await this.process.stop();
  }

  async kill() {
    if (this.running) await this.process.kill();
    this.paused = false;
  }

  pause() {
    this.process.signal('SIGSTOP');
    this.paused = true;
  }

  resume() {
    this.process.signal('SIGCONT');
    this.paused = false;
  }

  async save() {
    const copy = new TemporaryFolder();
    const pausing = this.running && !this.paused;
    if (pausing) this.pause();
    try {
      cpSync(this.storeDir, copy.join('store'), { recursive: true });
    } finally {
      if (pausing) this.resume();
    }
    return copy;
  }

  putBack(copy) {
    this.wipe();
    cpSync(copy.join('store'), this.storeDir, { recursive: true });
  }

  wipe() {
    if (this.running) throw new Error(`${this.name} still runs: what it holds open would live on`);
    rmSync(this.storeDir, { recursive: true, force: true });
  }

  messagesOf(stream) {
    const accounts = readdirSync(join(this.storeDir, 'jetstream'));
    const folders = accounts.map((account) =>
      join(this.storeDir, 'jetstream', account, 'streams', stream, 'msgs'),
    );
    const found = folders.find((folder) => existsSync(folder));
    if (found === undefined) throw new Error(`${this.name} has no stream ${stream}`);
    return found;
  }
}

/** How one client reaches all servers: through links of its own. */
class Gate {
  constructor(name, servers) {
    this.name = name;
    this.links = [];
    this.servers = servers;
  }

  async open() {
    for (const { port } of this.servers) this.links.push(await Link.open({ host: '127.0.0.1', port }));
  }

  get urls() {
    return this.links.map(({ address }) => `nats://${address}`);
  }

  cut(server, direction) {
    for (const link of this.#to(server)) link.cut(direction);
  }

  delay(milliseconds) {
    for (const link of this.links) link.delay(milliseconds);
  }

  break(server) {
    for (const link of this.#to(server)) link.break();
  }

  mend() {
    for (const link of this.links) link.mend();
  }

  #to(server) {
    return server === undefined ? this.links : [this.links[this.servers.indexOf(server)]];
  }
}

/**
 * Nothing of the servers' own addresses is passed on, neither to clients nor to other servers: a connection made by hearsay would go
 * round the links.
 */
const clusterLines = (port, routes) => [
  'cluster: {',
  '  name: test',
  '  host: 127.0.0.1',
  `  port: ${port}`,
  '  no_advertise: true',
  '  advertise: "127.0.0.1:1"',
  `  routes: [${routes.map((route) => `"nats://${route}"`).join(', ')}]`,
  '}',
];

const serves = (server) => server.running && !server.paused;

async function ask(connection, subject) {
  const answer = await connection.request(subject, '', { timeout: 2_000 });
  const { error, ...info } = answer.json();
  if (error !== undefined) throw new Error(error.description);
  return info;
}
