import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { get as getPlain } from 'node:http';
import { Agent, get } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Authority, type Issued } from '../../../test/support/certificates.mjs';
import { type RunningServer, startServer } from '../src/index.js';
import {
  type Changes,
  RawConnection,
  startTestServer,
  tcpOf,
  temporaryFolder,
  testConfig,
} from './support.js';

const DAY = 24 * 60 * 60 * 1000;
const authority = new Authority();

/** A folder with `tls.crt` and `tls.key`, as a certificate client leaves it. */
class Files {
  readonly folder: string;
  readonly tls: { readonly cert: string; readonly key: string };

  constructor(folder: string, issued?: Issued) {
    this.folder = folder;
    this.tls = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
    if (issued) this.write(issued);
  }

  write({ cert, key }: Issued): void {
    writeFileSync(this.tls.cert, cert);
    writeFileSync(this.tls.key, key, { mode: 0o600 });
  }

  replaceByFolder(): void {
    rmSync(this.tls.cert);
    mkdirSync(this.tls.cert);
  }
}

async function files(issued = authority.issue()): Promise<Files> {
  return new Files(await temporaryFolder(), issued);
}

/** What the server logs, as objects. */
function collectLog() {
  const lines: { msg: string; reason?: string }[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, said: (text: string) => lines.filter(({ msg }) => msg.includes(text)) };
}

/** A handshake; resolves when it is done, and rejects with what the server or the client has against it. */
function handshake(server: RunningServer, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...server.address, ca: authority.cert, ...options });
    onTestFinished(() => void socket.destroy());
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

async function shown(server: RunningServer): Promise<string> {
  const socket = await handshake(server);
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

function health(server: RunningServer, agent: Agent | false = false): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(`${server.url}/healthz`, { ca: authority.cert, agent }, (response) => {
      let body = '';
      response.on('data', (part) => (body += part)).on('end', () => resolve(body));
    });
    request.on('error', reject);
  });
}

const refusal = async (changes: Changes): Promise<string> => {
  const { log } = collectLog();
  const config = await testConfig(changes);
  const started = startServer(config, { log, onNotice: () => {} });
  return started.then(
    async (server) => {
      await server.close();
      return 'it started';
    },
    (error: Error) => error.message,
  );
};

