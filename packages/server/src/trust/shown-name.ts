const NAME_LENGTH = 128;

/** A name as people are shown it, in a log or beside a principal: whoever signed the token chose it, and how long it is. */
export const shownName = (name: string): string =>
  name.replace(/\p{C}/gu, '').slice(0, NAME_LENGTH).toWellFormed();
