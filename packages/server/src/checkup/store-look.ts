import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CofferError, type ErrorCode, type InspectStoreOptions, type StoreState } from '@coffer/engine';

export type LookRequest = Omit<InspectStoreOptions, 'createSigner'>;

/** What the child process answers. */
export type LookAnswer =
  | { readonly state: StoreState | undefined }
  | { readonly code: ErrorCode; readonly message: string };

/** The same file seen from the sources and from what they are built to. */
const CHILD = fileURLToPath(new URL('../../dist/checkup/store-child.js', import.meta.url));

/**
 * Looks into a store in a process of its own: LMDB maps the file into memory and believes it, so that one which is damaged
 * inside may end the process that reads it.
 *
 * @throws CofferError as `inspectStore`; `tampered` if the process was ended so
 */
export function lookAtStore(request: LookRequest): Promise<StoreState | undefined> {
  const child = fork(CHILD, { execArgv: [], serialization: 'advanced', stdio: 'ignore' });
  return new Promise((resolve, reject) => {
    child.once('message', (answer: LookAnswer) => {
      if ('message' in answer) reject(new CofferError(answer.code, answer.message));
      else resolve(answer.state);
    });
    child.once('error', reject);
    child.once('close', (code, signal) =>
      reject(endedEarly(request.stateDir, signal ?? `exit code ${code}`)),
    );
    child.send(request);
  });
}

function endedEarly(stateDir: string, how: string): CofferError {
  return new CofferError(
    'tampered',
    `the store in ${stateDir} is damaged: to read it ended the process that tried (${how}); restore it from a backup`,
  );
}
