import { type CofferClientError, invalid } from '../errors.js';

const FORM = 'it has a user’s token and a user’s seed, each between lines of dashes';

/** For what was given as the content of a creds file, and cannot be that of one. */
export const noCreds = (why = FORM): CofferClientError =>
  invalid(`this is no content of a creds file: ${why}`);
