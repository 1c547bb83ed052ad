import { asBuffer, keyOfText, keyText } from '../bytes.js';
import { recordMember, toggle } from '../crypto/digest.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { generationOf, RecordSealer } from '../crypto/records.js';
import { wipe } from '../crypto/secure-memory.js';
import { grantId } from '../grant.js';
import { decodeHead, encodeHead, type Head, tombstoneOf } from '../head.js';
import type { StoreHeader } from '../header/store-header.js';
import { HEAD_PREFIX, HEADER_KEY, manifestKey, VALUE_PREFIX, valueKey } from '../keys.js';
import { decodeManifest } from '../manifest.js';
import { addNumber, hasNumber } from '../number-set.js';
import { decodePolicyRecord, encodePolicyRecord, type PolicyRecord, withoutSeed } from '../policy-record.js';
import type { ForkJoin, Future, Joined, LosingFuture, TakenAwayByHeal } from '../storage/shared.js';

interface Opened<T> {
  readonly value: T;
  readonly generation: number;
}

/**
 * Of two futures of one record a heal lets one win. What the other had taken away stays taken away: tokens and identities that it
 * revoked, grants that it no longer gave, transit keys that it retired, secrets and versions that it deleted. Where it cannot be
 * known whether the loser took something away or never had it, it goes: in doubt the stricter of the two holds.
 */
export class ForkJoiner implements Omit<ForkJoin, 'announce'> {
  readonly fence = HEADER_KEY;
  readonly #header: Pick<StoreHeader, 'ring' | 'opens'>;
  readonly #ring: KeyRing;
  readonly #sealer: RecordSealer;
  readonly #now: () => Date;

  constructor(header: Pick<StoreHeader, 'ring' | 'opens'>, storeId: Uint8Array, now: () => Date) {
    this.#header = header;
    this.#ring = header.ring;
    this.#sealer = new RecordSealer(header.ring, storeId);
    this.#now = now;
  }

  nameOf(key: Uint8Array, bytes: Uint8Array): string | undefined {
    if (key[0] !== HEAD_PREFIX[0]) return undefined;
    try {
      return this.#openHead(asBuffer(key), bytes).value.name;
    } catch {
      return undefined;
    }
  }

