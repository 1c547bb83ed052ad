import {
  type Checkpoint,
  checkpointMessage,
  type Retirement,
  retirementMessage,
  type Signer,
} from './signer.js';

/** What the log writes on its own: the fields behind `id`, `time`, `seq`, `prev` and `instance`, without the opening brace. */

/** Who these entries are by. */
const SERVER = { id: 'server', kind: 'server', user: 'server' } as const;

/** Whose log it is. */
export interface Owner {
  readonly storeId: string;
  readonly signer: Signer;
}

export function ownLine(action: string, fields: object, authorized = true): string {
  return JSON.stringify({ principal: SERVER, action, authorized, ...fields }).slice(1);
}

export function checkpointLine(owner: Owner, checkpoint: Checkpoint): string {
  const { openSince, generation, revision, delivered } = checkpoint;
  const signature = signCheckpoint(owner, checkpoint);
  return ownLine('checkpoint', {
    ...signedBy(owner),
    openSince,
    generation,
    revision,
    delivered,
    signature,
  });
}

/** Base64. A signature of Ed25519 is the same each time, so that to make it again is to check it. */
export const signCheckpoint = ({ storeId, signer }: Owner, checkpoint: Checkpoint): string =>
  Buffer.from(signer.sign(checkpointMessage(storeId, checkpoint))).toString('base64');

export function retirementLine(owner: Owner, retirement: Retirement): string {
  const { storeId, signer } = owner;
  const { upTo, upToHash } = retirement;
  const signature = Buffer.from(signer.sign(retirementMessage(storeId, retirement))).toString('base64');
  return ownLine('retire', { ...signedBy(owner), upTo, upToHash, signature });
}

const signedBy = ({ storeId, signer }: Owner) => ({ store: storeId, key: signer.publicKey });
