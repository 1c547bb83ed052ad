import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { SecretsError } from '../protocol/errors.js';
import { ANSWER_HEADER_BYTES } from '../protocol/headers.js';
import { DEFAULT_PREFIX, isSubjectPrefix, subjectBase } from '../protocol/subjects.js';
import { type Answer, errorAnswer, textAnswer, toldAs } from './answer.js';
import { Lineage } from './lineage.js';
import { type Ground, PERFORM } from './operations.js';
import type { Answered, BackendOptions, Entity, Operation, ServedBackend } from './options.js';
import { BUSY, reasonOf } from './refusal.js';
import { isReplySubject, type Request, readRequest } from './request.js';
import { TransitOpener } from './transit.js';
import { Turns } from './turns.js';

const DEFAULT_IN_FLIGHT = 256;
/** Begun in one turn of the event loop: to open a request, and to check what it holds, keeps everybody else waiting. */
const BEGUN_AT_ONCE = 16;
/** Of nats-server, for the moment in which there is none to ask. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;
const OWN_MISTAKE = new SecretsError('Other', 'the backend failed, and has said why in its log');

/**
 * Serves a backend under its name, as a member of its queue group, until it is drained. NATS knows of the subscription once the
 * connection is flushed.
 *
 * @throws TypeError for a name, prefix or queue group that can be none, and if nobody is trusted
 */
export function serveBackend(options: BackendOptions): ServedBackend {
  return new Backend(options);
}

class Backend implements ServedBackend {
  readonly #options: BackendOptions;
  readonly #nats: NatsConnection;
  readonly #base: string;
  readonly #ground: Ground;
  readonly #maxInFlight: number;
  readonly #turns = new Turns(BEGUN_AT_ONCE);
  readonly #subscription: Subscription;
  #inFlight = 0;
  #serving = true;
  #drained: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  #maxPayload = DEFAULT_MAX_PAYLOAD;

  constructor(options: BackendOptions) {
    const { name, prefix = DEFAULT_PREFIX, queueGroup = `${prefix}.${name}` } = options;
    this.#options = options;
    this.#nats = options.nats;
    this.#base = subjectBase({ name, prefix });
    if (!isSubjectPrefix(queueGroup)) throw new TypeError('a queue group has no spaces and no wildcards');
    this.#maxInFlight = options.maxInFlight ?? DEFAULT_IN_FLIGHT;
    const onSelfIssued = (entity: Entity) => this.#tell(() => options.onSelfIssued?.(entity));
    this.#ground = {
      lineage: new Lineage(options.trust, onSelfIssued),
      transit: new TransitOpener(options.transitKeys),
      fetch: options.fetch,
      operations: options.operations,
    };
    this.#subscription = this.#nats.subscribe(`${this.#base}.>`, {
      queue: queueGroup,
      callback: (error, message) => (error ? this.#mistake(error) : this.#take(message)),
    });
    void this.#subscription.closed.then(() => {
      this.#serving = false;
    });
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get serving(): boolean {
    return this.#serving;
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  async #drain(): Promise<void> {
    this.#serving = false;
    // Rejected where the connection is closed: nothing will come any more, either.
    await this.#subscription.drain().catch(() => {});
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await this.#nats.flush().catch(() => {});
    this.#ground.lineage.close();
  }

  /** Never throws: that would end the connection's reading. */
  #take(message: Msg): void {
    const started = performance.now();
    try {
      const request = readRequest(this.#base, message);
      const { operation } = request;
      const note = (told: Told) => this.#note(operation, started, told);
      // As secrets-nats-kv: what nobody waits for is not done.
      if (!isReplySubject(request.reply)) note({ result: 'dropped' });
      else if (operation === 'server_xkey') this.#tellXkey(request, note);
      else if (this.#inFlight >= this.#maxInFlight) {
        this.#publish(request, errorAnswer(operation, BUSY));
        note({ result: 'busy' });
      } else void this.#perform(request, operation, note);
    } catch (error) {
      this.#mistake(error);
    }
  }

  #tellXkey(request: Request, note: Note): void {
    try {
      this.#publish(request, textAnswer(this.#ground.transit.current));
      note({ result: 'ok' });
    } catch (error) {
      this.#refuse(request, this.#asSecretsError(error), true, note);
    }
  }

  async #perform(request: Request, operation: Exclude<Operation, 'server_xkey'>, note: Note): Promise<void> {
    this.#inFlight++;
    let heard = false;
    try {
      const turn = this.#turns.next();
      if (turn) await turn;
      const answer = await PERFORM[operation](this.#ground, request, () => {
        heard = true;
      });
      this.#publish(request, this.#fitting(answer));
      note({ result: 'ok' });
    } catch (error) {
      this.#refuse(request, this.#asSecretsError(error), heard, note);
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#idle?.();
    }
  }

  #refuse(request: Request, refused: SecretsError, heard: boolean, note: Note): void {
    const error = toldAs(request.operation, refused);
    try {
      this.#publish(request, errorAnswer(request.operation, error));
    } catch (failure) {
      this.#mistake(failure);
    }
    const result = error === BUSY ? 'busy' : error.code;
    note({ result, reason: reasonOf(error), stranger: !heard && error !== OWN_MISTAKE });
  }

  /** @throws SecretsError for an answer that NATS would not take */
  #fitting(answer: Answer): Answer {
    // Another server after a reconnect may have another limit; between two there is none.
    this.#maxPayload = this.#nats.info?.max_payload ?? this.#maxPayload;
    const length = answer.payload.length + (answer.headers ? ANSWER_HEADER_BYTES : 0);
    if (length <= this.#maxPayload) return answer;
    const limit = `max_payload of the NATS server, ${this.#maxPayload} bytes`;
    throw new SecretsError('Other', `the answer has ${length} bytes and does not fit into ${limit}`);
  }

  #publish({ reply }: Request, { payload, headers }: Answer): void {
    this.#nats.publish(reply, payload, headers && { headers });
  }

  #asSecretsError(error: unknown): SecretsError {
    if (error instanceof SecretsError) return error;
    this.#mistake(error);
    return OWN_MISTAKE;
  }

  #note(operation: Operation, started: number, told: Told): void {
    const seconds = (performance.now() - started) / 1000;
    const { result, reason, stranger = false } = told;
    this.#tell(() => this.#options.onAnswered?.({ operation, result, seconds, reason, stranger }));
  }

  #mistake(error: unknown): void {
    try {
      this.#options.onError?.(error);
    } catch {
      // There is nobody left to tell.
    }
  }

  /** Whoever listens may fail; that is no failure of the request. */
  #tell(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#mistake(error);
    }
  }
}

type Told = Pick<Answered, 'result'> & Partial<Pick<Answered, 'reason' | 'stranger'>>;
type Note = (told: Told) => void;