describe('a server with a certificate', () => {
  it('serves HTTP/1.1 over TLS, says so in its URL, and needs no --insecure-http beyond this machine', async () => {
    const { tls } = await files();
    const server = await startTestServer({ tls, dev: false, listen: '0.0.0.0:0' });
    expect(server.url).toMatch(/^https:\/\/0\.0\.0\.0:\d+$/);
    const socket = await handshake(server, { host: '127.0.0.1', ALPNProtocols: ['h2', 'http/1.1'] });
    expect(socket.alpnProtocol).toBe('http/1.1');
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    const received: Buffer[] = [];
    for await (const part of socket) received.push(part);
    expect(Buffer.concat(received).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok\n$/);
  });

  it('may be a development server, which still listens on this machine only', async () => {
    const { tls } = await files();
    expect(await health(await startTestServer({ tls }))).toBe('ok\n');
    expect(await refusal({ tls, listen: '0.0.0.0:0' })).toMatch(/this machine only/);
  });

  it('speaks TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, and nothing weaker', async () => {
    const { tls } = await files();
    const server = await startTestServer({ tls });
    // Security level 0 lets this client offer what OpenSSL would not.
    const weak = { minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    for (const [options, protocol] of [
      [{}, 'TLSv1.3'],
      [{ maxVersion: 'TLSv1.2' }, 'TLSv1.2'],
    ] as const) {
      const socket = await handshake(server, options);
      expect(socket.getProtocol()).toBe(protocol);
      expect(socket.getCipher().standardName).toMatch(/GCM|POLY1305/);
    }
    for (const options of [
      { ...weak, maxVersion: 'TLSv1.1' },
      { ...weak, maxVersion: 'TLSv1.2', ciphers: 'AES256-SHA:@SECLEVEL=0' },
      { ...weak, maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0' },
    ] as const) {
      await expect(handshake(server, options), JSON.stringify(options)).rejects.toThrow(/alert|closed/);
    }
  });

  it('tells whoever speaks plain HTTP to it to speak TLS, and cuts what is neither', async () => {
    const { tls } = await files();
    const server = await startTestServer({ tls });
    const answer = await new Promise((resolve, reject) => {
      getPlain({ ...server.address, path: '/healthz', agent: false }, (response) => {
        let body = '';
        response.on('data', (part) => (body += part));
        response.on('end', () => resolve([response.statusCode, response.headers['coffer-error'], body]));
      }).on('error', reject);
    });
    expect(answer).toEqual([400, 'bad_request', expect.stringContaining('https://')]);
    const connection = new RawConnection(server);
    connection.write('\x00\x01\x02');
    expect(await connection.ended()).toBe('');
  });

  it('cuts a client that does not shake hands in time, and one that says nothing', async () => {
    const { tls } = await files();
    const server = await startTestServer({ tls, limits: { headersSeconds: 0.3 } });
    const half = new RawConnection(server);
    half.write(Buffer.from([0x16, 0x03, 0x01, 0x00]));
    const silent = new RawConnection(server);
    expect(await Promise.all([half.ended(), silent.ended()])).toEqual(['', '']);
    expect(await health(server)).toBe('ok\n');
  });

  it('is not held up at its end by clients that have not shaken hands', async () => {
    const { tls } = await files();
    const server = await startTestServer({ tls });
    const silent = connectTcp(tcpOf(server));
    const half = new RawConnection(server);
    half.write(Buffer.from([0x16, 0x03, 0x01, 0x00]));
    onTestFinished(() => void silent.destroy());
    expect(await health(server)).toBe('ok\n');
    const begun = performance.now();
    await server.close();
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});

describe('a certificate that cannot be used', () => {
  const expired = { validFrom: new Date(Date.now() - 2 * DAY), validTo: new Date(Date.now() - DAY) };
  const early = { validFrom: new Date(Date.now() + DAY) };
  const breakings: [string, (files: Files) => void, RegExp][] = [
    ['is not there', ({ tls }) => rmSync(tls.cert), /tls\.crt is not there: name a PEM file$/],
    ['has no key', ({ tls }) => rmSync(tls.key), /tls\.key is not there/],
    ['is a folder', (here) => here.replaceByFolder(), /tls\.crt is no file/],
    ['is no PEM', ({ tls }) => writeFileSync(tls.cert, 'hello'), /holds no certificate in PEM/],
    [
      'is cut short',
      ({ tls }) => writeFileSync(tls.cert, '-----BEGIN CERTIFICATE-----\nMIIB\n'),
      /is damaged/,
    ],
    ['has a key that is none', ({ tls }) => writeFileSync(tls.key, 'hello'), /holds no private key in PEM/],
    [
      'has another’s key',
      ({ tls }) => writeFileSync(tls.key, authority.issue().key),
      /tls\.key does not belong to/,
    ],
    ['has a key that others may read', ({ tls }) => chmodSync(tls.key, 0o644), /mode 644\): chmod 600 it$/],
    ['has a key that its group may change', ({ tls }) => chmodSync(tls.key, 0o660), /mode 660\)/],
    [
      'has expired',
      (here) => here.write(authority.issue(expired)),
      /expired on \d{4}-\d\d-\d\d: get a new one$/,
    ],
    ['is not valid yet', (here) => here.write(authority.issue(early)), /is not valid before/],
  ];

  it.each(breakings)(
    'because it %s keeps a server from starting, with one sentence',
    async (_what, spoil, sentence) => {
      const here = await files();
      spoil(here);
      const message = await refusal({ tls: here.tls });
      expect(message).toMatch(sentence);
      expect(message).not.toContain('\n');
    },
  );

  it('with an encrypted key is refused with the way out', async () => {
    const here = await files();
    const { createPrivateKey } = await import('node:crypto');
    const key = createPrivateKey(authority.issue().key);
    const pem = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
    writeFileSync(here.tls.key, pem);
    expect(await refusal({ tls: here.tls })).toMatch(/is encrypted, which is not supported: decrypt it/);
  });

  it('soon is said at the start', async () => {
    const notices: string[] = [];
    const { tls } = await files(authority.issue({ validTo: new Date(Date.now() + 3 * 60 * 60 * 1000) }));
    await startTestServer({ tls }, { onNotice: (sentence) => notices.push(sentence) });
    expect(notices.join('\n')).toMatch(/The TLS certificate .*tls\.crt expires on \d{4}-\d\d-\d\d: renew it/);
  });

  it('by its group alone may be shared: a key of mode 640 serves', async () => {
    const { tls } = await files();
    chmodSync(tls.key, 0o640);
    expect(await health(await startTestServer({ tls }))).toBe('ok\n');
  });
});

describe('a renewed certificate', () => {
  it('is shown to new connections when its files are written anew; open ones live on', async () => {
    const here = await files();
    const { log, said } = collectLog();
    const server = await startTestServer({ tls: here.tls }, { log });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    expect(await health(server, agent)).toBe('ok\n');
    const renewed = authority.issue();
    here.write(renewed);
    await expect.poll(() => shown(server), { timeout: 10_000 }).toBe(renewed.fingerprint);
    expect(said('a new TLS certificate is in use')).toHaveLength(1);
    const sockets = Object.values(agent.freeSockets).flat();
    expect(await health(server, agent)).toBe('ok\n');
    expect(Object.values(agent.freeSockets).flat()).toEqual(sockets);
  });

  it('is found when files are renamed into place, and when a link is switched as Kubernetes does', async () => {
    const folder = await temporaryFolder();
    const version = (name: string, issued: Issued) => {
      mkdirSync(join(folder, name));
      new Files(join(folder, name), issued);
    };
    const first = authority.issue();
    version('..one', first);
    symlinkSync('..one', join(folder, '..data'));
    symlinkSync('..data/tls.crt', join(folder, 'tls.crt'));
    symlinkSync('..data/tls.key', join(folder, 'tls.key'));
    const server = await startTestServer({ tls: new Files(folder).tls });
    expect(await shown(server)).toBe(first.fingerprint);
    const second = authority.issue();
    version('..two', second);
    symlinkSync('..two', join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    await expect.poll(() => shown(server), { timeout: 10_000 }).toBe(second.fingerprint);
    const third = authority.issue();
    version('new', third);
    for (const name of ['tls.crt', 'tls.key']) renameSync(join(folder, 'new', name), join(folder, name));
    await expect.poll(() => shown(server), { timeout: 10_000 }).toBe(third.fingerprint);
  });

  it('that is broken is refused with one line in the log, and the old one stays until it is whole', async () => {
    const issued = authority.issue();
    const here = await files(issued);
    const { log, said } = collectLog();
    const server = await startTestServer({ tls: here.tls }, { log });
    const renewed = authority.issue();
    writeFileSync(here.tls.cert, renewed.cert);
    await expect.poll(() => said('cannot be used').length, { timeout: 15_000 }).toBe(1);
    expect(said('cannot be used')[0]?.reason).toMatch(/does not belong to/);
    expect(await shown(server)).toBe(issued.fingerprint);
    writeFileSync(here.tls.key, renewed.key);
    await expect.poll(() => shown(server), { timeout: 10_000 }).toBe(renewed.fingerprint);
    expect(said('cannot be used')).toHaveLength(1);
  });
});
