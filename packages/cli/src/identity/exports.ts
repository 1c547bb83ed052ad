import { accountMeant, exportOf, saveAccount, withExport, withoutExport } from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import { parseGoDuration } from './flags.js';
import { changeStore, type StoreOptions } from './workplace.js';

/** `add export` and `delete export`. */

interface AccountOptions extends StoreOptions {
  readonly account?: string;
}

export interface AddExportOptions extends AccountOptions {
  readonly name?: string;
  readonly subject: string;
  readonly service?: boolean;
  readonly private?: boolean;
  readonly responseType?: string;
  readonly responseThreshold?: string;
  readonly latency?: string;
  readonly sampling?: string;
  readonly accountTokenPosition?: number;
  readonly advertise?: boolean;
  readonly description?: string;
  readonly infoUrl?: string;
}

export async function addExport(name: string | undefined, options: object): Promise<void> {
  const { account, privateKey: key, ...wanted } = options as AddExportOptions;
  const threshold = wanted.responseThreshold;
  const made = exportOf({
    ...wanted,
    name: name ?? wanted.name,
    responseThreshold:
      threshold === undefined ? undefined : parseGoDuration('--response-threshold', threshold),
    latency: latencyOf(wanted),
  });
  await changeStore(wanted, (context, report) => {
    const at = accountMeant(context, account);
    const { claims } = context.store.account(at);
    saveAccount(context, at, withExport(claims, made), { key, before: claims.iss });
    report.ok(`added ${made.token_req ? 'private' : 'public'} ${made.type} export ${quote(made.name ?? '')}`);
  });
}

export async function deleteExport(options: object): Promise<void> {
  const {
    account,
    privateKey: key,
    subject,
    ...folders
  } = options as AccountOptions & { readonly subject?: string };
  await changeStore(folders, (context, report) => {
    const at = accountMeant(context, account);
    const { claims } = context.store.account(at);
    const { claims: edited, removed } = withoutExport(claims, subject);
    saveAccount(context, at, edited, { key, before: claims.iss });
    report.ok(`deleted ${removed.type} export ${quote(removed.subject ?? '')}`);
  });
}

function latencyOf({ latency, sampling }: AddExportOptions) {
  if (latency === undefined) {
    if (sampling === undefined) return undefined;
    throw new Failure('--sampling is about --latency: say where latencies are published, too');
  }
  if (sampling === undefined || sampling.toLowerCase() === 'headers')
    return { results: latency, sampling: 0 };
  if (/^\d{1,3}$/.test(sampling) && Number(sampling) >= 1)
    return { results: latency, sampling: Number(sampling) };
  throw new Failure(`invalid --sampling ${quote(sampling)}: write 1 to 100, or headers`);
}
