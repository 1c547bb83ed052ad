import { readFileSync } from 'node:fs';
import { CofferClientError } from '../errors.js';
import { StaticSecret } from './static-secret.js';

/** A secret whose value is the content of a file, read once, when it is made. Its name is the path. */
export class StaticFile extends StaticSecret {
  /**
   * @param options.trim whether ASCII white space at both ends is left out, such as the line feed that editors put there; default no
   * @throws CofferClientError `bad_file` if the file cannot be read
   */
  constructor(path: string, options: { readonly trim?: boolean | undefined } = {}) {
    const content = read(path);
    super(options.trim ? trimmed(content) : content, path);
    content.fill(0);
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CofferClientError('bad_file', `${path} cannot be read (${code})`, { cause });
  }
}

function trimmed(content: Buffer): Buffer {
  const blank = (at: number) => ' \t\n\v\f\r'.includes(String.fromCharCode(content[at] as number));
  let [start, end] = [0, content.length];
  while (start < end && blank(end - 1)) end--;
  while (start < end && blank(start)) start++;
  return content.subarray(start, end);
}
