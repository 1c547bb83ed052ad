import { basename, relative } from 'node:path';
import { paint } from './output.js';

export interface Running {
  readonly url: string;
  readonly socketPath: string;
  readonly stateDir: string;
  readonly dev: boolean;
  /** Callers may come with an identity. */
  readonly trusts?: boolean;
  /** What it serves over NATS, or why nothing. */
  readonly nats?: string;
}

/** What a server says when it serves: where, and what to type next. */
export function welcome(running: Running): string {
  const { url } = running;
  const where = [
    `coffer serves on ${paint('bold', url)}`,
    `  state folder:  ${running.stateDir}`,
    `  admin socket:  ${running.socketPath}`,
    ...(running.nats === undefined ? [] : [`  NATS:          ${running.nats}`]),
  ];
  return [...where, '', ...(running.dev ? developmentAdvice(url) : productionAdvice(running, url))].join(
    '\n',
  );
}

function developmentAdvice(url: string): string[] {
  const coffer = commandFor(url);
  return [
    paint(
      'yellow',
      'DEVELOPMENT: whoever can connect may read and change everything. Keep nothing real here.',
    ),
    '',
    'Type next, in another terminal:',
    `  ${coffer('put hello')}`,
    `  ${coffer('get hello')}`,
    `  ${coffer('list')}`,
  ];
}

function productionAdvice(running: Running, url: string): string[] {
  const overSocket = commandFor(`unix:${running.socketPath}`);
  return [
    'Whoever may open the admin socket administers it. Type next, as this user:',
    `  ${overSocket('put hello')}`,
    `  ${overSocket('get hello')}`,
    ...(running.trusts ? adviceOnIdentities(overSocket, url) : adviceOnTokens(overSocket, url)),
  ];
}

type Spell = (command: string) => string;

function adviceOnTokens(overSocket: Spell, url: string): string[] {
  return [
    `  ${overSocket('token create my-program --expires 30d')}`,
    `  ${overSocket('policy apply policy.yaml')}`,
    `Programs then come with a token: COFFER_TOKEN=… ${commandFor(url)('get hello')}`,
  ];
}

function adviceOnIdentities(overSocket: Spell, url: string): string[] {
  return [
    `  ${overSocket('policy apply policy.yaml')}`,
    'Programs come with the creds of a user to whom a grant in the policy is, nats:ACCOUNT/USER:',
    `  ${commandFor(DEFAULT_SERVER)('identity add user --account ACCOUNT my-program')}`,
    `  COFFER_CREDS=FILE ${commandFor(url)('get hello')}`,
  ];
}

const DEFAULT_SERVER = 'http://127.0.0.1:2633';

/** A command as it must be typed here: with the server's address, unless that is the default. */
export function commandFor(server: string): (command: string) => string {
  const program = programName();
  const address = server === DEFAULT_SERVER ? '' : ` -s ${shellWord(server)}`;
  return (command) => `${program}${address} ${command}`;
}

/** From a clone `coffer` is on nobody's path. */
function programName(): string {
  const script = process.argv[1] ?? '';
  if (basename(script) === 'coffer') return 'coffer';
  const path = relative(process.cwd(), script);
  return `node ${shellWord(path.startsWith('..') ? script : path)}`;
}

export function shellWord(word: string): string {
  return /^[\w./:@%+=,[\]-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
