/** One series at one moment. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ParsedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly series: readonly Series[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? ([^ ]+)$`);
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;

/**
 * Reads Prometheus's text format 0.0.4, and throws for whatever is not as it should be: what a scraper would forgive as well as
 * what it would not.
 */
export function parseMetrics(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, ParsedFamily & { series: Series[] }>();
  let current: (ParsedFamily & { series: Series[] }) | undefined;
  let help: { name: string; text: string } | undefined;
  const seen = new Set<string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, helpName, helpText] = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(line) ?? [];
    if (helpName !== undefined) {
      help = { name: helpName, text: helpText as string };
      continue;
    }
    const [, typeName, type] =
      new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary)$`).exec(line) ?? [];
    if (typeName !== undefined) {
      if (help?.name !== typeName) throw new Error(`no help right before the type: ${line}`);
      if (families.has(typeName)) throw new Error(`described twice: ${line}`);
      current = { name: typeName, help: help.text, type: type as string, series: [] };
      families.set(typeName, current);
      continue;
    }
    const [, name, labelText = '', valueText] = SAMPLE.exec(line) ?? [];
    if (name === undefined) throw new Error(`no sample: ${line}`);
    const labels = parseLabels(labelText, line);
    if (current === undefined || !belongs(name, current))
      throw new Error(`a sample of another family: ${line}`);
    const id = `${name}${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(id)) throw new Error(`the same series twice: ${line}`);
    seen.add(id);
    current.series.push({ name, labels, value: parseValue(valueText as string, line) });
  }
  for (const family of families.values()) checkFamily(family);
  return families;
}

function parseLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== '') {
    const match = LABEL.exec(rest);
    if (match === null) throw new Error(`labels: ${line}`);
    const [whole, name, value] = match as unknown as [string, string, string];
    if (name in labels) throw new Error(`a label twice: ${line}`);
    labels[name] = value.replace(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
    rest = rest.slice(whole.length);
  }
  return labels;
}

function parseValue(text: string, line: string): number {
  if (/^nan$/i.test(text)) return Number.NaN;
  if (/^[+-]?inf$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) throw new Error(`no number: ${line}`);
  return Number(text);
}

function belongs(name: string, { name: family, type }: ParsedFamily): boolean {
  if (type !== 'histogram') return name === family;
  return [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(name);
}

function checkFamily({ name, type, series }: ParsedFamily): void {
  if (type === 'counter') {
    if (!name.endsWith('_total')) throw new Error(`${name} is a counter by another name`);
    for (const { value } of series) if (!(value >= 0)) throw new Error(`${name} counts ${value}`);
  }
  if (type === 'histogram') checkHistogram(name, series);
}

function checkHistogram(name: string, series: readonly Series[]): void {
  const groups = new Map<string, Series[]>();
  for (const one of series) {
    const { le: _, ...labels } = one.labels;
    const id = JSON.stringify(labels);
    groups.set(id, [...(groups.get(id) ?? []), one]);
  }
  for (const [id, group] of groups) {
    const buckets = group.filter((one) => one.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => parseValue(labels.le ?? 'none', `${name} ${id}`));
    const counts = buckets.map(({ value }) => value);
    const isAscending = (values: readonly number[], strictly: boolean) =>
      values.every((value, i) => {
        const before = values[i - 1] ?? -Infinity;
        return value > before || (!strictly && value === before);
      });
    if (!isAscending(bounds, true) || bounds.at(-1) !== Infinity) throw new Error(`${name} ${id}: bounds`);
    if (!isAscending(counts, false)) throw new Error(`${name} ${id}: counts`);
    const [sum, count] = ['sum', 'count'].map(
      (end) => group.find((one) => one.name === `${name}_${end}`)?.value,
    );
    if (count !== counts.at(-1) || !(Number(sum) >= 0)) throw new Error(`${name} ${id}: sum or count`);
  }
}
