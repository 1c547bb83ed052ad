import { CofferError, inspectStore } from '@coffer/engine';
import { keyPairFromBytes } from '@coffer/identity';
import type { LookAnswer, LookRequest } from './store-look.js';

/** The process of {@link lookAtStore}: one request, one answer. */
process.once('message', async (request: LookRequest) => {
  const answer = await look(request);
  process.send?.(answer, () => process.disconnect());
});

async function look(request: LookRequest): Promise<LookAnswer> {
  try {
    const createSigner = (seed: Uint8Array) => keyPairFromBytes('server', seed);
    return { state: await inspectStore({ ...request, createSigner }) };
  } catch (error) {
    const { message } = error as Error;
    return { code: error instanceof CofferError ? error.code : 'io', message };
  }
}
