import type { IncomingMessage } from 'node:http';
import type { Engine } from '@coffer/engine';
import type { ServerFacts } from '../metrics/describe.js';
import { describeServer } from '../metrics/describe.js';
import { type Exposition, METRICS_TYPE } from '../metrics/exposition.js';
import type { Authenticator } from './authenticate.js';
import { admitMonitor } from './gate.js';
import type { Reply } from './reply.js';

/** What `GET /metrics` tells, and who is told. */
export interface MetricsContext {
  readonly engine: Engine;
  readonly authenticator: Authenticator;
  readonly exposition: Exposition;
  /** What others than the engine know. */
  readonly facts: () => Omit<ServerFacts, 'engine'>;
}

/** Prometheus sends no header but its token, and a page in a browser cannot read the answer. */
export async function answerMetrics(
  incoming: IncomingMessage,
  reply: Reply,
  { engine, authenticator, exposition, facts }: MetricsContext,
): Promise<void> {
  const caller = await admitMonitor(incoming, authenticator);
  await engine.authoriseMetrics(caller);
  const families = describeServer({ ...facts(), engine: await engine.facts() });
  reply.page(METRICS_TYPE, await exposition.render(families));
}
