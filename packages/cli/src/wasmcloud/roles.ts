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
/** A backend asks nobody but the NATS server, in which account it is, and hears nothing else in its inboxes. */
const OWN_INBOXES = '_INBOX_coffer.>';
const WHO_AM_I = '$SYS.REQ.USER.INFO';
export const ANSWER_SECONDS = 60;
/** How clients connect, in the words of nats-server. */
export const STANDARD = 'STANDARD';

/** A backend, and the queue groups in which it may serve. */
export interface Served {
  readonly address: Required<BackendAddress>;
  readonly queueGroups: readonly string[];
}

export function rolesOf(backends: readonly Served[]): readonly Role[] {
  const get = backends.flatMap(({ address }) => subjectsOfHosts(address));
  const administer = backends.flatMap(({ address }) => [
    operationSubject(address, 'put_secret'),
    operationSubject(address, 'get_secret'),
    operationSubject(address, 'add_mapping', '*'),
    operationSubject(address, 'remove_mapping', '*'),
    operationSubject(address, 'list_mappings'),
    operationSubject(address, 'list_mappings', '*'),
  ]);
  const serve = backends.flatMap(({ address, queueGroups }) =>
    queueGroups.map((group) => `${subjectBase(address)}.> ${group}`),
  );
  return [
    { name: 'host', publish: get, subscribe: [INBOXES], answers: false },
    { name: 'admin', publish: [...get, ...administer], subscribe: [INBOXES], answers: false },
    {
      name: 'backend',
      publish: [WHO_AM_I],
      subscribe: [...serve, OWN_INBOXES],
      answers: true,
    },
  ];
}

/** What a host publishes to. */
export const subjectsOfHosts = (address: Required<BackendAddress>): readonly string[] => [
  operationSubject(address, 'get'),
  operationSubject(address, 'server_xkey'),
];

/** What a role may, as tokens of NATS say it; whatever is not listed it may not. */
export function templateOf({ name, publish, subscribe, answers }: Role): UserPermissionLimits {
  return {
    pub: publish.length > 0 ? { allow: [...publish].sort() } : {},
    sub: { allow: [...subscribe].sort() },
    // Beside the list; with this and without a list, nothing else may be published.
    ...(answers && { resp: { max: 1, ttl: ANSWER_SECONDS * 1_000_000_000 } }),
    // None of them comes as a leaf node, which could say in another's name who asks; an administrator’s creds serve coffer’s HTTP, too.
    allowed_connection_types: name === 'admin' ? ['HTTP', STANDARD] : [STANDARD],
    subs: -1,
    data: -1,
    payload: -1,
  };
}
