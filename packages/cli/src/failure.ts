/**
 * Ends a command: its message is the one line that the user reads, after `coffer: `. It says what to do, and never
 * holds a secret or a token.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The server did not take who the user is: what to do hangs on how the user said it. */
export class Unidentified extends Failure {}

/** Ends a command without a word, with the exit code of the program that it ran. */
export class Ending extends Error {
  override readonly name = 'Ending';
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`ended with ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** What the command line adds to the client's sentences: how to do here what they advise. */
const HINTS: Record<string, string> = {
  unreachable:
    '; -s URL or COFFER_SERVER names another server, -s unix:DIR/admin.sock the one with that state folder, and "coffer server --dev" ' +
    'starts one for a trial',
  unavailable: '; "coffer storage status" shows administrators what is wrong',
  untrusted_server: '; use --ca FILE',
  access_denied: '; "coffer whoami" shows your rights',
};

/**
 * Runs a call to the server; when it is refused, the failure begins with `what` and ends with a hint.
 *
 * @param hints of this call, by the code of the refusal
 */
export async function during<T>(
  what: string,
  call: Promise<T>,
  hints: Readonly<Record<string, string>> = {},
): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!isClientError(error)) throw error;
    const message = `${what}: ${forCommandLine(error)}${hints[error.code] ?? HINTS[error.code] ?? ''}`;
    throw error.code === 'unauthenticated' ? new Unidentified(message) : new Failure(message);
  }
}

/** What is advised to programs, the command line advises in its own words. */
export const forCommandLine = ({ message }: Error): string =>
  message.replace(/(no credential was given): .*/, '$1');

/** By name and not by class: to load the client's package for this would slow every command. */
export function isClientError(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && error.name === 'CofferClientError' && 'code' in error;
}

/** Errors whose message is already the sentence that the user needs; all others are our own mistakes. */
export function isForPeople(error: unknown): error is Error {
  return (
    error instanceof Failure ||
    isClientError(error) ||
    (error instanceof Error && (error.name === 'CofferError' || error.name === 'IdentityError'))
  );
}

/** The message of a failed system call, in words: no `ENOENT: …, open '…'`. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? code ?? message;
}

const REASONS: Record<string, string> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is no folder',
  ENOSPC: 'no space left on the device',
  EFBIG: 'the file is too large',
  EEXIST: 'it exists already',
};
