import type { Address } from '../address.js';
import { CofferClientError } from '../errors.js';

/** The connection failed. `reached`: the server may have got the request, and done what it says. */
export class ConnectionFailure extends Error {
  readonly reached: boolean;

  constructor(cause: Error, reached: boolean) {
    super(cause.message, { cause });
    this.reached = reached;
  }

  /** The code of node's error. */
  get code(): string {
    return (this.cause as NodeJS.ErrnoException).code ?? '';
  }

  /** That the certificate is bad, or that this is no HTTP: no repetition helps. An alert is the server's, of our certificate. */
  get lasts(): boolean {
    return (
      /^HPE_|CERT|UNABLE_TO_|ISSUER|CRL|HOSTNAME_MISMATCH/.test(this.code) && !this.code.includes('ALERT')
    );
  }
}

/** What an error while a request is sent, or its answer read, is to those who may send it again. */
export const failure = (error: unknown, reached: boolean): Error =>
  error instanceof CofferClientError ? error : new ConnectionFailure(error as Error, reached);

/** What the caller is told of it. */
export async function toldOf(error: Error, address: Address): Promise<Error> {
  if (!(error instanceof ConnectionFailure)) return error;
  const { unreachable } = await import('./unreachable.js');
  return unreachable(error, address);
}

export function clientClosed(): CofferClientError {
  return new CofferClientError('closed', 'the client is closed');
}