  opens(key: Uint8Array, bytes: Uint8Array): boolean | Promise<boolean> {
    if (HEADER_KEY.equals(key)) return this.#header.opens(bytes);
    try {
      if (!this.#sealer.knows(bytes)) return true;
      wipe(this.#sealer.open(asBuffer(key), Buffer.from(bytes)));
      return true;
    } catch {
      return false;
    }
  }

  mayGiveUp(key: Uint8Array): boolean {
    return key[0] === HEAD_PREFIX[0] || key[0] === VALUE_PREFIX[0];
  }

  async join(key: Uint8Array, winner: Future, losers: readonly LosingFuture[]): Promise<Joined | undefined> {
    if (manifestKey(this.#ring).equals(key)) return this.#joinManifest(asBuffer(key), winner, losers);
    if (key[0] === HEAD_PREFIX[0]) return this.#joinSecret(asBuffer(key), winner, losers);
    return undefined;
  }

  async #joinManifest(
    key: Buffer,
    winner: Future,
    losers: readonly LosingFuture[],
  ): Promise<Joined | undefined> {
    const head = await winner.bytes(keyText(key));
    const json = this.#opened(key, head, decodeManifest);
    let { generation, value } = { generation: json.generation, value: json.value };
    let policy = value.policy;
    const put = new Map<string, PolicyRecord>();
    const remove = new Set<string>();
    const taken: TakenAwayByHeal[] = [];
    const wins = new Map<string, Opened<PolicyRecord> | undefined>();
    const winning = async (id: string) => {
      if (!wins.has(id)) wins.set(id, await this.#policyOf(winner, id));
      return wins.get(id);
    };
    for (const loser of losers) {
      const lost = this.#opened(key, await loser.bytes(keyText(key)), decodeManifest);
      // They parted before either of the two was made.
      const partedBefore = Math.min(lost.generation, json.generation);
      const ids = new Set([...winner.records.keys(), ...loser.records.keys()]);
      ids.delete(keyText(key));
      for (const id of ids) {
        if (winner.records.get(id) === loser.records.get(id)) continue;
        const theirs = await this.#policyOf(loser, id);
        const ours = await winning(id);
        if (!theirs) {
          if (ours?.value.kind !== 'grant' || ours.generation >= partedBefore || remove.has(id)) continue;
          remove.add(id);
          taken.push({ what: 'grant', target: grantId(ours.value.grant) });
          continue;
        }
        const stricter = stricterOf(put.get(id) ?? ours?.value, theirs.value);
        if (!stricter) continue;
        if (!put.has(id)) taken.push(describe(stricter));
        put.set(id, stricter);
      }
      generation = Math.max(generation, lost.generation);
      policy = Math.max(policy, lost.value.policy);
    }
    if (put.size + remove.size === 0) return undefined;
    generation++;
    let digest: Uint8Array = Buffer.from(value.digest, 'base64');
    for (const id of [...put.keys(), ...remove]) {
      const before = wins.get(id);
      if (before) digest = toggle(digest, this.#ring, recordMember(keyOfText(id), before.generation));
    }
    const binding = { version: 0, generation };
    const sides = [...put].map(([id, record]) => {
      digest = toggle(digest, this.#ring, recordMember(keyOfText(id), generation));
      const plaintext = encodePolicyRecord(record);
      const bytes = this.#sealer.seal(keyOfText(id), binding, plaintext);
      wipe(plaintext);
      return { key: id, bytes };
    });
    value = { ...value, policy: policy + 1, digest: Buffer.from(digest).toString('base64') };
    const sealed = this.#sealer.seal(key, binding, Buffer.from(JSON.stringify(value)));
    return { head: sealed, put: sides, remove: [...remove], taken };
  }

  async #joinSecret(
    key: Buffer,
    winner: Future,
    losers: readonly LosingFuture[],
  ): Promise<Joined | undefined> {
    const won = this.#openHead(key, await winner.bytes(keyText(key)));
    if (won.value.deletedAt) return undefined;
    let head: Head = won.value;
    let generation = won.generation;
    const taken: TakenAwayByHeal[] = [];
    for (const loser of losers) {
      const lost = this.#openHead(key, await loser.bytes(keyText(key)));
      generation = Math.max(generation, lost.generation);
      if (head.deletedAt) continue;
      const { name, versions } = head;
      if (lost.value.deletedAt) {
        // A later life of the name has nothing of what was deleted.
        const isLater = [...versions.values()].every((version) => version.generation > lost.generation);
        if (!loser.isSure && isLater) continue;
        head = tombstoneOf(head, lost.value.deletedAt);
        taken.push({ what: 'secret', target: name });
        continue;
      }
      for (const [number, version] of versions) {
        const isDeleted = hasNumber(lost.value.deleted, number) && !lost.value.versions.has(number);
        if (!isDeleted || version.generation >= lost.generation || head.deletedAt) continue;
        head = this.#without(head, lost.value, number);
        taken.push({ what: 'version', target: name, version: number });
      }
    }
    if (taken.length === 0) return undefined;
    const remove = [...won.value.versions]
      .filter(([number]) => !head.versions.has(number))
      .map(([, { recordId }]) => keyText(valueKey(key, recordId)));
    const binding = { version: 0, generation: generation + 1 };
    const plaintext = encodeHead(head);
    const sealed = this.#sealer.seal(key, binding, plaintext);
    wipe(plaintext);
    return { head: sealed, put: [], remove, taken };
  }

  /** The active version stays, unless it goes: then the loser's, if that is there, or else the highest. */
  #without(head: Head, lost: Head, number: number): Head {
    const versions = new Map(head.versions);
    versions.delete(number);
    if (versions.size === 0) return tombstoneOf(head, this.#now());
    const next = versions.has(lost.active) ? lost.active : Math.max(...versions.keys());
    const active = head.active === number ? next : head.active;
    return { ...head, versions, active, deleted: addNumber(head.deleted, number) };
  }

  #openHead(key: Buffer, bytes: Uint8Array): Opened<Head> {
    return this.#opened(key, bytes, decodeHead);
  }

  async #policyOf(future: Future, id: string): Promise<Opened<PolicyRecord> | undefined> {
    if (!future.records.has(id)) return undefined;
    return this.#opened(keyOfText(id), await future.bytes(id), (plaintext) =>
      withoutSeed(decodePolicyRecord(plaintext)),
    );
  }

  #opened<T>(key: Buffer, bytes: Uint8Array, decode: (plaintext: Buffer) => T): Opened<T> {
    const sealed = Buffer.from(bytes);
    const plaintext = this.#sealer.open(key, sealed);
    try {
      return { value: decode(plaintext), generation: generationOf(sealed) };
    } finally {
      wipe(plaintext);
    }
  }
}

/** What of the loser's has to hold, where the winner's gives more; undefined if it does not. */
function stricterOf(ours: PolicyRecord | undefined, theirs: PolicyRecord): PolicyRecord | undefined {
  switch (theirs.kind) {
    case 'grant':
      return undefined;
    case 'token': {
      const { revokedAt } = theirs.token;
      if (!revokedAt || ours?.kind !== 'token' || ours.token.revokedAt) return undefined;
      return { kind: 'token', token: { ...ours.token, revokedAt } };
    }
    case 'revocation':
      return ours ? undefined : theirs;
    case 'issued':
      return ours?.kind === 'issued' && ours.issued.iat >= theirs.issued.iat ? undefined : theirs;
    case 'transit-key': {
      const { retiredAt } = theirs.transitKey;
      if (!retiredAt || ours?.kind !== 'transit-key' || ours.transitKey.retiredAt) return undefined;
      return { kind: 'transit-key', transitKey: { ...ours.transitKey, retiredAt } };
    }
  }
}

function describe(record: PolicyRecord): TakenAwayByHeal {
  switch (record.kind) {
    case 'grant':
      return { what: 'grant', target: grantId(record.grant) };
    case 'token':
      return { what: 'token', target: record.token.id };
    case 'revocation':
      return { what: 'identity', target: `${record.revocation.kind} ${record.revocation.value}` };
    case 'issued':
      return { what: 'issued', target: `${record.issued.key} ${record.issued.iat}` };
    case 'transit-key':
      return { what: 'transit-key', target: `${record.transitKey.backend} ${record.transitKey.publicKey}` };
  }
}
