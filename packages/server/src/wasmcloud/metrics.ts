import { Timings, type TimingsSnapshot } from '@coffer/engine';
import type { Answered, Operation } from '@coffer/wasmcloud';

/** In seconds, as of requests over HTTP. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/** What is told of the requests over NATS. */
export interface WasmcloudCounts {
  readonly results: readonly {
    readonly operation: Operation;
    readonly result: string;
    readonly count: number;
  }[];
  readonly timings: readonly { readonly operation: Operation; readonly timings: TimingsSnapshot }[];
  readonly selfIssued: number;
}

/** Counts requests over NATS. Operations and results are few and known beforehand, whatever is asked. */
export class WasmcloudMetrics {
  /** Entities that were believed on their own word. */
  selfIssued = 0;
  readonly #results = new Map<Operation, Map<string, number>>();
  readonly #timings = new Map<Operation, Timings>();

  answered({ operation, result, seconds }: Pick<Answered, 'operation' | 'result' | 'seconds'>): void {
    const results = this.#results.get(operation) ?? new Map<string, number>();
    results.set(result, (results.get(result) ?? 0) + 1);
    this.#results.set(operation, results);
    const timings = this.#timings.get(operation) ?? new Timings(BOUNDS);
    timings.add(seconds);
    this.#timings.set(operation, timings);
  }

  snapshot(): WasmcloudCounts {
    return {
      results: [...this.#results].flatMap(([operation, results]) =>
        [...results].map(([result, count]) => ({ operation, result, count })),
      ),
      timings: [...this.#timings].map(([operation, timings]) => ({ operation, timings: timings.snapshot() })),
      selfIssued: this.selfIssued,
    };
  }
}
