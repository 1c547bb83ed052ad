import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { CofferError, type Engine } from '@coffer/engine';
import {
  type AccountResolver,
  accountInspector,
  folderResolver,
  type HostTrust,
  IdentityError,
  type InspectedAccount,
  memoryResolver,
  natsResolver,
  storeResolver,
  Verifier,
  type VerifierOptions,
} from '@coffer/identity';
import type { Logger } from 'pino';
import type { NatsResolverConfig, TrustConfig } from '../config/trust.js';
import { Seldom } from '../nats/seldom.js';
import { AccountFiles } from './account-files.js';
import { AccountWatch } from './account-watch.js';
import { Operators, operatorSources, readOperatorInTime } from './operators.js';
import { type ProofOptions, Proofs } from './proofs.js';

/** What of the engine trust stands on: revocations and the newest tokens seen live in the store. */
type TrustEngine = Pick<
  Engine,
  'tokenRevoked' | 'keyRevoked' | 'newestIssued' | 'rememberIssued' | 'onTrustChange' | 'recheckCallers'
>;

export interface TrustOptions {
  readonly engine: TrustEngine;
  readonly log: Logger;
  /** The server's own URLs, once it has them. */
  readonly audiences: () => readonly string[];
  /** Which hosts of wasmCloud are believed; default: any. */
  readonly hosts?: HostTrust | undefined;
  /** A sentence that a person should read. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
}

/**
 * Whose identities a server trusts, from the files of its operators to the callers that they stand for.
 *
 * Life: `open`, then `close`.
 */
export class Trust {
  /** Of those who come over HTTP. */
  readonly proofs: Proofs;
  readonly #proofOptions: ProofOptions;
  readonly #operators: Operators;
  readonly #verifier: Verifier;
  readonly #resolver: AccountResolver;
  readonly #unlisten: () => void;

  private constructor(
    {
      operators,
      verifier,
      resolver,
      proofOptions,
    }: {
      operators: Operators;
      verifier: Verifier;
      resolver: AccountResolver;
      proofOptions: ProofOptions;
    },
    unlisten: () => void,
  ) {
    this.proofs = new Proofs(proofOptions);
    this.#proofOptions = proofOptions;
    this.#operators = operators;
    this.#verifier = verifier;
    this.#resolver = resolver;
    this.#unlisten = unlisten;
  }

  /** @throws CofferError `invalid_argument`, one sentence: what cannot be read */
  static async open(config: TrustConfig, options: TrustOptions): Promise<Trust> {
    const { engine, log, audiences, hosts, onNotice = () => {} } = options;
    const { accounts, clockSkewSeconds, maxAgeSeconds } = config;
    // Before it is there nobody has asked it anything.
    let verifier: Verifier | undefined;
    const onChange = () => verifier?.changed();
    const operators = await Operators.open(sourcesOf(config), { log, onChange, maxAgeSeconds });
    try {
      const resolver = await openResolver(config, log);
      verifier = new Verifier({
        operators: () => operators.tokens,
        accounts,
        resolver,
        ...memoryOf(engine),
        hosts,
        clockSkewSeconds,
        maxAgeSeconds,
      });
      const watch = watchAccounts(config, { engine, log, operators });
      if (watch && accounts.length > 0) await tellFirst(watch, accounts, onNotice);
      const stops = [
        engine.onTrustChange(onChange),
        verifier.onChange(() => engine.recheckCallers()),
        () => watch?.close(),
      ];
      const proofOptions = { verifier, audiences, clockSkewSeconds, log };
      const unlisten = () => {
        for (const stop of stops) stop();
      };
      return new Trust({ operators, verifier, resolver, proofOptions }, unlisten);
    } catch (error) {
      operators.close();
      throw error;
    }
  }

  /** Tells whose a token is. */
  get verifier(): Pick<Verifier, 'verify' | 'isLive'> {
    return this.#verifier;
  }

