import { randomInt } from 'node:crypto';
import { describe, expect, it, onTestFailed } from 'vitest';
import { unexplained } from './chaos/availability.js';
import { Deck } from './chaos/deck.js';
import { tooLittle } from './chaos/enough.js';
import { FAULTS } from './chaos/faults.js';
import { keepHistory } from './chaos/kept-history.js';
import { Nemesis } from './chaos/nemesis.js';
import { check, checkAudit } from './checker/check.js';
import { type FinalState, describe as inWords, isChange } from './checker/history.js';
import { Deployment } from './deployment.js';
import { randomFrom } from './random.js';
import { Workload } from './workload/workload.js';

/** In all; the long form is CHAOS_MINUTES=15. */
const MINUTES = Number(process.env.CHAOS_MINUTES ?? 2);
/** Of what is broken when, and of what the clients ask for; how it goes hangs on the machine, too. */
const SEED = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31));
const TIMEOUT = MINUTES * 60_000 + 600_000;
/** How long an instance may take to be as before when all is mended: elections, reconnections, catching up. */
const GRACE_MS = 20_000;
/** Clients see an answer later than it was true: no more than so long on this machine. */
const SLACK_MS = 0;

describe('nothing acknowledged is lost while servers and instances come and go', () => {
  // One for both, so that each kind of fault occurs in a run of two minutes.
  const deck = new Deck(FAULTS, randomFrom(SEED));

  it.each([
    { stale: 'refuse', share: 0.6 },
    { stale: 'allow', share: 0.4 },
  ])('with stale: $stale', { timeout: TIMEOUT }, async ({ stale, share }) => {
    console.info(`CHAOS_SEED=${SEED}`);
    await using deployment = await Deployment.start({ storage: { stale } });
    const options = { secrets: 60, clients: 8, restMs: 30, token: deployment.token, seed: SEED };
    const workload = new Workload({ ...options, places: deployment.places });
    const nemesis = new Nemesis(deployment, deck, randomFrom(SEED));
    const { operations } = workload;
    const { faults } = nemesis;
    let finals: FinalState[] = [];
    onTestFailed(() => {
      const file = keepHistory({ seed: SEED, faults, operations, finals }, `${SEED}-${stale}`);
      console.info(`what the clients were answered: ${file}`);
    });

    const began = performance.now();
    const end = began + MINUTES * share * 60_000;
    workload.start();
    await nemesis.run(() => performance.now() < end || (stale === 'allow' && deck.rounds === 0));
    await deployment.resume();
    await workload.stop();
    const seconds = (performance.now() - began) / 1_000;

    const answered = operations.filter(({ outcome }) => outcome === 'ok');
    console.info(
      `seed ${SEED}: ${faults.length} faults in ${seconds.toFixed(0)} s, ${operations.length} operations, ${answered.length} answered, ` +
        `${answered.filter(isChange).length} changes, ${operations.filter(({ outcome }) => outcome === 'unknown').length} in doubt`,
    );
    const [place, ...others] = deployment.places;
    if (!place) throw new Error('there is no instance');
    finals = await workload.read(place);
    for (const other of others) {
      await expect
        .poll(async () => {
          finals = await workload.read(place);
          return JSON.stringify(plain(finals)) === JSON.stringify(plain(await workload.read(other)));
        })
        .toBe(true);
    }
    workload.close();

    const broken = faults.map(({ what, start, end }) => `${what} [${start.toFixed(0)}, ${end.toFixed(0)}]`);
    const answersStale = stale === 'allow';
    const boundMs = answersStale ? Number.POSITIVE_INFINITY : 1_000 + SLACK_MS;
    expect(check({ operations, finals }, { boundMs }), broken.join('\n')).toEqual([]);
    const failed = unexplained(operations, faults, { graceMs: GRACE_MS, answersStale });
    expect(failed.map(inWords)).toEqual([]);
    const names = deployment.instances.map(({ name }) => name);
    expect(tooLittle(operations, names, seconds)).toEqual([]);

    // Each has the copies of all, whole: what was late has come.
    for (const name of names) {
      await expect.poll(() => auditOf(deployment, name)).toEqual({ late: false, chains: 3 });
    }
    await Promise.all(deployment.instances.map((instance) => instance.stop()));
    expect(checkAudit(operations, await deployment.auditLines())).toEqual([]);
  });
});

/** What `coffer audit verify` says at an instance; throws what is wrong. */
async function auditOf(deployment: Deployment, name: string): Promise<unknown> {
  const text = await deployment.admin(name, 'audit', 'verify');
  const chains = text.split('\n').filter((line) => /^ {2}[0-9a-f]{16} /.test(line)).length;
  return { late: /the last \d{3,} of this server/.test(text), chains };
}

const plain = (states: Awaited<ReturnType<Workload['read']>>) =>
  states.map(({ secret, active, versions }) => [secret, active, [...versions]]);
