import {
  type AccountResolver,
  type ChainKind,
  createKeyPair,
  encodeJwt,
  encodeWascap,
  type IssuedMemory,
  type KeyPair,
  type MemoryRevocations,
  memoryIssued,
  memoryResolver,
  memoryRevocations,
  newAccount,
  newOperator,
  newUser,
  Verifier,
  type VerifierOptions,
} from '../src/index.js';

/** When the tests' tokens are issued, unless they say otherwise. */
export const NOW = 1_800_000_000;

type Nats = Readonly<Record<string, unknown>>;

interface Told {
  readonly iat?: number;
  readonly exp?: number;
  readonly nbf?: number;
  readonly name?: string;
}

/** An operator, an account, and what they sign, on a clock that stands still until a test moves it. */
export class World {
  readonly operator = createKeyPair('operator');
  readonly operatorSigner = createKeyPair('operator');
  readonly account = createKeyPair('account');
  readonly signer = createKeyPair('account');
  readonly scoped = createKeyPair('account');
  readonly user = createKeyPair('user');
  /** Seconds since 1970. */
  now = NOW;
  operators: string[] = [];
  readonly resolver = memoryResolver();
  readonly issued: IssuedMemory = memoryIssued();
  readonly revocations: MemoryRevocations = memoryRevocations();

  /** With an operator and an account that have a signing key each; the account's scoped one is of the role `reader`. */
  constructor() {
    this.operators = [this.operatorToken()];
    this.resolver.put(this.accountToken());
  }

  operatorToken(
    nats: Nats = {},
    { signer = this.operator, ...told }: Told & { signer?: KeyPair } = {},
  ): string {
    const claims = newOperator(this.operator.publicKey, 'O');
    return this.#sign(claims, { signing_keys: [this.operatorSigner.publicKey], ...nats }, signer, told);
  }

  accountToken(nats: Nats = {}, options: Told & { signer?: KeyPair; of?: KeyPair } = {}): string {
    const { signer = this.operatorSigner, of = this.account, ...told } = options;
    const signing_keys = [this.signer.publicKey, this.scope()];
    return this.#sign(newAccount(of.publicKey, 'A'), { signing_keys, ...nats }, signer, told);
  }

  scope(template: Nats = {}) {
    const limits = { subs: -1, data: -1, payload: -1, pub: { allow: ['a.>'] } };
    return {
      kind: 'user_scope',
      key: this.scoped.publicKey,
      role: 'reader',
      template: { ...limits, ...template },
    };
  }

  /** Signed by a signing key unless told otherwise; `issuer_account` is set for signing keys. */
  userToken(nats: Nats = {}, options: Told & { signer?: KeyPair; of?: KeyPair } = {}): string {
    const { signer = this.signer, of = this.user, ...told } = options;
    const claims = newUser(of.publicKey, 'U', { scoped: signer === this.scoped });
    const issuer = signer === this.account ? {} : { issuer_account: this.account.publicKey };
    return this.#sign(claims, { ...issuer, ...nats }, signer, told);
  }

  wascapToken(sub: string, signer: KeyPair, { iat = this.now, exp, nbf, name = 'W' }: Told = {}): string {
    return encodeWascap({ sub, exp, nbf, wascap: { name } }, signer, { now: new Date(iat * 1000) });
  }

  verifier(options: Partial<VerifierOptions> = {}): Verifier {
    return new Verifier({
      operators: () => this.operators,
      resolver: this.resolver,
      issued: this.issued,
      revocations: this.revocations,
      now: () => new Date(this.now * 1000),
      ...options,
    });
  }

  #sign(
    claims: { readonly sub: string; readonly name?: string | undefined; readonly nats?: object },
    nats: Nats,
    signer: KeyPair,
    { iat = this.now, ...told }: Told,
  ): string {
    const whole = { ...claims, ...told, nats: { ...claims.nats, ...nats } };
    return encodeJwt(whole, signer, { now: new Date(iat * 1000) });
  }
}

export const ALL: readonly ChainKind[] = ['user', 'component', 'provider', 'host'];

/** A resolver whose answers wait until the test gives them. */
export class SlowResolver implements AccountResolver {
  readonly asked: {
    readonly account: string;
    readonly answer: (token?: string) => void;
    readonly fail: () => void;
  }[] = [];
  #changed: (account?: string) => void = () => {};

  lookup(account: string): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      this.asked.push({ account, answer: resolve, fail: () => reject(new Error('a value nobody may see')) });
    });
  }

  watch(changed: (account?: string) => void): () => void {
    this.#changed = changed;
    return () => {};
  }

  change(account?: string): void {
    this.#changed(account);
  }
}
