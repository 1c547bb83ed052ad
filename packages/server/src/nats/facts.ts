import type { BackendFacts } from '../backends/backend.js';
import type { Backends } from '../backends/backends.js';
import type { WasmcloudCounts } from '../wasmcloud/metrics.js';
import type { WasmcloudBackend } from '../wasmcloud/serve.js';
import type { TransitUse } from '../wasmcloud/transit-use.js';
import type { NatsDoor } from './door.js';

/** How the NATS door is, at one moment. */
export interface NatsFacts {
  readonly connected: boolean;
  readonly reconnects: number;
  readonly inFlight: number;
  /** Since when nothing is served; undefined: it serves. Why, the log says: it may name files. */
  readonly notServingSince: Date | undefined;
  /** Of coffer's own backend. */
  readonly counts: WasmcloudCounts | undefined;
  /** The others. */
  readonly backends: readonly BackendFacts[];
  /** When requests were last opened with each of the transit keys that were used. */
  readonly transitKeys: readonly { readonly key: string; readonly lastUsed: Date }[];
}

export function natsFactsOf(
  door: NatsDoor,
  served: {
    readonly wasmcloud: Pick<WasmcloudBackend, 'metrics' | 'transitKeys'> | undefined;
    readonly backends: Pick<Backends, 'facts' | 'transitKeys'> | undefined;
  },
  use: Pick<TransitUse, 'lastUsed'>,
): NatsFacts {
  const { connected, reconnects, inFlight, notServing } = door;
  const { wasmcloud, backends } = served;
  const keys = [...(wasmcloud?.transitKeys ?? []), ...(backends?.transitKeys ?? [])];
  const transitKeys = keys.flatMap((key) => {
    const lastUsed = use.lastUsed(key);
    return lastUsed === undefined ? [] : [{ key, lastUsed }];
  });
  return {
    connected,
    reconnects,
    inFlight,
    notServingSince: notServing?.since,
    counts: wasmcloud?.metrics.snapshot(),
    backends: backends?.facts ?? [],
    transitKeys,
  };
}

/** Undefined: it serves, or there is none. */
export function notServing(facts: Pick<NatsFacts, 'notServingSince'> | undefined): string | undefined {
  const since = facts?.notServingSince;
  return since && `nothing is served over NATS since ${since.toISOString()}: the server's log says why`;
}
