import { type BackendAddress, isSubjectPrefix, isSubjectToken } from '@coffer/wasmcloud';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';

/** Which backend is meant, by the options of secrets-nats-kv. */
export interface AddressOptions {
  readonly subjectBase?: string;
  readonly name?: string;
  readonly natsQueueBase?: string;
}

export const DEFAULT_NAME = 'nats-kv';
export const DEFAULT_PREFIX = 'wasmcloud.secrets';
const DEFAULT_QUEUE_BASE = 'wasmcloud_secrets';

/** Where the backend that is meant listens. */
export function addressOf({ subjectBase, name = DEFAULT_NAME }: AddressOptions): Required<BackendAddress> {
  const prefix = subjectBase ?? DEFAULT_PREFIX;
  if (!isSubjectPrefix(prefix)) {
    throw new Failure(
      `invalid --subject-base ${quote(prefix)}: write words with dots between them, such as wasmcloud.secrets`,
    );
  }
  if (!isSubjectToken(name)) {
    throw new Failure(
      `invalid --name ${quote(name)}: write one word without dots and wildcards, such as nats-kv`,
    );
  }
  return { prefix, name };
}

/** Instances of one group share the requests; secrets-nats-kv's is called the same. */
export function queueGroupOf({ natsQueueBase, name = DEFAULT_NAME }: AddressOptions): string {
  const base = natsQueueBase ?? DEFAULT_QUEUE_BASE;
  if (!isSubjectPrefix(base)) {
    throw new Failure(`invalid --nats-queue-base ${quote(base)}: it has no spaces and no wildcards`);
  }
  return `${base}.${name}`;
}

/**
 * Those in which a backend of this name may serve: coffer's own store as {@link queueGroupOf}, any other by its own prefix, unless it is
 * the store under a name of its own. Of the usual name there is one alone: in two groups each request would be done twice.
 */
export function queueGroupsOf(options: AddressOptions): readonly string[] {
  const { prefix, name } = addressOf(options);
  const stated = queueGroupOf(options);
  const mayLieElsewhere = options.natsQueueBase === undefined && name !== DEFAULT_NAME;
  return mayLieElsewhere ? [stated, `${prefix}.${name}`] : [stated];
}
