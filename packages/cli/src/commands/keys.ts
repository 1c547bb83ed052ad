import { setTimeout as delay } from 'node:timers/promises';
import type { Admin, KeyRotation, Keys } from '@coffer/client/admin';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Failure } from '../failure.js';
import { counted } from '../numbers.js';
import { note, paint, print, printJson, table, write } from '../output.js';
import { displayText } from '../quote.js';
import { requireMembers } from '../without.js';

/** How often the server is asked how far it is, in milliseconds. */
const POLL = 500;

export interface RotateOptions extends ConnectionOptions {
  readonly root?: boolean;
  readonly to?: string;
  readonly without?: readonly string[];
  readonly wait: boolean;
  readonly json?: boolean;
}

export async function list(options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const keys = await withAdmin(options, (admin) => during('failed to list keys', admin.keys()));
  if (options.json) return printJson(keys);
  await print(describe(keys));
}

export async function rotate(options: RotateOptions): Promise<void> {
  const { root = false, to, without } = options;
  requireMembers(without ?? []);
  if (to !== undefined && !root) throw new Failure('--to is for the root key: say --root --to SPEC');
  if (without !== undefined && root)
    throw new Failure('--without is for the data key, and does not go with --root');
  await withAdmin(options, async (admin) => {
    const request = {
      ...(root ? { root } : {}),
      ...(to === undefined ? {} : { to }),
      ...(without && { without }),
    };
    const keys = await during('failed to rotate the key', admin.rotateKeys(request));
    if (root) return told(options, keys, rootSentence(keys, to) + (await otherInstances(admin)));
    const active = keys.dataKeys.at(-1)?.id;
    const inForce = `The data key ${active} is in force.`;
    if (!options.wait) {
      const how = 'Records are re-encrypted in the background; "coffer keys list" shows how far that is.';
      return told(options, keys, `${inForce} ${how}`);
    }
    await untilRotated(admin, inForce);
    if (!options.json) return print('All records are under it, and no other data key is left.');
    await printJson(await during('failed to list keys', admin.keys()));
  });
}

function told(options: RotateOptions, keys: Keys, sentence: string): Promise<void> {
  return options.json ? printJson(keys) : print(sentence);
}

function rootSentence({ rootKey }: Keys, to: string | undefined): string {
  const id = rootKey.id === undefined ? '' : ` ${rootKey.id}`;
  const where =
    to === undefined
      ? 'It is in the same file as the former one, which is kept beside it under a name that ends with .retired- and its id'
      : `It is in ${to}: make that rootKey in the server’s configuration, or its --root-key, before its next start`;
  return (
    `The root key${id} is in force. ${where}. Keep a copy of the new one where the store is not, and keep the former one: ` +
    'backups made until now need it.'
  );
}

/** Who else needs the new root key. It is in force already: what hinders the look is no failure. */
async function otherInstances(admin: Admin): Promise<string> {
  const { shared } = await admin.storage().catch(() => ({ shared: undefined }));
  const others = shared?.members.filter(({ instance }) => instance !== shared.instance) ?? [];
  if (others.length === 0) return '';
  const names = others.map(({ name, instance }) => displayText(name || instance)).join(', ');
  return ` Give the new one to the other instances, too (${names}): they go on with what they have, and do not start again without it, nor is the data key changed before.`;
}

/** Shows how far it is until all is done; an end of this command is not one of the rotation. */
async function untilRotated(admin: Admin, inForce: string): Promise<void> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  const goesOn = 'the re-encryption goes on in the server, also after its next start; see "coffer keys list"';
  process.once('SIGINT', interrupt);
  const progress = new Progress();
  try {
    const { signal } = interrupted;
    await note(
      `${inForce} All records are brought under it now. Ctrl-C ends this command alone: the re-encryption goes on.`,
    );
    for (;;) {
      const rotation = await admin.keyRotation({ signal });
      if (!rotation) return;
      if (rotation.problem?.code === 'tampered') throw new Failure(rotation.problem.message);
      await progress.show(rotation);
      await delay(POLL, undefined, { signal });
    }
  } catch (error) {
    if (interrupted.signal.aborted) throw new Failure(`interrupted: ${goesOn}`);
    if (error instanceof Failure) throw error;
    await progress.end();
    await note(`${goesOn.charAt(0).toUpperCase()}${goesOn.slice(1)}.`);
    throw await during('failed to see how far it is', Promise.reject(error)).catch((failure) => failure);
  } finally {
    await progress.end();
    process.off('SIGINT', interrupt);
  }
}

/** On a terminal one line that changes; elsewhere a line whenever there is something new to say. */
class Progress {
  #last = '';
  #open = false;

  async show(rotation: KeyRotation): Promise<void> {
    const text = progressText(rotation);
    if (text === this.#last) return;
    this.#last = text;
    if (!process.stderr.isTTY) return note(text);
    this.#open = true;
    await write(process.stderr, `\r\u001b[K${text}`);
  }

  async end(): Promise<void> {
    if (this.#open) await note('');
    this.#open = false;
  }
}

function progressText({ total, remaining, problem }: KeyRotation): string {
  if (total === 0) return 'Counting the records';
  const percent = Math.floor((100 * (total - remaining)) / total);
  return `Re-encrypted: ${percent}% (${remaining} of ${counted(total, 'record')} left)${problem ? `: ${problem.message}` : ''}`;
}

function describe({ rootKey, lacksRootKey, dataKeys, rotation }: Keys): string {
  const since = rootKey.since === undefined ? '' : `, since ${instant(rootKey.since)}`;
  const rows = dataKeys.map(({ id, state, records, createdAt }) => [
    String(id),
    state,
    String(records),
    instant(createdAt),
  ]);
  return [
    `Root key: ${rootKey.kind}${rootKey.id === undefined ? '' : ` ${rootKey.id}`}${since}`,
    ...(lacksRootKey ? [paint('yellow', LACKS_ROOT_KEY)] : []),
    table([['DATA KEY', 'STATE', 'RECORDS', 'CREATED'], ...rows]),
    ...(rotation ? [progressText(rotation)] : []),
  ].join('\n');
}

export const LACKS_ROOT_KEY =
  'Another instance has changed the root key since: give this one the new one. It does not start again without it.';

/** RFC 3339 in UTC, to the second. */
function instant(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
