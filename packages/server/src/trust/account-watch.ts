import type { InspectedAccount } from '@coffer/identity';
import type { Logger } from 'pino';
import type { AccountFiles, AccountProblem } from './account-files.js';

/** Two looks find a change that stays. */
const EVERY_MS = 2_000;
/** After a mistake with all accounts a person needs to see some of them. */
const MOST_LINES = 20;

export interface AccountWatchOptions {
  readonly files: Pick<AccountFiles, 'look'>;
  /** Asked for each look, as what is trusted changes. */
  readonly inspector: () => (text: string) => InspectedAccount;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** In milliseconds. */
  readonly everyMs?: number;
}

/**
 * Tells the log of each account whose token cannot be used, once, and again when something else is wrong or it is right:
 * its users are refused, and are not told why.
 *
 * Life: made, then `close`.
 */
export class AccountWatch {
  readonly #options: AccountWatchOptions;
  readonly #timer: NodeJS.Timeout;
  #before: ReadonlyMap<string, string> = new Map();
  readonly #told = new Map<string, string>();
  #looking = false;

  constructor(options: AccountWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#look(), options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /**
   * The look at the start: what a whole token is refused for is told at once.
   *
   * @returns what was found; of a folder that cannot be read nothing
   */
  async first(): Promise<readonly AccountProblem[]> {
    const problems = await this.#find();
    const judged = problems.filter(({ code }) => code !== undefined);
    this.#before = new Map(judged.map(({ path, says }) => [path, says]));
    this.#tell(new Map(problems.map(({ path, says }) => [path, says])));
    return problems;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const problems = await this.#find();
    this.#looking = false;
    this.#tell(new Map(problems.map(({ path, says }) => [path, says])));
  }

  async #find(): Promise<readonly AccountProblem[]> {
    const { files, inspector } = this.#options;
    const found = await files.look(inspector()).catch((error: NodeJS.ErrnoException) => ({
      problems: [{ path: error.path ?? '', says: `it cannot be read (${error.code ?? error.message})` }],
    }));
    return found.problems;
  }

  /** A file that is being written looks damaged for a moment: what is wrong counts when it was so twice. */
  #tell(problems: ReadonlyMap<string, string>): void {
    const { log } = this.#options;
    const stays = [...problems].filter(([path, says]) => this.#before.get(path) === says);
    this.#before = problems;
    const news = stays.filter(([path, says]) => this.#told.get(path) !== says);
    for (const [file, reason] of news.slice(0, MOST_LINES)) {
      log.warn({ file, reason }, 'the token of an account cannot be used: its users are refused');
    }
    if (news.length > MOST_LINES) {
      log.warn({ more: news.length - MOST_LINES }, 'there are more accounts whose tokens cannot be used');
    }
    for (const [path, says] of news) this.#told.set(path, says);
    for (const file of [...this.#told.keys()].filter((path) => !problems.has(path))) {
      this.#told.delete(file);
      log.info({ file }, 'nothing is wrong with the token of an account any more');
    }
  }
}
