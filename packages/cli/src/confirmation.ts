import { createHash } from 'node:crypto';
import { Failure } from './failure.js';
import { quote } from './quote.js';

/**
 * Asks for a token before something is deleted: a hedge against a command repeated by accident from the shell's
 * history or an old script, not a protection. The token's form is setec's:
 * hex(⌊(unix seconds + 119) / 60⌋) `.` hex(first 8 bytes of SHA-256 of the request).
 *
 * setec takes the token of the current minute alone, which may have one second left. We take that of the minute
 * before, too, so that a token lives between one minute and two.
 *
 * @param request `delete-secret:NAME` or `delete-version:NAME:N`
 * @param now in milliseconds
 * @throws Failure that names the token to use
 */
export function checkConfirmation(request: string, token: string | undefined, now = Date.now()): void {
  const current = confirmationToken(request, now);
  if (token === current || token === confirmationToken(request, now - 60_000)) return;
  const problem = token ? 'incorrect confirmation' : 'confirmation required';
  throw new Failure(`${problem} for ${quote(request)}, use token "${current}"`);
}

function confirmationToken(request: string, now: number): string {
  const window = Math.floor((Math.floor(now / 1000) + 119) / 60);
  const digest = createHash('sha256').update(request).digest('hex').slice(0, 16);
  return `${window.toString(16)}.${digest}`;
}
