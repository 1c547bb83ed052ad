import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Authority } from './certificates.mjs';
import { freePort, Process, TemporaryFolder } from './processes.mjs';
import { peer } from './servers.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in kube.d.mts.

const ADMIN_TOKEN = 'admin-token';
/** Another program may take a port that was free a moment ago. */
const ATTEMPTS = 3;
const READY_MS = 90_000;

export class KubeServer {
  static async start({ users = {} } = {}) {
    for (let attempt = 1; ; attempt++) {
      const server = new KubeServer(users);
      try {
        await server.#begin();
        return server;
      } catch (error) {
        await server.stop();
        if (attempt === ATTEMPTS || !/address already in use/.test(error.message)) throw error;
      }
    }
  }

  adminToken = ADMIN_TOKEN;
  folder = new TemporaryFolder();
  #authority = new Authority();
  #tokens;
  #etcd;
  #process;
  #etcdUrl;
  #port;

  constructor(users) {
    this.#tokens = { admin: ADMIN_TOKEN };
    for (const name of Object.keys(users)) this.#tokens[name] = `${name}-token`;
    const lines = Object.entries(users).map(([name, groups]) => row(this.#tokens[name], name, groups));
    const admin = row(ADMIN_TOKEN, 'admin', ['system:masters']);
    writeFileSync(this.folder.join('tokens.csv'), [admin, ...lines, ''].join('\n'));
    const { cert, key } = this.#authority.issue();
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const files = {
      'ca.crt': this.#authority.cert,
      'server.crt': cert,
      'server.key': key,
      'sa.pub': publicKey.export({ type: 'spki', format: 'pem' }),
      'sa.key': privateKey.export({ type: 'pkcs8', format: 'pem' }),
      'audit-policy.yaml': AUDIT_POLICY,
    };
    for (const [name, content] of Object.entries(files)) writeFileSync(this.folder.join(name), content);
  }

  get url() {
    return `https://127.0.0.1:${this.#port}`;
  }

  get port() {
    return this.#port;
  }

  get ca() {
    return this.folder.join('ca.crt');
  }

  get caPem() {
    return this.#authority.cert;
  }

  get process() {
    return this.#process;
  }

  tokenOf(user) {
    return this.#tokens[user];
  }

  certificateOf(user) {
    return this.#authority.issue({ names: [user] });
  }

  kubeconfig(user, { server = this.url, name = `${user}.kubeconfig`, ...entries } = {}) {
    const credentials = { token: this.tokenOf(user), ...entries };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { server, 'certificate-authority': this.ca } }],
      users: [{ name: user, user: credentials }],
      contexts: [{ name: 'test', context: { cluster: 'test', user } }],
      'current-context': 'test',
    };
    // JSON is YAML.
    writeFileSync(this.folder.join(name), JSON.stringify(config));
    return this.folder.join(name);
  }

  async call(method, path, body, { token = ADMIN_TOKEN, headers = {} } = {}) {
    const sent = https.request(`${this.url}${path}`, {
      method,
      ca: readFileSync(this.ca),
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', ...headers },
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = await once(sent, 'response');
    const answer = await text(response);
    return { status: response.statusCode, body: answer.startsWith('{') ? JSON.parse(answer) : answer };
  }

  async create(path, body) {
    const answer = await this.call('POST', path, body);
    if (answer.status >= 300) {
      throw new Error(`POST ${path}: ${answer.status} ${answer.body.message ?? answer.body}`);
    }
    return answer.body;
  }

  async createNamespace(name) {
    await this.create('/api/v1/namespaces', { metadata: { name } });
  }

  async putSecret(namespace, name, data) {
    const encoded = Object.entries(data).map(([entry, value]) => [
      entry,
      Buffer.from(value).toString('base64'),
    ]);
    const secret = { metadata: { name }, data: Object.fromEntries(encoded) };
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    const { status, body } = await this.call('PUT', `${path}/${name}`, secret);
    const { metadata } = status === 404 ? await this.create(path, secret) : body;
    return metadata.resourceVersion;
  }

  async allow(namespace, name, rules, subjects) {
    const path = `/apis/rbac.authorization.k8s.io/v1${namespace === undefined ? '' : `/namespaces/${namespace}`}`;
    const [role, binding] = namespace === undefined ? ['ClusterRole', 'clusterrole'] : ['Role', 'role'];
    await this.create(`${path}/${binding}s`, { metadata: { name }, rules });
    await this.create(`${path}/${binding}bindings`, {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: role, name },
      subjects,
    });
  }

  async serviceAccountToken(namespace, name) {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const { status } = await this.create(path, { spec: { expirationSeconds: 600 } });
    return status.token;
  }

  audited() {
    const path = this.folder.join('audit.log');
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }

  async stopApiServer() {
    await this.#process?.stop({ timeoutMs: 30_000 });
  }

  async startApiServer() {
    const file = (name) => this.folder.join(name);
    this.#process = new Process(
      peer('kube-apiserver'),
      [
        `--etcd-servers=${this.#etcdUrl}`,
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-key-file=${file('sa.pub')}`,
        `--service-account-signing-key-file=${file('sa.key')}`,
        '--authorization-mode=RBAC',
        `--token-auth-file=${file('tokens.csv')}`,
        `--client-ca-file=${file('ca.crt')}`,
        `--tls-cert-file=${file('server.crt')}`,
        `--tls-private-key-file=${file('server.key')}`,
        `--cert-dir=${this.folder.path}`,
        '--bind-address=127.0.0.1',
        `--secure-port=${this.#port}`,
        '--service-cluster-ip-range=10.0.0.0/24',
        // There is nobody to reach it at an address of the cluster's.
        '--endpoint-reconciler-type=none',
        `--audit-policy-file=${file('audit-policy.yaml')}`,
        `--audit-log-path=${file('audit.log')}`,
        '--audit-log-mode=blocking-strict',
      ],
      { cwd: this.folder.path },
    );
    await this.#process.waitFor(/Serving securely on/, { timeoutMs: READY_MS });
    await this.#ready(this.#process);
  }

  async stop() {
    await this.stopApiServer();
    await this.#etcd?.stop();
    this.folder[Symbol.dispose]();
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }

  async #begin() {
    const [client, peers] = [await freePort(), await freePort()];
    this.#port = await freePort();
    this.#etcdUrl = `http://127.0.0.1:${client}`;
    this.#etcd = new Process(
      peer('etcd'),
      [
        `--data-dir=${this.folder.join('etcd')}`,
        `--listen-client-urls=${this.#etcdUrl}`,
        `--advertise-client-urls=${this.#etcdUrl}`,
        `--listen-peer-urls=http://127.0.0.1:${peers}`,
        `--initial-advertise-peer-urls=http://127.0.0.1:${peers}`,
        `--initial-cluster=default=http://127.0.0.1:${peers}`,
      ],
      { cwd: this.folder.path },
    );
    await this.#etcd.waitFor(/ready to serve client requests|serving client traffic insecurely/);
    await this.startApiServer();
  }

  /** Its roles are made when it serves already, of which it says nothing: only asking tells. */
  async #ready(process) {
    const end = performance.now() + READY_MS;
    for (;;) {
      const answer = await this.call('GET', '/readyz').catch(() => undefined);
      if (answer?.status === 200) return;
      if (!process.running) throw new Error(`kube-apiserver ended:\n${process.output.slice(-4_000)}`);
      if (performance.now() > end) {
        throw new Error(`kube-apiserver does not get ready:\n${process.output.slice(-4_000)}`);
      }
      await delay(100);
    }
  }
}

const row = (token, name, groups) => `${token},${name},${name},"${groups.join(',')}"`;

/** Who asked for which Secret, and as whom; nothing that the API server does on its own. */
const AUDIT_POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    users: ["system:apiserver"]
  - level: Metadata
    resources: [{group: "", resources: [secrets]}]
    omitManagedFields: true
  - level: None
`;
