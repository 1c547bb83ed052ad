/** A certificate and its private key, both PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  /** SHA-256, as OpenSSL writes it. */
  readonly fingerprint: string;
}

/** A certificate authority for one test, made on the spot: no certificate lies in the repository to grow old there. */
export class Authority {
  /** What clients have to trust: PEM. */
  readonly cert: string;
  /** Default: for `localhost` and 127.0.0.1, valid from yesterday for 30 days. The key is one of P-256. */
  issue(what?: {
    readonly names?: readonly string[];
    /** IPv4. */
    readonly addresses?: readonly string[];
    readonly validFrom?: Date;
    readonly validTo?: Date;
  }): Issued;
}
