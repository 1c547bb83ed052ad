import { type ConnectionOptions, withClient } from '../connection.js';
import { during, Failure } from '../failure.js';
import { parseVersion } from '../numbers.js';
import { note, print, printJson, write } from '../output.js';
import { quote } from '../quote.js';
import { readValue, type ValueOptions } from '../value.js';

/** The commands that add values: `put` and `create-version`. */

export type PutOptions = ConnectionOptions &
  ValueOptions & { activate?: boolean; print?: boolean; json?: boolean };

export async function put(name: string, options: PutOptions): Promise<void> {
  checkPrint(options);
  const value = await readValue(options);
  try {
    const version = await withClient(options, async (client) => {
      const saved = await during('failed to write secret', client.put(name, value));
      // The first version is active from its beginning.
      if (options.activate && saved !== 1) {
        await during(
          `saved version ${saved} of ${quote(name)}, but failed to activate it`,
          client.activate(name, saved),
        );
      }
      return saved;
    });
    await report(options, value, { name, version }, [
      `Secret saved as ${quote(name)}, version ${version}`,
      ...(options.activate ? [`  Version ${version} is active`] : []),
      ...(version === 1 || options.activate
        ? []
        : [`  To activate this version, run 'coffer activate ${quote(name)} ${version}'`]),
    ]);
  } finally {
    value.fill(0);
  }
}

export async function createVersion(
  name: string,
  versionText: string,
  options: Omit<PutOptions, 'activate'>,
): Promise<void> {
  checkPrint(options);
  const version = parseVersion(versionText);
  const value = await readValue(options);
  try {
    await withClient(options, (client) =>
      during(`failed to create version ${version}`, client.createVersion(name, version, value)),
    );
    await report(options, value, { name, version }, [
      `Secret saved as ${quote(name)}, version ${version}`,
      `  Version ${version} is active`,
    ]);
  } finally {
    value.fill(0);
  }
}

function checkPrint(options: PutOptions): void {
  if (options.print && options.generate === undefined) {
    throw new Failure('--print shows a value that --generate made; to see another, use "coffer get"');
  }
}

/** With `--print` the value has standard output for itself, so that `$(…)` catches it alone. */
async function report(
  options: PutOptions,
  value: Uint8Array,
  saved: { name: string; version: number },
  lines: string[],
): Promise<void> {
  if (options.json) {
    return printJson(options.print ? { ...saved, value: Buffer.from(value).toString('base64') } : saved);
  }
  if (!options.print) return print(lines.join('\n'));
  await note(lines.join('\n'));
  await write(process.stdout, value);
  if (process.stdout.isTTY) await write(process.stdout, '\n');
}
