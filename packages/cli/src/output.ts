import { Failure, systemReason } from './failure.js';
import { jsonText } from './quote.js';

/**
 * Writes all of `data` and waits for it: a full disk behind standard output is a failure, not a secret cut short.
 */
export async function write(stream: NodeJS.WritableStream, data: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stream.write(data, (error) => {
      if (error == null) resolve();
      else reject(isBrokenPipe(error) ? error : new Failure(`cannot write: ${systemReason(error)}`));
    });
  });
}

/** Whoever read our output has gone, as `head` does: no reason to complain. */
export function isBrokenPipe(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EPIPE';
}

export async function print(text: string): Promise<void> {
  await write(process.stdout, `${text}\n`);
}

/** For what a person should see and a pipe should not get. */
export async function note(text: string): Promise<void> {
  await write(process.stderr, `${text}\n`);
}

export async function printJson(value: unknown): Promise<void> {
  await print(jsonText(value, 2));
}

/**
 * Lays rows out as Go's tabwriter does with setec's settings: each column as wide as its widest cell and a blank,
 * the last one not padded.
 */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.slice(0, -1).forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, [...cell].length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) + 1 - [...cell].length),
        )
        .join(''),
    )
    .join('\n');
}

/** ANSI colours, for a terminal that wants them (https://no-color.org). */
export function paint(
  colour: 'red' | 'green' | 'yellow' | 'bold',
  text: string,
  stream: { readonly isTTY?: boolean } = process.stdout,
): string {
  const wanted = stream.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  if (!wanted) return text;
  const code = { red: 31, green: 32, yellow: 33, bold: 1 }[colour];
  return `\u001b[${code}m${text}\u001b[0m`;
}
