import type { Engine, StorageAlarm } from '@coffer/engine';
import type { Logger } from 'pino';

import { LAZY } from './http/readiness.js';

/**
 * Tells the log of the alarm of a shared store when it is raised, of one that is there already, of a heal, and when changes are taken
 * again.
 *
 * @returns a function that ends it
 */
export function tellAlarm(engine: Pick<Engine, 'sharedHealth' | 'onStoreAlarm'>, log: Logger): () => void {
  let told: StorageAlarm | undefined;
  let isRaised = false;
  const look = () => {
    const { alarm, instance } = engine.sharedHealth ?? {};
    const isSame =
      alarm?.kind === told?.kind && alarm?.instance === told?.instance && alarm?.healer === told?.healer;
    if (isSame) return;
    told = alarm;
    if (!alarm) {
      const what = isRaised ? 'the alarm of the store is lifted' : 'the heal of the store is done';
      isRaised = false;
      log.info(`${what}: it takes changes again`);
      return;
    }
    const nameOf = (id: string) => (id === instance ? 'this instance' : `instance ${id}`);
    const fields = { alarm: alarm.kind, raisedBy: alarm.instance, at: alarm.at, reason: alarm.message };
    if (alarm.healer !== undefined) {
      // A person has begun it, and knows.
      log.warn(
        { healer: alarm.healer, reason: alarm.message },
        `${nameOf(alarm.healer)} heals the store, or its heal was broken off: no instance takes changes until it is done`,
      );
      return;
    }
    isRaised = true;
    log.error(
      fields,
      `${nameOf(alarm.instance)} has raised the alarm, and no instance takes changes: look at the NATS servers, then run ` +
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
