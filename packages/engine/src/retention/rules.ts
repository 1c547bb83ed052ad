import { CofferError } from '../errors.js';
import type { Head } from '../head.js';
import { Pattern } from '../patterns.js';

const DAY_MS = 24 * 60 * 60 * 1_000;

/**
 * How long versions of the secrets that match are kept. A version stays if it is active, or among the newest `keepVersions` by
 * number, or younger than `keepDays`; a reason that is not stated keeps nothing.
 */
export interface RetentionRule {
  /** Patterns of names. */
  readonly secrets: readonly string[];
  /** 1 or more. */
  readonly keepVersions?: number | undefined;
  /** More than 0. */
  readonly keepDays?: number | undefined;
}

/** A checked list of rules. */
export class Retention {
  readonly #rules: readonly { readonly patterns: readonly Pattern[]; readonly rule: RetentionRule }[];

  /** @throws CofferError as {@link checkRetention} */
  constructor(rules: readonly RetentionRule[]) {
    checkRetention(rules);
    this.#rules = rules.map((rule) => ({
      patterns: rule.secrets.map((pattern) => new Pattern(pattern)),
      rule,
    }));
  }

  /** No version is ever dropped. */
  get off(): boolean {
    return this.#rules.length === 0;
  }

  /**
   * Versions that need not be kept, by the first rule that matches; never the active one.
   *
   * @param now undefined where nothing can be said of ages: then a rule with `keepDays` keeps everything
   */
  expired({ name, active, versions }: Head, now: Date | undefined): number[] {
    const rule = this.#ruleFor(name);
    if (!rule) return [];
    const { keepVersions = 0, keepDays } = rule;
    const numbers = [...versions.keys()];
    const newest = new Set(numbers.slice(Math.max(0, numbers.length - keepVersions)));
    const since = sinceWhen(keepDays, now);
    return numbers.filter((number) => {
      const madeAt = versions.get(number)?.createdAt.getTime() ?? Number.POSITIVE_INFINITY;
      return number !== active && !newest.has(number) && madeAt <= since;
    });
  }

  #ruleFor(name: string): RetentionRule | undefined {
    return this.#rules.find(({ patterns }) => patterns.some((pattern) => pattern.matches(name)))?.rule;
  }
}

/** What was made at that time, in milliseconds, or before is not young. */
function sinceWhen(keepDays: number | undefined, now: Date | undefined): number {
  if (keepDays === undefined) return Number.MAX_VALUE;
  return now === undefined ? Number.NEGATIVE_INFINITY : now.getTime() - keepDays * DAY_MS;
}

/** @throws CofferError `invalid_argument` for a rule without patterns, or without a reason to keep a version */
export function checkRetention(rules: readonly RetentionRule[]): void {
  for (const rule of rules) check(rule);
}

function check({ secrets, keepVersions, keepDays }: RetentionRule): void {
  const refuse = (what: string) => {
    throw new CofferError('invalid_argument', `a rule of retention ${what}`);
  };
  if (secrets.length === 0 || secrets.includes('')) refuse('needs patterns of secrets');
  if (keepVersions === undefined && keepDays === undefined) refuse('needs keepVersions or keepDays');
  if (keepVersions !== undefined && !(Number.isInteger(keepVersions) && keepVersions >= 1)) {
    refuse('keeps a whole number of versions, 1 or more');
  }
  if (keepDays !== undefined && !(keepDays > 0)) refuse('keeps versions for more than 0 days');
}
