import { IdentityError } from '../errors.js';
import type { AccountResolver, IssuedMemory, Revocations } from './options.js';
import { readAccount } from './tokens.js';

/** A resolver that knows what it is told. */
export interface MemoryResolver extends AccountResolver {
  lookup(account: string): string | undefined;
  accounts(): string[];
  watch(changed: (account?: string) => void): () => void;
  /**
   * Adds an account, or changes it.
   *
   * @throws IdentityError for what is no account's token
   */
  put(token: string): void;
  remove(account: string): void;
}

/** @throws IdentityError for what is no account's token */
export function memoryResolver(tokens: readonly string[] = []): MemoryResolver {
  const texts = new Map<string, string>();
  const listeners = new Set<(account?: string) => void>();
  const tell = (account: string) => {
    for (const listener of [...listeners]) listener(account);
  };
  const resolver: MemoryResolver = {
    lookup: (account) => texts.get(account),
    accounts: () => [...texts.keys()],
    watch: (changed) => {
      listeners.add(changed);
      return () => void listeners.delete(changed);
    },
    put: (token) => {
      const { key } = readAccount(token);
      texts.set(key, token);
      tell(key);
    },
    remove: (account) => {
      if (texts.delete(account)) tell(account);
    },
  };
  for (const token of tokens) resolver.put(token);
  return resolver;
}

/** Remembers until the process ends. */
export function memoryIssued(): IssuedMemory {
  const newest = new Map<string, number>();
  return {
    newest: (key) => newest.get(key),
    remember: async (key, iat) => {
      newest.set(key, Math.max(iat, newest.get(key) ?? 0));
    },
  };
}

/** Revocations that hold until the process ends. A verifier in use is to be told of each: `changed()`. */
export interface MemoryRevocations extends Revocations {
  revokeToken(jti: string): void;
  revokeKey(key: string): void;
  /** Takes back what was said of a token's id or a key. */
  lift(jtiOrKey: string): void;
}

export function memoryRevocations(): MemoryRevocations {
  const tokens = new Set<string>();
  const keys = new Set<string>();
  return {
    tokenRevoked: (jti) => tokens.has(jti),
    keyRevoked: (key) => keys.has(key),
    revokeToken: (jti) => {
      if (jti === '') throw new IdentityError('malformed_token', 'the id of a token is not empty');
      tokens.add(jti);
    },
    revokeKey: (key) => void keys.add(key),
    lift: (jtiOrKey) => {
      tokens.delete(jtiOrKey);
      keys.delete(jtiOrKey);
    },
  };
}

/** For a verifier that nobody gives any. */
export const NO_REVOCATIONS: Revocations = { tokenRevoked: () => false, keyRevoked: () => false };
