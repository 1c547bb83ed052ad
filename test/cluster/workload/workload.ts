import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { canary } from '../../support/canary.mjs';
import type { FinalState, Operation } from '../checker/history.js';
import { randomFrom } from '../random.js';
import { type Answer, Requests } from './requests.js';

/** An instance as clients know it. */
export interface Place {
  readonly name: string;
  readonly url: string;
}

export interface WorkloadOptions {
  readonly places: readonly Place[];
  readonly token: string;
  /** How many secrets there are. A third of them is deleted as a whole now and then. */
  readonly secrets: number;
  readonly clients: number;
  /** A client rests so long after each answer, in milliseconds. */
  readonly restMs: number;
  /** What the names of secrets begin with. */
  readonly prefix?: string;
  /** Of what each client asks for, and when. What it can ask for hangs on the answers, too. */
  readonly seed?: number;
}

type Asked = Pick<Operation, 'kind' | 'secret' | 'version' | 'value'>;

/** Between the seeds of two clients. */
const SEEDS_APART = 0x9e37_79b9;

/** Errors after which nothing was changed, and nothing will be. */
const HARMLESS = new Set([
  'not_found',
  'version_taken',
  'active_version',
  'conflict',
  'unavailable',
  'store_alarm',
  'busy',
  'storage_full',
]);

/** Clients that put, activate, delete and get secrets at several instances, and write down all that they were answered. */
export class Workload {
  readonly operations: Operation[] = [];
  readonly #options: WorkloadOptions;
  readonly #requests = new Requests();
  readonly #names: readonly string[];
  /** Numbers of versions that some client was told of. */
  readonly #known = new Map<string, number[]>();
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: WorkloadOptions) {
    this.#options = options;
    const { prefix = 'chaos', secrets } = options;
    this.#names = Array.from({ length: secrets }, (_, index) => `${prefix}/${index}`);
  }

  start(): void {
    const { clients: count, seed = randomInt(2 ** 31) } = this.#options;
    const clients = Array.from({ length: count }, (_, index) =>
      this.#client(index, randomFrom(seed + index * SEEDS_APART)),
    );
    this.#running = Promise.all(clients);
  }

  /** Waits for all answers. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  close(): void {
    this.#requests.close();
  }

  /**
   * All secrets as an instance has them. Throws if it cannot tell.
   *
   * @param seen what it must have, see {@link Answer.position}
   */
  async read(place: Place, seen?: string): Promise<FinalState[]> {
    const states: FinalState[] = [];
    for (const secret of this.#names) states.push(await this.#readOne(place, secret, seen));
    return states;
  }

  async #readOne(place: Place, secret: string, seen: string | undefined): Promise<FinalState> {
    const info = await this.#ask(place, 'info', { Name: secret }, { seen });
    if (info.code === 'not_found') return { secret, active: 0, versions: new Map() };
    if (info.code !== undefined) throw new Error(`info of ${secret} at ${place.name}: ${info.code}`);
    const { Versions, ActiveVersion } = JSON.parse(info.body) as {
      Versions: number[];
      ActiveVersion: number;
    };
    const versions = new Map<number, string>();
    for (const version of Versions) {
      const got = await this.#ask(place, 'get', { Name: secret, Version: version }, { seen });
      if (got.code !== undefined) throw new Error(`get of ${secret} at ${place.name}: ${got.code}`);
      versions.set(version, valueIn(got.body).value);
    }
    return { secret, active: ActiveVersion, versions };
  }

  async #client(index: number, random: () => number): Promise<void> {
    const { restMs, places } = this.#options;
    // Half of them carry on what they have seen, wherever they ask.
    const session = index % 2 === 0 ? index : undefined;
    let seen: string | undefined;
    while (!this.#stopped) {
      const place = places[below(places.length, random)] as Place;
      const answer = await this.#perform(place, this.#choose(random), session, seen);
      if (session !== undefined) seen = later(seen, answer);
      await sleep(restMs * (0.5 + random()));
    }
  }

  /** @returns the position that the answer had */
  async #perform(
    place: Place,
    asked: Asked,
    session: number | undefined,
    seen: string | undefined,
  ): Promise<string | undefined> {
    const { kind, secret: Name, version: Version, value } = asked;
    const operation = kind === 'get' ? undefined : randomUUID();
    const Value = value && Buffer.from(canary(value)).toString('base64');
    const about = { ...asked, instance: place.name, session, operation, seen };
    const start = performance.now();
    try {
      const answer = await this.#ask(place, kind, { Name, Version, Value }, { operation, seen });
      const { position } = answer;
      this.#record({ ...about, position, start, end: performance.now(), ...outcomeOf(kind, answer) });
      return position;
    } catch (error) {
      const { code = 'unreachable' } = error as { code?: string };
      const isRefused = kind === 'get' || code === 'ECONNREFUSED';
      const end = performance.now();
      this.#record({ ...about, start, end, outcome: isRefused ? 'refused' : 'unknown', code });
      return undefined;
    }
  }

  #record(operation: Operation): void {
    const isUnknown = operation.outcome === 'unknown';
    this.operations.push(isUnknown ? { ...operation, end: Number.POSITIVE_INFINITY } : operation);
    const { kind, secret, outcome, answered } = operation;
    if (outcome !== 'ok') return;
    if (kind === 'put' && answered !== undefined) {
      this.#known.set(secret, [...(this.#known.get(secret) ?? []), answered].slice(-5));
    }
    if (kind === 'delete') this.#known.delete(secret);
  }

  #ask(
    { url }: Place,
    method: string,
    body: object,
    rest: { operation?: string | undefined; seen?: string | undefined },
  ): Promise<Answer> {
    const { operation, seen } = rest;
    const question = { method, body, ...(operation !== undefined && { operation }), seen };
    return this.#requests.ask({ url, token: this.#options.token }, question);
  }

  #choose(random: () => number): Asked {
    const index = below(this.#names.length, random);
    const secret = this.#names[index] as string;
    const known = this.#known.get(secret) ?? [];
    const version = known[below(known.length, random)];
    const dice = below(100, random);
    if (dice < 15 || version === undefined) {
      // An answer "no such secret" is one, too.
      return dice < 50 ? { kind: 'put', secret, value: randomUUID() } : { kind: 'get', secret };
    }
    if (dice < 30) return { kind: 'activate', secret, version };
    if (dice < 37) return { kind: 'delete-version', secret, version };
    if (dice < 38 && index % 3 === 0) return { kind: 'delete', secret };
    return dice < 50 ? { kind: 'get', secret, version } : { kind: 'get', secret };
  }
}

