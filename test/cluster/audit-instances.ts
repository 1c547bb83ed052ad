import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach } from 'vitest';
import { AuditCopies } from '../../packages/engine/src/audit/copies/copies.js';
import { AuditLog, type AuditOptions } from '../../packages/engine/src/audit/log.js';
import { type AuditVerdict, AuditVerifier } from '../../packages/engine/src/audit/verifier.js';
import { SERVER } from '../../packages/engine/src/caller.js';
import { KeyRing } from '../../packages/engine/src/crypto/key-ring.js';
import { createSigner, verifySignature } from '../../packages/engine/test/support.js';
import { NatsServer } from '../support/nats.mjs';
import { TemporaryFolder } from '../support/processes.mjs';

/** A server for each test of a file, and what shares it. */
export function servedAnew(): { readonly server: NatsServer; readonly shared: Shared } {
  const served = {} as { server: NatsServer; shared: Shared };
  beforeEach(async () => {
    served.server = await NatsServer.start();
    served.shared = new Shared(served.server.url);
  });
  afterEach(async () => {
    await served.shared[Symbol.asyncDispose]();
    await served.server.stop();
  });
  return served;
}

/** Some instances' logs and their copies, without the store that they share. */
export class Shared implements AsyncDisposable {
  readonly storeId = randomBytes(16).toString('hex');
  readonly ring = KeyRing.create(new Date());
  readonly signer = createSigner(this.ring.signingSeed);
  readonly folder = new TemporaryFolder();
  /** Where the servers are. */
  url: string;
  readonly bucket: string;
  readonly #instances = new Set<Instance>();
  readonly #senders = new Set<AuditCopies>();

  constructor(
    url: string,
    bucket = 'test',
    readonly replicas: 1 | 3 = 1,
  ) {
    this.url = url;
    this.bucket = bucket;
  }

  /** @param at where its log is; a copy of another one's goes on as that one's */
  async open(
    at: string,
    options: Partial<AuditOptions> & { readonly auditMaxBytes?: number } = {},
  ): Promise<Instance> {
    const { auditMaxBytes, ...rest } = options;
    const notices: string[] = [];
    const holder: { copies?: AuditCopies } = {};
    const { acceptRollback = false } = options;
    const log = await AuditLog.open(this.logOf(at), {
      storeId: this.storeId,
      signer: this.signer,
      instance: at,
      delivered: () => holder.copies?.facts.delivered.seq ?? 0,
      generation: () => 1,
      revision: () => 1,
      witness: { anchor: { seq: 0, hash: '' }, revision: 9, generation: 9 },
      acceptRollback: false,
      now: () => new Date(),
      onFatal: (error) => {
        throw error;
      },
      onNotice: (sentence) => notices.push(sentence),
      ...rest,
    });
    const { instance: id = at } = log;
    const copies = this.#copiesOf(log, id, { acceptRollback, auditMaxBytes }, notices);
    holder.copies = copies;
    const instance = new Instance(id, log, copies, notices, this.logOf(at));
    this.#instances.add(instance);
    copies.start();
    return instance;
  }

  /** Another one that sends an instance's log, as a second process would that has it. @param url its way to the servers */
  sendToo({ log, id }: Instance, url = this.url): AuditCopies {
    const copies = this.#copiesOf(log, id, { acceptRollback: false }, [], url);
    this.#senders.add(copies);
    copies.start();
    return copies;
  }

  #copiesOf(
    log: AuditLog,
    id: string,
    { acceptRollback, auditMaxBytes }: { acceptRollback: boolean; auditMaxBytes?: number | undefined },
    notices: string[],
    url?: string,
  ): AuditCopies {
    const servers = () => (url ?? this.url).split(',');
    return new AuditCopies({
      log,
      ring: this.ring,
      storeId: this.storeId,
      instance: id,
      stream: {
        connect: () => connect({ servers: servers(), maxReconnectAttempts: -1, reconnectTimeWait: 100 }),
        bucket: this.bucket,
        replicas: this.replicas,
        instanceName: `name-${id.slice(0, 2)}`,
        auditMaxBytes,
      },
      acceptRollback,
      now: () => new Date(),
      witnessMs: 3_600_000,
      onNotice: (sentence) => notices.push(sentence),
    });
  }

  logOf(id: string): string {
    return join(this.folder.path, id, 'audit');
  }

  logText(id: string): Promise<string> {
    return readFile(join(this.logOf(id), 'audit.log'), 'utf8');
  }

  /** Verifies lines as an operator would. */
  async verify(lines: AsyncIterable<Buffer>, instance?: string): Promise<AuditVerdict> {
    const { publicKey: key } = this.signer;
    const verifier = new AuditVerifier({ storeId: this.storeId, key, instance, verify: verifySignature });
    for await (const piece of lines) {
      const text = piece.toString().split('\n');
      if (text.pop() !== '') throw new Error('a piece that is no whole lines');
      for (const line of text) verifier.add(Buffer.from(line));
    }
    return verifier.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const copies of this.#senders) await copies.close();
    for (const instance of this.#instances) await instance.close();
    this.ring.wipe();
    this.folder[Symbol.dispose]();
  }
}

export class Instance {
  #closing: Promise<void> | undefined;

  constructor(
    readonly id: string,
    readonly log: AuditLog,
    readonly copies: AuditCopies,
    readonly notices: readonly string[],
    readonly folder: string,
  ) {}

  /** Entries as of so many gets. */
  async write(count: number, name = 'prod/db'): Promise<void> {
    const asked = { caller: SERVER, action: 'get', secret: name } as const;
    const entries = Array.from({ length: count }, (_, index) => ({
      asked: { ...asked, secret: `${name}/${index}` },
      decision: { authorized: true },
    }));
    await this.log.appendAll(entries);
  }

  /** Undelivered lines. */
  get pending(): number {
    return this.copies.facts.pending;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.copies.closing();
    await this.log.close();
    await this.copies.close();
  }
}

export async function textOf(lines: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const piece of lines) parts.push(piece);
  return Buffer.concat(parts).toString();
}
