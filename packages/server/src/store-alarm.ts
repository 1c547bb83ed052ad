import type { Engine, StorageAlarm } from '@coffer/engine';
import type { Logger } from 'pino';

import { LAZY } from './http/readiness.js';

/**
 * Tells the log of the alarm of a shared store when it is raised, of one that is there already, and when it is lifted.
 *
 * @returns a function that ends it
 */
export function tellAlarm(engine: Pick<Engine, 'sharedHealth' | 'onStoreAlarm'>, log: Logger): () => void {
  let told: StorageAlarm | undefined;
  const look = () => {
    const { alarm, instance } = engine.sharedHealth ?? {};
    if (alarm?.kind === told?.kind && alarm?.instance === told?.instance) return;
    told = alarm;
    if (!alarm) {
      log.info('the alarm of the store is lifted: it takes changes again');
      return;
    }
    const who = alarm.instance === instance ? 'this instance' : `instance ${alarm.instance}`;
    log.error(
      { alarm: alarm.kind, raisedBy: alarm.instance, at: alarm.at, reason: alarm.message },
      `${who} has raised the alarm, and no instance takes changes: look at the NATS servers, then run ` +
        '“coffer storage heal --dry-run”, which says what a heal would do',
    );
  };
  look();
  return engine.onStoreAlarm(look);
}

/** Tells the log once, at the start, of a store that does not keep all that it acknowledges. */
export function tellSync(engine: Pick<Engine, 'sharedHealth'>, log: Logger): void {
  if (engine.sharedHealth?.sync === 'lazy') log.warn(LAZY);
}