/** A whole number from 0 on. */
const below = (end: number, random: () => number): number => Math.floor(random() * end);

/** Of two positions, `<store and stream>-<epoch>-<sequence>` of one stream: an instance that is behind says how far it is when it refuses, too. */
function later(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  const [[epoch = 0, sequence = 0], [otherEpoch = 0, otherSequence = 0]] = [placeOf(one), placeOf(other)];
  return (epoch - otherEpoch || sequence - otherSequence) >= 0 ? one : other;
}

const placeOf = (position: string): number[] => position.split('-').slice(1).map(Number);

function outcomeOf(
  kind: Operation['kind'],
  { code, body }: Answer,
): Pick<Operation, 'outcome'> & Partial<Operation> {
  if (code === undefined) {
    if (kind === 'get') return { outcome: 'ok', ...valueIn(body) };
    return kind === 'put' ? { outcome: 'ok', answered: Number(body) } : { outcome: 'ok' };
  }
  if (kind === 'get') return { outcome: code === 'not_found' ? 'absent' : 'refused', code };
  return { outcome: HARMLESS.has(code) ? 'refused' : 'unknown', code };
}

/** The value without what marks it as one. */
function valueIn(body: string): { value: string; answered: number } {
  const { Value, Version } = JSON.parse(body) as { Value: string; Version: number };
  const value = Buffer.from(Value, 'base64').toString().slice(canary('').length);
  return { value, answered: Version };
}
