import { displayName, displayText } from '../quote.js';

/** Draws tables as nsc does: a title, headers if there are any, rows, and lines between them. */
export class Table {
  readonly #title: string;
  readonly #headers: readonly string[];
  readonly #rows: (readonly string[] | 'line')[] = [];
  readonly #paints = new Map<unknown, (text: string) => string>();

  constructor(title: string, ...headers: readonly string[]) {
    this.#title = displayName(title);
    this.#headers = headers;
  }

  row(...cells: readonly string[]): this {
    // What another wrote into a token must not steer the terminal.
    this.#rows.push(cells.map(displayName));
    return this;
  }

  /** A row in which a seed is to be seen. */
  seedRow(...cells: readonly string[]): this {
    this.#rows.push(cells.map(displayText));
    return this;
  }

  /** Paints the row that came last. */
  highlight(paint: (text: string) => string): this {
    this.#paints.set(this.#rows.at(-1), paint);
    return this;
  }

  /** A row for each value, the first with the label. */
  list(label: string, values: readonly string[] | null | undefined): this {
    for (const [index, value] of (values ?? []).entries()) this.row(index === 0 ? label : '', value);
    return this;
  }

  line(): this {
    if (this.#rows.length > 0 && this.#rows.at(-1) !== 'line') this.#rows.push('line');
    return this;
  }

  /** With a line feed at the end. */
  toString(): string {
    const rows = this.#rows.at(-1) === 'line' ? this.#rows.slice(0, -1) : this.#rows;
    const cells = [
      ...(this.#headers.length > 0 ? [this.#headers] : []),
      ...rows.filter((row) => row !== 'line'),
    ];
    const widths = this.#widths(cells);
    const inner = widths.reduce((sum, width) => sum + width + 3, -1);
    const line = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`;
    const draw = (row: readonly string[]) => {
      const painted = this.#paints.get(row) ?? ((text: string) => text);
      return `|${widths.map((width, at) => ` ${painted(pad(row[at] ?? '', width))} `).join('|')}|`;
    };
    const blank = inner - lengthOf(this.#title);
    const before = Math.floor(blank / 2);
    const title = `|${' '.repeat(before)}${this.#title}${' '.repeat(blank - before)}|`;
    const top = `+${'-'.repeat(inner)}+`;
    const headers = this.#headers.length > 0 ? [draw(this.#headers), line] : [];
    const body = rows.map((row) => (row === 'line' ? line : draw(row)));
    return `${[top, title, line, ...headers, ...body, line].join('\n')}\n`;
  }

  #widths(rows: readonly (readonly string[])[]): number[] {
    const widths: number[] = [];
    for (const row of rows) {
      for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, lengthOf(cell));
    }
    if (widths.length === 0) widths.push(0);
    const missing = lengthOf(this.#title) + 2 - widths.reduce((sum, width) => sum + width + 3, -1);
    if (missing > 0) widths[widths.length - 1] = (widths.at(-1) ?? 0) + missing;
    return widths;
  }
}

const lengthOf = (text: string): number => [...text].length;
const pad = (text: string, width: number): string => text + ' '.repeat(width - lengthOf(text));
