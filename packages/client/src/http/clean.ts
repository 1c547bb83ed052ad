const MAX_QUOTED = 500;

/** One line of harmless text: what a stranger's server sends may go to a terminal. */
export function clean(body: Uint8Array): string {
  const text = Buffer.from(body.subarray(0, 4 * MAX_QUOTED)).toString('utf8');
  return text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, MAX_QUOTED);
}
