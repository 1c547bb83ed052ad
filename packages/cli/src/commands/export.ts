import { isUtf8 } from 'node:buffer';
import type { Client, SecretRequest } from '@coffer/client';
import { type ConnectionOptions, withClient } from '../connection.js';
import { during, Failure } from '../failure.js';
import { counted } from '../numbers.js';
import { note, print, write } from '../output.js';
import { displayName, jsonText } from '../quote.js';
import { formatDotenv } from '../transfer/dotenv.js';
import { refuse, type Selected, type Selection, select } from '../transfer/select.js';
import { conflicts, pathProblem, requireNothingAt, writeFolder } from '../transfer/write-folder.js';

/** The commands that bring many secrets out at once. They write all of what is asked for, or nothing. */

export type ExportOptions = ConnectionOptions &
  Selection & { readonly yes?: boolean; readonly dryRun?: boolean };

interface Exported {
  readonly secret: Selected;
  readonly version: number;
  readonly value: Uint8Array;
}

/** What is particular to one of the commands. */
interface Form {
  readonly toStandardOutput: boolean;
  readonly wanted: (secret: Selected) => readonly SecretRequest[];
  /** Fails if these cannot be exported so; before anybody is asked and anything is revealed. */
  readonly check: (secrets: readonly Selected[]) => Promise<void> | void;
  readonly write: (exported: readonly Exported[]) => Promise<void>;
}

const activeVersion = ({ name }: Selected) => [{ name }];
const everyVersion = ({ name, versions }: Selected) => versions.map((version) => ({ name, version }));

export async function exportEnv(options: ExportOptions): Promise<void> {
  await exportAs(options, {
    toStandardOutput: true,
    wanted: activeVersion,
    check: (secrets) => {
      const odd = secrets.filter(({ key }) => !/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(key));
      refuse(
        'some names cannot be keys of a .env file; --prefix takes away what stands before the key',
        odd.map(({ key }) => ({ name: key, problem: 'has other characters than letters, digits and _' })),
      );
    },
    write: async (exported) => {
      const binary = exported.filter(({ value }) => !isUtf8(value) || value.includes(0));
      refuse(
        'some values cannot be in a .env file; "coffer export dir" and "coffer export json" take them',
        binary.map(({ secret }) => ({ name: secret.name, problem: 'is no text' })),
      );
      const file = formatDotenv(exported.map(({ secret, value }) => ({ key: secret.key, value })));
      await write(process.stdout, file);
      file.fill(0);
    },
  });
}

export async function exportDir(path: string, options: ExportOptions): Promise<void> {
  await exportAs(options, {
    toStandardOutput: false,
    wanted: activeVersion,
    check: async (secrets) => {
      const both = new Set(conflicts(secrets.map(({ key }) => key)));
      const problems = secrets.flatMap(({ key }) => {
        const problem = both.has(key) ? 'would be both a file and a folder' : pathProblem(key);
        return problem === undefined ? [] : [{ name: key, problem }];
      });
      refuse('some names cannot be paths', problems);
      await requireNothingAt(path);
    },
    write: async (exported) => {
      const files = exported.map(({ secret, value }) => ({ path: secret.key, value }));
      await writeFolder(path, files);
      await note(`Wrote ${counted(files.length, 'file')} into ${displayName(path)}`);
    },
  });
}

export async function exportJson(options: ExportOptions & { readonly allVersions?: boolean }): Promise<void> {
  await exportAs(options, {
    toStandardOutput: true,
    wanted: options.allVersions ? everyVersion : activeVersion,
    check: () => {},
    write: async (exported) => {
      const bySecret = new Map<Selected, Exported[]>();
      for (const each of exported) {
        const all = bySecret.get(each.secret);
        if (all === undefined) bySecret.set(each.secret, [each]);
        else all.push(each);
      }
      const lines = [...bySecret].map(([secret, all]) => {
        const versions = all.map(({ version, value }) => ({
          version,
          value: Buffer.from(value.buffer).toString('base64'),
        }));
        const active = options.allVersions ? secret.activeVersion : versions[0]?.version;
        return `  ${jsonText({ name: secret.key, activeVersion: active, versions })}`;
      });
      await print(`{"secrets": [\n${lines.join(',\n')}\n]}`);
    },
  });
}

async function exportAs(options: ExportOptions, form: Form): Promise<void> {
  await withClient(options, async (client) => {
    const secrets = await select(client, options);
    await form.check(secrets);
    if (options.dryRun) {
      await print(secrets.map(({ key }) => displayName(key)).join('\n'));
      return note(`${counted(secrets.length, 'secret')}: a dry run, no value was read`);
    }
    if (!options.yes) await consent(client, secrets.length, form.toStandardOutput);
    const exported = await reveal(client, secrets, form.wanted);
    try {
      await form.write(exported);
    } finally {
      wipe(exported);
    }
  });
}

async function consent(client: Client, count: number, toStandardOutput: boolean): Promise<void> {
  const what = `This reveals ${counted(count, 'secret')} of ${displayName(client.server)}, which its audit log records`;
  if (toStandardOutput && process.stdout.isTTY) {
    throw new Failure(`${what}, and shows them on this terminal: send the output to a file, or say --yes`);
  }
  const { askToGoOn } = await import('../question.js');
  await askToGoOn(what);
}

async function reveal(
  client: Client,
  secrets: readonly Selected[],
  wanted: Form['wanted'],
): Promise<Exported[]> {
  const requests = secrets.flatMap((secret) => wanted(secret).map((request) => ({ secret, request })));
  const answers = await during(
    'failed to get the secrets',
    client.getMany(requests.map(({ request }) => request)),
  );
  const exported: Exported[] = [];
  const problems: { name: string; problem: string }[] = [];
  requests.forEach(({ secret }, index) => {
    const answer = answers[index];
    if (answer !== undefined && 'value' in answer) exported.push({ ...answer, secret });
    else {
      const problem = answer !== undefined && 'error' in answer ? answer.error : 'no answer';
      problems.push({ name: secret.name, problem: `(${problem.replaceAll('_', ' ')})` });
    }
  });
  if (problems.length > 0) wipe(exported);
  refuse('nothing was written, since some secrets could not be had', problems);
  return exported;
}

function wipe(exported: readonly Exported[]): void {
  for (const { value } of exported) value.fill(0);
}
