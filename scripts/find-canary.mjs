/**
 * Exits with 1 if a file holds the value of a secret of our tests, in any form that a log or a message might give it.
 * Usage: node scripts/find-canary.mjs FILE
 */
import { readFileSync } from 'node:fs';
import { findCanary } from '../test/support/canary.mjs';

const [file] = process.argv.slice(2);
const found = findCanary(readFileSync(file));
if (found !== undefined) {
  console.error('The output of the tests holds the value of a secret. Look for it in the form:', found);
  process.exit(1);
}
console.log('no value of a secret in the output of the tests');
