import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { AuditCopies } from '../../packages/engine/src/audit/copies/copies.js';
import { AuditLog, type AuditOptions } from '../../packages/engine/src/audit/log.js';
import { type AuditVerdict, AuditVerifier } from '../../packages/engine/src/audit/verifier.js';
import { SERVER } from '../../packages/engine/src/caller.js';
import { KeyRing } from '../../packages/engine/src/crypto/key-ring.js';
import { createSigner, verifySignature } from '../../packages/engine/test/support.js';
import { TemporaryFolder } from '../support/processes.mjs';

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

  constructor(
    url: string,
    bucket = 'test',
    readonly replicas: 1 | 3 = 1,
  ) {
    this.url = url;
    this.bucket = bucket;
  }

  async open(
    id: string,
    options: Partial<AuditOptions> & { readonly auditMaxBytes?: number } = {},
  ): Promise<Instance> {
    const { auditMaxBytes, ...rest } = options;
    const notices: string[] = [];
    const holder: { copies?: AuditCopies } = {};
    const log = await AuditLog.open(this.logOf(id), {
      storeId: this.storeId,
      signer: this.signer,
      instance: id,
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
    const copies = new AuditCopies({
      log,
      ring: this.ring,
      storeId: this.storeId,
      instance: id,
      stream: {
        connect: () =>
          connect({ servers: this.url.split(','), maxReconnectAttempts: -1, reconnectTimeWait: 100 }),
        bucket: this.bucket,
        replicas: this.replicas,
        instanceName: `name-${id.slice(0, 2)}`,
        auditMaxBytes,
      },
      acceptRollback: options.acceptRollback ?? false,
      now: () => new Date(),
      witnessMs: 3_600_000,
      onNotice: (sentence) => notices.push(sentence),
    });
    holder.copies = copies;
    const instance = new Instance(id, log, copies, notices, this.logOf(id));
    this.#instances.add(instance);
    copies.start();
    return instance;
  }

  logOf(id: string): string {
    return join(this.folder.path, id, 'audit');
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
