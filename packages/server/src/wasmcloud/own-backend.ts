import { isUtf8 } from 'node:buffer';
import { type Caller, type Engine, MAX_VERSION, type SecretValue } from '@coffer/engine';
import type { ComponentChain, Verifier } from '@coffer/identity';
import {
  type Entity,
  type FetchSecret,
  type Requester,
  type Secret,
  type SecretQuery,
  SecretsError,
} from '@coffer/wasmcloud';
import { fieldOf } from './field.js';
import { principalsOfEntity } from './principals.js';
import { translated } from './refuse.js';

export interface OwnBackendParts {
  readonly engine: Pick<Engine, 'get' | 'tokenRevoked' | 'keyRevoked'>;
  /** Undefined: nobody is trusted. */
  readonly verifier: Pick<Verifier, 'isLive'> | undefined;
  /** Entities are believed on their own word, too. */
  readonly selfIssued: boolean;
  /** Lets a caller pass as often as it may. @throws Refusal */
  readonly admit: (caller: Caller) => void;
  /** Why nothing may be answered at this moment, if it may not. */
  readonly admission: () => Promise<string | undefined>;
}

/** coffer's own backend: whoever asks is known by lineage, and grants decide. */
export function ownBackend(parts: OwnBackendParts): FetchSecret {
  const known: Known = { ...parts, known: new WeakMap() };
  return async (query, requester) => {
    await requireAdmission(parts.admission);
    const caller = callerOf(requester, known);
    await translated(async () => parts.admit(caller));
    return fetchSecret(parts.engine, caller, query);
  };
}

type Principals = Caller['principals'];
type Known = OwnBackendParts & { readonly known: WeakMap<ComponentChain, Principals> };

/** @throws SecretsError `Other`, which says why nothing is answered */
export async function requireAdmission(admission: () => Promise<string | undefined>): Promise<void> {
  const reason = await admission();
  if (reason !== undefined) throw new SecretsError('Other', reason);
}

/**
 * Reads a secret as the protocol has it: `key` is its name, `version` its version's number, `field` an entry of the JSON object
 * that it is.
 *
 * @throws SecretsError
 */
export async function fetchSecret(
  engine: Pick<Engine, 'get'>,
  caller: Caller,
  { key, version, field }: SecretQuery,
): Promise<Secret> {
  const wanted = versionOf(version);
  const found = await translated(() => engine.get(caller, key, wanted));
  return field === undefined ? whole(found) : entry(found, field);
}

function whole({ value, version, binary }: SecretValue): Secret {
  const kind = !binary && isUtf8(value) ? 'string' : 'binary';
  return { version: String(version), kind, value };
}

function entry({ value, version }: SecretValue, field: string): Secret {
  try {
    return { version: String(version), kind: 'string', value: fieldOf(value, field) };
  } finally {
    value.fill(0);
  }
}

/** 0 is the active one. */
function versionOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const version = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : Number.NaN;
  if (version <= MAX_VERSION) return version;
  throw new SecretsError('InvalidRequest');
}

function callerOf({ entity, host, application }: Requester, parts: Known): Caller {
  const { verifier } = parts;
  return {
    principals: principalsOf(entity, parts),
    address: 'nats',
    conditions: { host: host.key, ...(application.name !== undefined && { application: application.name }) },
    session: {
      isLive: () =>
        entity.chain === undefined ? !isRevoked(entity, parts) : verifier?.isLive(entity.chain) === true,
    },
  };
}

/** The same objects for the same chain: the audit log remembers how they are written. */
function principalsOf(entity: Entity, { known, selfIssued }: Known): Principals {
  const { chain } = entity;
  const before = chain && known.get(chain);
  if (before) return before;
  const principals = principalsOfEntity(entity, selfIssued);
  if (chain) known.set(chain, principals);
  return principals;
}

function isRevoked({ jti, key, token }: Entity, { engine }: OwnBackendParts): boolean {
  return engine.tokenRevoked(jti) || engine.keyRevoked(key) || engine.keyRevoked(token.claims.iss);
}
