import { join, resolve } from 'node:path';
import { type CofferError, type Engine, MANY_BYTES, parseRootKey } from '@coffer/engine';
import type { Logger } from 'pino';
import { Backends } from './backends/backends.js';
import { KeysListener } from './backends/keys-listener.js';
import { checkBackendFiles } from './checkup/backends.js';
import { checkBackends, servedBackends } from './config/backends.js';
import { checkExposure, type ServerConfig } from './config/config.js';
import { checkKeysListen, keysListenAddress } from './config/keys-listen.js';
import { believedHosts, checkNats } from './config/nats.js';
import { checkStorage } from './config/storage.js';
import { checkTrust } from './config/trust.js';
import { endProcess, printNotice } from './ending.js';
import { createApp } from './http/app.js';
import {
  type Authenticator,
  CredentialAuthenticator,
  DevelopmentAuthenticator,
  SocketAuthenticator,
} from './http/authenticate.js';
import { BodyReader } from './http/body.js';
import type { KeySets } from './http/keys.js';
import { whyNotReady } from './http/readiness.js';
import { RequestIds } from './http/request-id.js';
import { SharedRoom } from './http/room.js';
import { RateLimits } from './limit/rate-limits.js';
import { formatAddress, type ListenAddress, listenAddress } from './listen/address.js';
import type { RequestListener } from './listen/bare-answer.js';
import { checkSocketPath } from './listen/bind.js';
import { Doors } from './listen/doors.js';
import { guardHost } from './listen/guards.js';
import { createLog } from './log.js';
import { Exposition } from './metrics/exposition.js';
import { RequestMetrics } from './metrics/requests.js';
import { NatsDoor } from './nats/door.js';
import { type NatsFacts, natsFactsOf } from './nats/facts.js';
import { holdWhileStale } from './nats/hold.js';
import { openEngine } from './open-engine.js';
import { openApiDocument } from './openapi/document.js';
import { Reloader } from './reload.js';
import { tellAlarm, tellSync } from './store-alarm.js';
import { tellRoom } from './store-room.js';
import { Certificate } from './tls/certificate.js';
import { audiencesOf } from './trust/audiences.js';
import { checkTrustFiles, Trust } from './trust/trust.js';
import { readVersion } from './version.js';
import { WasmcloudBackend } from './wasmcloud/serve.js';
import { TransitUse } from './wasmcloud/transit-use.js';

/** How long requests that are under way may take to end when the server closes. */
const GRACE_MS = 10_000;
/** How often a watch shows that it lives. */
const HEARTBEAT_MS = 15_000;

export interface StartOptions {
  /** Default: JSON lines on standard error. */
  readonly log?: Logger;
  /**
   * The 58 characters of an xkey's seed (`SX…`), which becomes the transit key of the NATS door unless that has had it. They stay
   * the caller's, who wipes them.
   */
  readonly transitSeed?: Uint8Array | undefined;
  /** The same of an nkey, with which the first of the backends signs unless it has had it. */
  readonly signingSeed?: Uint8Array | undefined;
  /** Asks a person for the root key's passphrase, for `passphrase:prompt`. The bytes are wiped after use. */
  readonly promptPassphrase?: (question: string) => Promise<Uint8Array>;
  /** Where a root key in the environment is looked for. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: one sentence on standard error, and the process ends at once with exit code 1. */
  readonly onFatal?: (error: CofferError) => void;
  /** A sentence that a person should read, such as that a root key was made. Default: one line on standard error. */
  readonly onNotice?: (sentence: string) => void;
}