  /** Proofs of those who come over NATS, counted with the others. @param audiences whom they are to name */
  proofsOverNats(audiences: () => readonly string[]): Proofs {
    const { results } = this.proofs;
    return new Proofs({ ...this.#proofOptions, audiences, results, connectionType: 'STANDARD' });
  }

  /** Trusted operators whose token cannot be used now. */
  get missingOperators(): number {
    return this.#operators.missing;
  }

  /**
   * Reads the tokens of the operators anew, or of others.
   *
   * @returns what puts them in force
   * @throws CofferError `invalid_argument`: one cannot be used, and nothing has changed
   */
  prepare(config: TrustConfig): Promise<() => void> {
    return this.#operators.prepare(sourcesOf(config));
  }

  async close(): Promise<void> {
    this.#unlisten();
    this.#operators.close();
    this.#verifier.close();
    await this.#resolver.close?.();
  }
}

/**
 * Reads what a server that trusts needs at its start, to find out whether it can.
 *
 * @throws CofferError `invalid_argument`, one sentence: what cannot be read
 */
export async function checkTrustFiles(config: TrustConfig | undefined): Promise<void> {
  if (config === undefined) return;
  await Promise.all(sourcesOf(config).map(readOperatorInTime));
  await checkFolder(config.resolver?.folder);
  const { creds, ca } = config.resolver?.nats ?? {};
  if (creds) (await readNamed(creds, CREDS)).fill(0);
  if (ca) await readNamed(ca, CA);
}

/** A disk that does not answer holds up no start. */
const FIRST_LOOK_MS = 2_000;
const CREDS = 'trust.resolver.nats.creds';
const CA = 'trust.resolver.nats.ca';

/** It may be empty. @throws CofferError */
async function checkFolder(folder: string | undefined): Promise<void> {
  if (folder === undefined) return;
  const late = wait(FOLDER_MS, 'no answer', { ref: false });
  const looking = readdir(folder).then(
    () => undefined,
    ({ code }: NodeJS.ErrnoException) => WORDS[code ?? ''] ?? `it cannot be read (${code})`,
  );
  const problem = await Promise.race([looking, late]);
  if (problem === undefined) return;
  throw new CofferError(
    'invalid_argument',
    `trust.resolver.folder, where the tokens of accounts are: ${folder}: ${problem}`,
  );
}

const FOLDER_MS = 5_000;
const WORDS: Readonly<Record<string, string>> = { ENOENT: 'it is not there', ENOTDIR: 'it is no folder' };

const memoryOf = (engine: TrustEngine): Required<Pick<VerifierOptions, 'issued' | 'revocations'>> => ({
  issued: {
    newest: (key) => engine.newestIssued(key),
    remember: (key, iat) => engine.rememberIssued(key, iat),
  },
  revocations: {
    tokenRevoked: (jti) => engine.tokenRevoked(jti),
    keyRevoked: (key) => engine.keyRevoked(key),
  },
});

/** Where accounts are files, so that there is one to name. */
function watchAccounts(
  { resolver, accounts, clockSkewSeconds }: TrustConfig,
  { engine, log, operators }: Pick<TrustOptions, 'engine' | 'log'> & { readonly operators: Operators },
): AccountWatch | undefined {
  if (resolver?.store === undefined && resolver?.folder === undefined) return undefined;
  const inspector = () => {
    const { tokens } = operators;
    const inspect = accountInspector({
      operators: () => tokens,
      accounts,
      clockSkewSeconds,
      ...memoryOf(engine),
    });
    if (operators.missing === 0) return inspect;
    // That an operator's token cannot be used is told of, and says why its accounts cannot.
    return (text: string) => withoutRefusal(inspect(text));
  };
  return new AccountWatch({ files: new AccountFiles(resolver), inspector, log });
}

/** Who trusts an account by its key does not expect its token, put there by somebody else, to undo that. */
async function tellFirst(
  watch: AccountWatch,
  accounts: readonly string[],
  onNotice: (sentence: string) => void,
): Promise<void> {
  const late = wait(FIRST_LOOK_MS, [], { ref: false });
  const problems = await Promise.race([watch.first(), late]);
  for (const { path, says, account } of problems) {
    if (account !== undefined && accounts.includes(account)) {
      onNotice(`${path}: ${says}. Until then nobody of this account is believed.`);
    }
  }
}

function withoutRefusal({ key, name, iat }: InspectedAccount): InspectedAccount {
  return { key, name, iat };
}

const sourcesOf = ({ operators, resolver }: TrustConfig) => operatorSources(operators, resolver?.store);

async function openResolver({ resolver }: TrustConfig, log: Logger): Promise<AccountResolver> {
  if (resolver?.store !== undefined) return storeResolver(resolver.store);
  if (resolver?.folder !== undefined) return folderResolver(resolver.folder);
  if (resolver?.nats !== undefined) return openNatsResolver(resolver.nats, log);
  return memoryResolver([]);
}

async function openNatsResolver(
  { servers, creds: credsFile, ca: caFile }: NatsResolverConfig,
  log: Logger,
): Promise<AccountResolver> {
  const creds = credsFile && (await readNamed(credsFile, CREDS));
  try {
    const ca = caFile && (await readNamed(caFile, CA));
    // Told again at each attempt.
    const seldom = new Seldom();
    const onProblem = (reason: string) => {
      if (seldom.may(reason)) log.warn({ reason }, 'accounts cannot be looked up as they should');
    };
    return natsResolver({ servers, ...(creds && { creds }), ...(ca && { tls: { ca } }), onProblem });
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    throw new CofferError('invalid_argument', `trust.resolver.nats: ${error.message}`);
  } finally {
    if (creds) creds.fill(0);
  }
}

async function readNamed(path: string, setting: string): Promise<Buffer> {
  return readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new CofferError('invalid_argument', `${setting}: ${path} cannot be read (${cause.code})`, {
      cause,
    });
  });
}
