/**
 * A marker that tests put into the values of secrets. Where it shows up in what a program prints, logs or writes, a value
 * leaked: `.ci/run` looks for it in the output of all suites.
 */
export const CANARY: string;

/** A value of a secret, different for each label. */
export function canary(label: string | number): string;

/** In which form the output holds the marker: as text, base64, hexadecimal or a list of bytes; undefined if in none. */
export function findCanary(output: string | Uint8Array): string | undefined;

/** Throws, without the output, if it holds the marker. `where` names it. */
export function expectNoCanary(output: string | Uint8Array, where: string): void;
