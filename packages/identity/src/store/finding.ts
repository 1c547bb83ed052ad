/** What is wrong with a token that is well formed and well signed. */
export interface Finding {
  /** A warning keeps nothing from working. */
  readonly level: 'error' | 'warning';
  readonly text: string;
}

export const error = (text: string): Finding => ({ level: 'error', text });
export const warning = (text: string): Finding => ({ level: 'warning', text });
export const when = (condition: boolean, text: string): Finding[] => (condition ? [error(text)] : []);

const INFO_BYTES = 8 * 1024;

export function infoFindings(info: {
  description?: string | undefined;
  info_url?: string | undefined;
}): Finding[] {
  const { description = '', info_url: url = '' } = info;
  return [
    ...when(Buffer.byteLength(description) > INFO_BYTES, 'its description is too long'),
    ...when(url !== '' && (Buffer.byteLength(url) > INFO_BYTES || isBadUrl(url)), 'its info URL is no URL'),
  ];
}

export function isBadUrl(text = '', protocols?: readonly string[]): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return (
    url === undefined || url.hostname === '' || (protocols !== undefined && !protocols.includes(url.protocol))
  );
}
