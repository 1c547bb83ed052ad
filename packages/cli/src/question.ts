import { createInterface } from 'node:readline';
import { Failure } from './failure.js';

/**
 * Asks on the terminal whether to go on, and fails unless the answer is yes. Without a terminal nobody can be asked:
 * then the flag must have been given.
 */
export async function askToGoOn(
  what: string,
  { flag = '--yes', refused = 'nothing was revealed' } = {},
): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Failure(`${what}: there is no terminal to ask on, so say it with ${flag}`);
  }
  // Not into a file that standard output may be.
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await new Promise<string>((resolve) => {
    lines.once('close', () => resolve(''));
    lines.question(`${what}. Go on? [y/N] `, resolve);
  });
  lines.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new Failure(refused);
}
