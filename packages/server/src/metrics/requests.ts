import { Timings, type TimingsSnapshot } from '@coffer/engine';

/** In seconds; most requests take the time of one `fdatasync`. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/** How long the requests of one route took that ended in one way. */
export interface RequestTimings {
  readonly route: string;
  /** `2xx` … `5xx`; `none` where the caller went away first. */
  readonly status: string;
  readonly timings: TimingsSnapshot;
}

/**
 * Counts requests. Memory grows with the number of routes, whatever is asked; and since this is on the way of every request,
 * a count is an addition and no look-up of labels.
 */
export class RequestMetrics {
  /** Begun and not answered. */
  inFlight = 0;
  /** Of callers that nobody knows, answered 401 or 429. */
  unauthenticated = 0;
  readonly #timings = new Map<string, (Timings | undefined)[]>();

  /** @returns what {@link end} wants to know */
  begin(): number {
    this.inFlight++;
    return performance.now();
  }

  /** @param status 0: there was no answer */
  end(route: string, status: number, begun: number): void {
    this.inFlight--;
    const kind = Math.floor(status / 100);
    const timings = this.#timings.get(route)?.[kind] ?? this.#first(route, kind);
    timings.since(begun);
  }

  snapshot(): RequestTimings[] {
    return [...this.#timings].flatMap(([route, ofRoute]) =>
      ofRoute.flatMap((timings, kind) =>
        timings ? { route, status: kind === 0 ? 'none' : `${kind}xx`, timings: timings.snapshot() } : [],
      ),
    );
  }

  #first(route: string, kind: number): Timings {
    const timings = new Timings(BOUNDS);
    const ofRoute = this.#timings.get(route) ?? [];
    ofRoute[kind] = timings;
    this.#timings.set(route, ofRoute);
    return timings;
  }
}
