import { isUtf8 } from 'node:buffer';
import { type Caller, type Engine, MAX_VERSION, type SecretValue } from '@coffer/engine';
import { type FetchSecret, type Secret, type SecretQuery, SecretsError } from '@coffer/wasmcloud';
import { Callers, type CallersParts } from './callers.js';
import { fieldOf } from './field.js';
import { translated } from './refuse.js';

export interface OwnBackendParts extends CallersParts {
  readonly engine: Pick<Engine, 'get' | 'tokenRevoked' | 'keyRevoked'>;
  /** Lets a caller pass as often as it may. @throws Refusal */
  readonly admit: (caller: Caller) => void;
  /** Why nothing may be answered at this moment, if it may not. */
  readonly admission: () => Promise<string | undefined>;
}

/** coffer's own backend: whoever asks is known by lineage, and grants decide. */
export function ownBackend(parts: OwnBackendParts): FetchSecret {
  const callers = new Callers(parts);
  return async (query, requester) => {
    await requireAdmission(parts.admission);
    const caller = callers.of(requester);
    await translated(async () => parts.admit(caller));
    return fetchSecret(parts.engine, caller, query);
  };
}

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
