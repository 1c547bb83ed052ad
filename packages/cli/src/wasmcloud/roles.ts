import type { UserPermissionLimits } from '@coffer/identity';
import { type BackendAddress, operationSubject, subjectBase } from '@coffer/wasmcloud';

/**
 * Who may do what on the subjects of a backend. A component's token lies in its `.wasm` for all to copy: what keeps strangers
 * from using it is that only hosts may publish there, and only backends may listen.
 */
export interface Role {
  readonly name: 'host' | 'admin' | 'backend';
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** May answer requests, once each. */
  readonly answers: boolean;
}

/**
 * Answers come to inboxes under a prefix that hosts cannot be told to change: a host may listen to what others are answered,
 * which is sealed to them.
 */
const INBOXES = '_INBOX.>';
export const ANSWER_SECONDS = 60;

export function rolesOf(address: Required<BackendAddress>, queueGroup: string): readonly Role[] {
  const get = [operationSubject(address, 'get'), operationSubject(address, 'server_xkey')];
  const administer = [
    operationSubject(address, 'put_secret'),
    operationSubject(address, 'get_secret'),
    operationSubject(address, 'add_mapping', '*'),
    operationSubject(address, 'remove_mapping', '*'),
    operationSubject(address, 'list_mappings'),
    operationSubject(address, 'list_mappings', '*'),
  ];
  return [
    { name: 'host', publish: get, subscribe: [INBOXES], answers: false },
    { name: 'admin', publish: [...get, ...administer], subscribe: [INBOXES], answers: false },
    { name: 'backend', publish: [], subscribe: [`${subjectBase(address)}.> ${queueGroup}`], answers: true },
  ];
}

/** What a role may, as tokens of NATS say it; whatever is not listed it may not. */
export function templateOf({ publish, subscribe, answers }: Role): UserPermissionLimits {
  return {
    pub: publish.length > 0 ? { allow: [...publish].sort() } : {},
    sub: { allow: [...subscribe].sort() },
    // With this and without a list, nothing else may be published.
    ...(answers && { resp: { max: 1, ttl: ANSWER_SECONDS * 1_000_000_000 } }),
    subs: -1,
    data: -1,
    payload: -1,
  };
}
