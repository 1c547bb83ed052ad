import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';

/** So many of what is here are looked at in one turn. */
const TURN = 2_000;

/** All entries, by key; what else the process has to do comes in between. */
export async function* inTurns(replica: ReplicaLike): AsyncGenerator<[Uint8Array, ReplicaEntry][]> {
  for (let after: Uint8Array | undefined; ; ) {
    const turn: [Uint8Array, ReplicaEntry][] = [];
    for (const [key, entry] of replica.entries(after)) {
      turn.push([Buffer.from(key), entry]);
      if (turn.length === TURN) break;
    }
    yield turn;
    if (turn.length < TURN) return;
    after = turn.at(-1)?.[0];
    await nextTurn();
  }
}
