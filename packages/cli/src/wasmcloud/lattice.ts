import {
  type AccountClaims,
  ActivationLedger,
  encodeJwt,
  exportOf,
  importOf,
  newActivation,
  type StoreContext,
  saveAccount,
  userSigner,
  withExport,
  withImport,
} from '@coffer/identity';
import type { BackendAddress } from '@coffer/wasmcloud';
import { Failure } from '../failure.js';
import type { Report } from '../identity/workplace.js';
import { quote } from '../quote.js';
import { subjectsOfHosts } from './roles.js';

/**
 * Lets a lattice in another account ask backends: exports what hosts publish to as private services, and imports it there with
 * an activation token, sharing who asks. What is so already stays.
 */
export function openToLattice(
  context: StoreContext,
  wanted: {
    readonly from: string;
    readonly to: string;
    readonly addresses: readonly Required<BackendAddress>[];
    readonly key: string | undefined;
    readonly report: Report;
  },
): void {
  const { from, to, addresses, key, report } = wanted;
  const { store } = context;
  const subjects = addresses.flatMap(subjectsOfHosts);
  const [exporter, importer] = [store.account(from).claims, store.account(to).claims];
  if (exporter.sub === importer.sub) {
    throw new Failure(
      `the account ${quote(to)} is that of the secrets itself: its hosts come with the role "host"`,
    );
  }
  const unexported = subjects.filter(
    (subject) => !exporter.nats.exports?.some((one) => one.subject === subject),
  );
  if (unexported.length > 0) {
    const exporting = (claims: AccountClaims, subject: string) =>
      withExport(claims, exportOf({ subject, service: true, private: true }));
    saveAccount(context, from, unexported.reduce(exporting, exporter), { key, before: exporter.iss });
    report.ok(
      `account ${quote(from)} exports ${unexported.join(' and ')}, to those with an activation token`,
    );
    report.settle();
  }
  const isImported = (subject: string) =>
    importer.nats.imports?.some((one) => one.account === exporter.sub && one.subject === subject);
  const unimported = subjects.filter((subject) => !isImported(subject));
  if (unimported.length === 0) return;
  const importing = (claims: AccountClaims, subject: string) => {
    const token = activation(context, exporter, { subject, target: importer.sub });
    return withImport(claims, importOf({ from: { token }, share: true }, importer.sub));
  };
  saveAccount(context, to, unimported.reduce(importing, importer), { key, before: importer.iss });
  report.ok(`account ${quote(to)} imports ${unimported.join(' and ')}`);
  report.settle();
}

function activation(
  { store, keys }: StoreContext,
  exporter: AccountClaims,
  { subject, target }: { readonly subject: string; readonly target: string },
): string {
  using signer = userSigner(store.operator().claims, exporter, keys);
  if (signer.scope !== undefined) {
    throw new Failure(
      `a key with a role signs no activation, and no other key of ${quote(exporter.name ?? '')} is here: put its seed back`,
    );
  }
  const plain = newActivation(target, { name: subject, on: subject, kind: 'service' });
  const issuer = signer.pair.publicKey === exporter.sub ? {} : { issuer_account: exporter.sub };
  const token = encodeJwt({ ...plain, nats: { ...plain.nats, ...issuer } }, signer.pair);
  new ActivationLedger(keys.folder).note(token);
  return token;
}
