import type { TimingsSnapshot } from '@coffer/engine';

type Labels = Readonly<Record<string, string>>;

/** All samples of one name, as prom-client's registries take them. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly values: readonly {
    readonly metricName?: string;
    readonly labels: Labels;
    readonly value: number;
  }[];
}

export type Sample = readonly [labels: Labels, value: number];

/** What can go up and down. A value that is not known has no sample. */
export function gauge(name: string, help: string, values: number | undefined | readonly Sample[]): Family {
  return { name, help, type: 'gauge', values: samples(values) };
}

/** What only grows. */
export function counter(name: string, help: string, values: number | readonly Sample[]): Family {
  return { name, help, type: 'counter', values: samples(values) };
}

export function histogram(
  name: string,
  help: string,
  series: readonly { readonly labels?: Labels; readonly timings: TimingsSnapshot }[],
): Family {
  const values = series.flatMap(({ labels = {}, timings: { bounds, counts, sum } }) => {
    let total = 0;
    const buckets = counts.map((count, at) => {
      total += count;
      const le = at < bounds.length ? String(bounds[at]) : '+Inf';
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: total };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: total },
    ];
  });
  return { name, help, type: 'histogram', values };
}

function samples(values: number | undefined | readonly Sample[]): Family['values'] {
  if (values === undefined) return [];
  if (typeof values === 'number') return [{ labels: {}, value: values }];
  return values.map(([labels, value]) => ({ labels, value }));
}