/** A server that accepts requests. */
export interface RunningServer {
  /** Where it listens, with the port that it got; undefined: it has no TCP door. */
  readonly address: ListenAddress | undefined;
  /** The same as a URL, `https:` if it serves over TLS; without a TCP door `unix:` and the admin socket. */
  readonly url: string;
  /** The admin socket, `<stateDir>/admin.sock`. */
  readonly socketPath: string;
  readonly engine: Engine;
  /** Where the public keys of backends that sign are shown, with the port that it got; undefined: at `address` alone. */
  readonly keysAddress: ListenAddress | undefined;
  /** Why nothing is served over NATS at this moment; undefined: it serves, or there is no NATS door. */
  notServing(): string | undefined;
  /**
   * Takes over what of a new configuration can be taken over without a restart: the certificate, limits of rate, the log's level.
   * The log says what was done; what is wrong changes nothing.
   *
   * @param read gives the new configuration, or throws what is wrong with it
   */
  reload(read: () => ServerConfig): Promise<void>;
  /** Accepts nothing more, lets requests end for up to 10 s, and closes the store clean. Twice is harmless. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens the store and serves it on TCP and on the admin socket.
 *
 * @throws CofferError with a sentence for a person: what is wrong with the configuration, the certificate, the root
 *   key, the store or the address. Nothing is left open then.
 */
export async function startServer(config: ServerConfig, options: StartOptions = {}): Promise<RunningServer> {
  const { log = createLog(config.logLevel), onFatal = endProcess, onNotice = printNotice } = options;
  const stateDir = resolve(config.stateDir);
  const socketPath = join(stateDir, 'admin.sock');
  checkExposure(config);
  checkTrust(config);
  checkNats(config);
  checkBackends(config);
  if (config.jwksListen !== undefined) checkKeysListen(config.jwksListen);
  await checkBackendFiles(config.backends);
  checkStorage(config);
  checkSocketPath(socketPath);
  const rootKey = parseRootKey(config.rootKey);
  // First of all: a mistake in files is found before a root key is made, or a person asked for a passphrase.
  const certificate = config.tls && (await Certificate.open(config.tls, { log, onNotice }));
  const { promptPassphrase, env } = options;
  let nats: NatsDoor | undefined;
  const opened = await checkTrustFiles(config.trust)
    .then(async () => {
      nats = config.nats && (await NatsDoor.open(config.nats, { log, backends: servedBackends(config) }));
    })
    .then(() => openEngine(config, { promptPassphrase, env, onFatal, onNotice, log }))
    .catch(async (error: unknown) => {
      certificate?.close();
      await nats?.close(0);
      throw error;
    });
  const { engine } = opened;
  const alarmEnded = tellAlarm(engine, log);
  tellSync(engine, log);
  const roomEnded = tellRoom(engine, log);
  const doors = new Doors(config.limits);
  let trust: Trust | undefined;
  let wasmcloud: WasmcloudBackend | undefined;
  let backends: Backends | undefined;
  let holdEnded = () => {};
  let keysListener: KeysListener | undefined;
  let audiences: readonly string[] = [];
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= Promise.all([doors.close(GRACE_MS), nats?.close(GRACE_MS)])
      .then(holdEnded)
      .then(() => wasmcloud?.close())
      .then(() => keysListener?.close())
      .then(() => backends?.close())
      .then(() => certificate?.close())
      .then(() => trust?.close())
      .then(alarmEnded)
      .then(roomEnded)
      .then(() => opened.close());
    return closed;
  };
  try {
    const rates = new RateLimits(config.limits);
    const hosts = believedHosts(config.wasmcloud);
    const trusting = {
      engine,
      log,
      audiences: () => audiences,
      hosts,
      onNotice,
    };
    trust = config.trust && (await Trust.open(config.trust, trusting));
    const transitUse = new TransitUse();
    const keySets = (backend?: string) => backends?.publicKeysOf(backend);
    const natsFacts = () => nats && natsFactsOf(nats, { wasmcloud, backends }, transitUse);
    const address = await openDoors(doors, {
      config,
      engine,
      log,
      socketPath,
      certificate,
      rates,
      trust,
      transitUse,
      natsFacts,
      keySets,
    });
    audiences = audiencesOf(config, address);
    if (config.nats && nats) {
      const { transitSeed } = options;
      const own = { ...config, nats: config.nats };
      const shared = { engine, door: nats, trust, rates, log, transitUse, onNotice };
      if (config.wasmcloud.serve) {
        wasmcloud = await WasmcloudBackend.open({ ...shared, config: own, transitSeed });
      }
      backends = await Backends.open(config.backends ?? [], {
        ...shared,
        clockSkewSeconds: config.trust?.clockSkewSeconds,
        hosts,
        ...(wasmcloud === undefined && { transitSeed }),
        signingSeed: options.signingSeed,
        secretVariables:
          rootKey.kind !== 'file' && rootKey.source.from === 'env' ? [rootKey.source.name] : [],
      });
      keysListener =
        config.jwksListen === undefined
          ? undefined
          : await KeysListener.open(keysListenAddress(config.jwksListen), { keySets, engine });
      holdEnded = holdWhileStale(nats, engine);
      await nats.serve([...(wasmcloud ? [wasmcloud] : []), ...backends.services]);
    }
    const reloader = new Reloader(config, { log, certificate, rates, engine, trust, nats, wasmcloud });
    const url =
      address === undefined
        ? `unix:${socketPath}`
        : `${certificate === undefined ? 'http' : 'https'}://${formatAddress(address)}`;
    if (address)
      log.info({ ...address, tls: certificate !== undefined, development: config.dev }, 'listening');
    const reload = (read: () => ServerConfig) => reloader.reload(read);
    return {
      address,
      url,
      socketPath,
      engine,
      keysAddress: keysListener?.address,
      notServing: () => nats?.notServing?.reason,
      reload,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface DoorParts {
  readonly config: ServerConfig;
  readonly engine: Engine;
  readonly log: Logger;
  readonly socketPath: string;
  readonly certificate: Certificate | undefined;
  readonly rates: RateLimits;
  readonly trust: Trust | undefined;
  readonly transitUse: TransitUse;
  /** Undefined: there is no NATS door. */
  readonly natsFacts: () => NatsFacts | undefined;
  readonly keySets: KeySets;
}

/**
 * The same application behind both doors; they differ in how they know their callers, and each has room of its own:
 * no crowd on TCP locks the admin socket.
 */
async function openDoors(
  doors: Doors,
  { config, engine, log, socketPath, certificate, rates, trust, transitUse, natsFacts, keySets }: DoorParts,
): Promise<ListenAddress | undefined> {
  const version = readVersion();
  const facts = { version, development: config.dev, publicUrl: config.publicUrl, limits: config.limits };
  const openApi = Buffer.from(JSON.stringify(openApiDocument(facts)));
  const natsIsAll = listenAddress(config.listen) === undefined;
  const notReady = () => whyNotReady(engine, { closing: doors.closing, natsIsAll, nats: natsFacts() });
  const { requestSeconds, idleSeconds } = config.limits;
  // A connection on which nothing moves for the sum of the two is cut.
  const heartbeatMs = Math.min(HEARTBEAT_MS, ((requestSeconds + idleSeconds) * 1000) / 4);
  doors.signal.addEventListener('abort', () => engine.endWatches());
  const requestIds = new RequestIds();
  const requests = new RequestMetrics();
  const serverFacts = () => ({
    version,
    ready: notReady() === undefined,
    requests: {
      inFlight: requests.inFlight,
      unauthenticated: requests.unauthenticated,
      timings: requests.snapshot(),
    },
    limited: rates.rejected,
    connections: doors.connections(),
    certificateEnd: certificate?.validTo,
    nats: natsFacts(),
    trust: trust && { proofs: trust.proofs.results, missingOperators: trust.missingOperators },
  });
  const metrics = { exposition: new Exposition(), facts: serverFacts };
  const serve = (authenticator: Authenticator, limits?: RateLimits): RequestListener => {
    // Nobody's rate is limited on the admin socket.
    const isPublic = limits !== undefined;
    const bodies = new BodyReader(config.limits);
    const answers = answersRoom(config.limits);
    const closing = doors.signal;
    const shared = {
      engine,
      log,
      requestIds,
      requests,
      metrics,
      notReady,
      natsFacts,
      closing,
      heartbeatMs,
      version,
      openApi,
      transitUse,
      keySets,
      proofs: trust?.proofs,
    };
    return createApp({ ...shared, isPublic, authenticator, bodies, answers, rates: limits });
  };
  const development = new DevelopmentAuthenticator();
  const credentials = new CredentialAuthenticator(engine, trust?.proofs, log);
  await doors.listenUnix(socketPath, serve(config.dev ? development : new SocketAuthenticator(credentials)));
  const address = listenAddress(config.listen);
  if (address === undefined) return undefined;
  const overTcp = serve(rates.guard(config.dev ? development : credentials), rates);
  return doors.listenTcp(address, config.dev ? guardHost(overTcp) : overTcp, certificate);
}

/** One caller may leave a quarter of it untaken, and the largest answer of values in any case. */
function answersRoom({ inFlightBytes, valueBytes }: ServerConfig['limits']): SharedRoom {
  // base64, and what stands around the values.
  const largest = Math.ceil(Math.max(MANY_BYTES, valueBytes) / 3) * 4 + 1024;
  return new SharedRoom(inFlightBytes, Math.max(largest, Math.floor(inFlightBytes / 4)));
}
