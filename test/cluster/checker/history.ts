/** What a client asked for, and what became of it, as it saw it. */
export interface Operation {
  readonly kind: 'put' | 'create-version' | 'activate' | 'delete-version' | 'delete' | 'get';
  readonly secret: string;
  /** As it was asked for; of a get undefined: the active one. */
  readonly version?: number | undefined;
  /** That was put, or was read; each is put once. */
  readonly value?: string | undefined;
  /** That the answer names. */
  readonly answered?: number | undefined;
  /** Which instance was asked. */
  readonly instance: string;
  /** Requests of one session carry on the position that its last answer had; undefined: they carry none. */
  readonly session?: number | undefined;
  /** The position that its request carried on, and the one that its answer had. */
  readonly seen?: string | undefined;
  readonly position?: string | undefined;
  /** Milliseconds of one clock. */
  readonly start: number;
  /** When the answer was there. An operation of unknown outcome may come true at any time: Infinity. */
  readonly end: number;
  /** `absent`: a get found no such secret or version. `refused`: certainly nothing was changed. */
  readonly outcome: 'ok' | 'absent' | 'refused' | 'unknown';
  /** Of an error. */
  readonly code?: string | undefined;
  /** Of a change, its id in the audit log. */
  readonly operation?: string | undefined;
}

/** What a secret is, once nobody changes it any more. */
export interface FinalState {
  readonly secret: string;
  readonly active: number;
  readonly versions: ReadonlyMap<number, string>;
}

export interface Violation {
  readonly kind:
    | 'lost write'
    | 'wrong value'
    | 'version number twice'
    | 'deleted came back'
    | 'stale read'
    | 'read went backwards'
    | 'no order'
    | 'undecided'
    | 'not audited';
  readonly secret: string;
  /** For a person. */
  readonly message: string;
}

export const isChange = ({ kind }: Operation): boolean => kind !== 'get';
/** It may have changed something, or has. */
export const isEffective = ({ outcome }: Operation): boolean => outcome === 'ok' || outcome === 'unknown';
export const isAcknowledged = ({ outcome }: Operation): boolean => outcome === 'ok';
export const adds = ({ kind }: Operation): boolean => kind === 'put' || kind === 'create-version';

/** The version that an operation is about, as far as its client knows. */
export const versionOf = ({ answered, version }: Operation): number | undefined => answered ?? version;

export function bySecret<Item extends { readonly secret: string }>(
  items: readonly Item[],
): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(item.secret);
    if (group) group.push(item);
    else groups.set(item.secret, [item]);
  }
  return groups;
}

/** An operation for a person; values are named by what put them. */
export function describe(operation: Operation): string {
  const { kind, instance, start, end, outcome, code } = operation;
  const version = versionOf(operation);
  const what = `${kind}${version === undefined ? '' : ` ${version}`} at ${instance}`;
  const ended = Number.isFinite(end) ? end.toFixed(0) : '…';
  return `${what} [${start.toFixed(0)}, ${ended}] ${code ?? outcome}`;
}
