import { SourceReason } from '../backend/source-reason.js';

/** Vault answers 403: the token is none any more, or its policies do not allow it. Both look the same. */
export class Forbidden extends SourceReason {
  constructor(words: string) {
    super(`Vault refuses: ${words || 'permission denied'}`);
    this.name = 'Forbidden';
  }
}
