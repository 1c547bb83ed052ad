import {
  decodeWascap,
  IdentityError,
  looksLikeWascap,
  type WascapClaims,
  type WascapKind,
  wascapKindOf,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { print, printJson, table } from '../output.js';
import { displayName } from '../quote.js';
import { readSigned, type SignedFile } from './signed-file.js';

/** `coffer wasmcloud inspect`: who a component, a provider, or whatever a token is about, says it is, and whether that is so. */
export async function inspect(operand: string, { json }: { readonly json?: boolean }): Promise<void> {
  const seen = look(await readSigned(operand), new Date());
  if (json) await printJson(seen);
  else await print(table(rowsOf(seen).map(([label, text]) => [label, ` ${displayName(text)}`])));
  if (seen.signature === 'wrong') {
    throw new Failure(
      'the signature is not that of the issuer: the token is forged or damaged, and no host or backend takes it',
    );
  }
  if (seen.content === 'changed') {
    throw new Failure('the file is not the one that was signed: hosts refuse it; build and sign it again');
  }
}

interface Seen {
  readonly form: SignedFile['form'];
  readonly kind: WascapKind;
  readonly subject: string;
  readonly name?: string;
  readonly issuer: string;
  readonly id: string;
  readonly issuedAt: string;
  readonly notBefore?: string;
  readonly expiresAt?: string;
  readonly time: 'in time' | 'expired' | 'not valid yet';
  readonly vendor?: string;
  readonly version?: string;
  readonly revision?: number;
  readonly tags?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly signingKeys?: readonly string[];
  readonly targets?: readonly string[];
  readonly signature: 'right' | 'wrong';
  /** Whether the file is the one that was signed; not of bare tokens, of tokens too old to say it, nor where there is no program. */
  readonly content?: 'as signed' | 'changed';
  /** What grants name, of components and providers: under the issuer, and where trust is self-issued. */
  readonly principal?: string;
  readonly selfIssuedPrincipal?: string;
}

function look(file: SignedFile, now: Date): Seen {
  const { kind, claims, signature } = read(file.token);
  const { sub: subject, iss: issuer, jti: id, iat, exp, nbf } = claims;
  const { name, tags, labels, valid_signers: signers, vendor, ver, rev } = claims.wascap ?? {};
  const isEntity = kind === 'component' || kind === 'provider';
  return {
    form: file.form,
    kind,
    subject,
    ...given({ name: textOr(name) }),
    issuer,
    id,
    issuedAt: timeText(iat),
    ...given({
      notBefore: nbf == null ? undefined : timeText(nbf),
      expiresAt: exp == null ? undefined : timeText(exp),
    }),
    time:
      exp != null && exp * 1000 <= now.getTime()
        ? 'expired'
        : nbf != null && nbf * 1000 > now.getTime()
          ? 'not valid yet'
          : 'in time',
    ...given({
      vendor: textOr(vendor),
      version: textOr(ver),
      revision: typeof rev === 'number' ? rev : undefined,
      tags: tags?.length ? tags : undefined,
      labels: labels ?? undefined,
      signingKeys: signers ?? undefined,
      targets: file.form === 'archive' ? [...file.targets.keys()].sort() : undefined,
    }),
    signature,
    ...given({ content: contentOf(file, claims) }),
    ...(isEntity && {
      principal: `${kind}:${issuer}/${subject}`,
      selfIssuedPrincipal: `${kind}:self-issued/${subject}`,
    }),
  };
}

/** A token that is wrongly signed is shown, too: to find out whose it claims to be is what this is for. */
function read(text: string): { kind: WascapKind; claims: WascapClaims; signature: 'right' | 'wrong' } {
  if (!looksLikeWascap(text)) {
    const isToken = /^eyJ/.test(text);
    throw new Failure(
      isToken
        ? 'this is no token of wasmCloud’s; if it is one of NATS, "coffer identity describe jwt" shows it'
        : 'what stands in the place of the token is none: the file is damaged',
    );
  }
  try {
    return { ...decodeWascap(text), signature: 'right' };
  } catch (error) {
    if (!(error instanceof IdentityError) || error.code !== 'bad_signature') throw error;
    // Its form was found right before its signature was looked at.
    const claims = JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString()) as WascapClaims;
    return { kind: wascapKindOf(claims.sub), claims, signature: 'wrong' };
  }
}

/** From this on a token's hash is of the file as it is here; hosts do not look at older ones. */
const REVISION_WITH_HASH = 3;

function contentOf(file: SignedFile, { wascap, wascap_revision: revision }: WascapClaims): Seen['content'] {
  if (file.form === 'token') return undefined;
  if (file.form === 'archive') {
    const hashes = (wascap?.target_hashes ?? {}) as Readonly<Record<string, unknown>>;
    const targets = new Set([...Object.keys(hashes), ...file.targets.keys()]);
    if (targets.size === 0) return undefined;
    const isSame = (target: string) =>
      Object.hasOwn(hashes, target) && hashes[target] === file.targets.get(target);
    return [...targets].every(isSame) ? 'as signed' : 'changed';
  }
  if (wascap?.hash === file.hash) return 'as signed';
  return (revision ?? 0) < REVISION_WITH_HASH ? undefined : 'changed';
}

function rowsOf(seen: Seen): [string, string][] {
  const { principal, selfIssuedPrincipal, labels, signingKeys } = seen;
  const rows: [string, string | undefined][] = [
    ['Kind:', `${seen.kind}${seen.form === 'token' ? '' : `, in ${IN[seen.form]}`}`],
    ['Key:', seen.subject],
    ['Name:', seen.name],
    ['Vendor:', seen.vendor],
    ['Version:', versionText(seen)],
    ['Tags:', seen.tags?.join(', ')],
    [
      'Labels:',
      labels &&
        Object.entries(labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(', '),
    ],
    ['Targets:', seen.targets?.join(', ')],
    ['Issuer:', seen.issuer],
    ['Signing keys:', signingKeys?.join(', ')],
    ['Token:', `${seen.id}, of ${seen.issuedAt}`],
    ['Valid from:', seen.notBefore],
    ['Expires:', seen.expiresAt ?? 'never'],
    ['Time:', seen.time === 'in time' ? undefined : seen.time],
    ['Signature:', seen.signature === 'right' ? 'that of the issuer' : 'WRONG'],
    ['Content:', seen.content],
    ['Principal:', principal && `${principal}, if that account is trusted`],
    ['', principal && 'where the issuer is a signing key: with the account’s own key in its place'],
    ['', selfIssuedPrincipal && `${selfIssuedPrincipal}, with trust: self-issued`],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== undefined);
}

const IN: Readonly<Record<string, string>> = {
  module: 'a WebAssembly module',
  component: 'a WebAssembly component',
  archive: 'a provider archive',
};

function versionText({ version, revision }: Seen): string | undefined {
  if (version === undefined) return revision === undefined ? undefined : `revision ${revision}`;
  return revision === undefined ? version : `${version}, revision ${revision}`;
}

const textOr = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
const timeText = (seconds: number): string => {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? `${seconds} s after 1970` : time.toISOString().replace('.000Z', 'Z');
};
const given = <T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
