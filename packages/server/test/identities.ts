import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AccountClaims,
  createKeyPair,
  createProof,
  encodeJwt,
  type KeyPair,
  newAccount,
  newOperator,
  newUser,
  type OperatorClaims,
  type UserClaims,
} from '@coffer/identity';
import { onTestFinished } from 'vitest';
import type { RunningServer } from '../src/index.js';
import { type Answer, SETEC_HEADERS, type Sent, send, startTestServer, temporaryFolder } from './support.js';

/** A user with its key, and the creds to prove itself. */
export class User {
  readonly name: string;
  readonly account: Account;
  readonly keys: KeyPair;
  jwt = '';

  constructor(account: Account, name: string, keys = newKeys('user')) {
    this.account = account;
    this.name = name;
    this.keys = keys;
  }

  get principal(): string {
    return `nats:${this.account.keys.publicKey}/${this.keys.publicKey}`;
  }

  /** @param claims what else the token says; `signer` in place of the account's signing key */
  issue(claims: UserIssue = {}): this {
    const { signer = this.account.signingKeys, scoped = false, nats = {}, now, ...rest } = claims;
    const own = signer.publicKey === this.account.keys.publicKey;
    const base = newUser(this.keys.publicKey, this.name, { scoped });
    const issuer = own ? {} : { issuer_account: this.account.keys.publicKey };
    this.jwt = encodeJwt(
      { ...base, ...rest, nats: { ...base.nats, ...issuer, ...nats } },
      signer,
      now && { now },
    );
    return this;
  }
}

type UserIssue = {
  readonly nats?: Partial<UserClaims['nats']>;
  readonly exp?: number;
  readonly nbf?: number;
  readonly signer?: KeyPair;
  /** The signer has a scope. */
  readonly scoped?: boolean;
  readonly now?: Date;
};

export class Account {
  readonly name: string;
  readonly operator: Operator;
  readonly keys = newKeys('account');
  readonly signingKeys = newKeys('account');

  constructor(operator: Operator, name: string) {
    this.operator = operator;
    this.name = name;
    this.save();
  }

  user(name: string, claims: UserIssue = {}): User {
    return new User(this, name).issue(claims);
  }

  /** Signs the account's token, in place of the one before. */
  save(
    nats: Partial<AccountClaims['nats']> = {},
    { signer = this.operator.signingKeys, now }: { signer?: KeyPair; now?: Date } = {},
  ): string {
    const base = newAccount(this.keys.publicKey, this.name);
    const token = encodeJwt(
      { ...base, nats: { ...base.nats, signing_keys: [this.signingKeys.publicKey], ...nats } },
      signer,
      now && { now },
    );
    this.put(token);
    return token;
  }

  /** Puts a token into the store, whatever it is. */
  put(token: string): void {
    const folder = join(this.operator.folder, 'accounts', this.name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${this.name}.jwt`), token);
  }
}

/** An operator with the folder that nsc keeps for it. */
export class Operator {
  readonly name: string;
  readonly folder: string;
  readonly keys = newKeys('operator');
  readonly signingKeys = newKeys('operator');

  constructor(stores: string, name = 'O') {
    this.name = name;
    this.folder = join(stores, name);
    mkdirSync(join(this.folder, 'accounts'), { recursive: true });
    this.save();
  }

  get path(): string {
    return join(this.folder, `${this.name}.jwt`);
  }

  account(name: string): Account {
    return new Account(this, name);
  }

  save(nats: Partial<OperatorClaims['nats']> = {}, { now }: { now?: Date } = {}): string {
    const base = newOperator(this.keys.publicKey, this.name);
    const token = encodeJwt(
      { ...base, nats: { ...base.nats, signing_keys: [this.signingKeys.publicKey], ...nats } },
      this.keys,
      now && { now },
    );
    writeFileSync(this.path, token);
    return token;
  }

  remove(): void {
    rmSync(this.path);
  }
}

function newKeys(kind: 'operator' | 'account' | 'user'): KeyPair {
  const keys = createKeyPair(kind);
  onTestFinished(() => keys.wipe());
  return keys;
}

/** A minute ago: what a test signs later is newer. */
export const EARLIER = new Date(Date.now() - 60_000);

/** Trust in the operator of a folder, for a configuration. */
export const trusting = (store: string) => ({
  operators: [],
  accounts: [],
  resolver: { store },
  audiences: [],
  clockSkewSeconds: 5,
  maxAgeSeconds: 300,
});

/** An operator with an account, and a server that trusts them. */
export async function startTrustingServer(
  changes: Parameters<typeof startTestServer>[0] = {},
  options: Parameters<typeof startTestServer>[1] = {},
): Promise<{ server: RunningServer; operator: Operator; account: Account }> {
  const operator = new Operator(await temporaryFolder());
  operator.save({}, { now: EARLIER });
  const account = operator.account('A');
  account.save({}, { now: EARLIER });
  const server = await startTestServer({ dev: false, trust: trusting(operator.folder), ...changes }, options);
  return { server, operator, account };
}

export interface ProofChanges {
  readonly audience?: string;
  readonly id?: string;
  readonly expiresIn?: number;
  readonly now?: Date;
}

export const proofOf = (
  { jwt, keys }: Pick<User, 'jwt' | 'keys'>,
  server: Pick<RunningServer, 'url'>,
  changes: ProofChanges = {},
  request?: { readonly method: string; readonly path: string; readonly body: string | Buffer },
): string =>
  createProof({
    jwt,
    keyPair: keys,
    audience: server.url,
    ...changes,
    ...(request && { request: { ...request, body: Buffer.from(request.body) } }),
  });

/** One request with this proof. */
export function sendProof(
  server: RunningServer,
  proof: string,
  path: string,
  { headers, ...sent }: Sent = {},
): Promise<Answer> {
  return send(server, path, {
    ...sent,
    headers: { ...SETEC_HEADERS, Authorization: `Bearer ${proof}`, ...headers },
  });
}

/** Reads as a user does: with a proof that is bound to no request. */
export const read = (server: RunningServer, user: User, path: string, sent: Sent = {}): Promise<Answer> =>
  sendProof(server, proofOf(user, server), path, sent);

/** Changes as a user does: with a proof of this one request. */
export function change(
  server: RunningServer,
  user: User,
  path: string,
  content: unknown,
  changes: ProofChanges = {},
): Promise<Answer> {
  const body = JSON.stringify(content);
  const proof = proofOf(user, server, changes, { method: 'POST', path, body });
  return sendProof(server, proof, path, { method: 'POST', body });
}

/** Applies a policy over the admin socket. */
export async function grant(server: RunningServer, ...grants: object[]): Promise<void> {
  const body = JSON.stringify({ grants });
  const sent = { method: 'POST', headers: SETEC_HEADERS, body, socket: true };
  const { status, body: said } = await send(server, '/api/admin/policy', sent);
  if (status !== 200) throw new Error(said);
}

export const everything = (...users: User[]) => ({
  to: users.map(({ principal }) => principal),
  actions: ['get', 'info', 'put', 'create-version', 'activate', 'delete', 'admin'],
  secrets: ['*'],
});
