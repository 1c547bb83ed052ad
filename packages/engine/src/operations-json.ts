import { KEY_BYTES, type Operation, type Operations, type SpentOperation } from './operations.js';

const SPENT_BYTES = 2 * KEY_BYTES + 4;

/**
 * Operations as a head's JSON holds them: what is spent is 20 bytes each, key (8) ‖ principal (8) ‖ until (4, big-endian), in
 * base64.
 */
export interface OperationsJson {
  readonly recent: readonly OperationJson[];
  /** Left out where there are none. */
  readonly spent?: string;
}

export type OperationJson = [
  id: string,
  by: string,
  request: string,
  result: number,
  given: 0 | 1,
  until?: number,
];

export function encodeOperations({ recent, spent }: Operations): OperationsJson {
  return { recent: recent.map(encodeOperation), ...(spent.length > 0 && { spent: encodeSpent(spent) }) };
}

export const decodeOperations = ({ recent, spent }: OperationsJson): Operations => ({
  recent: recent.map(decodeOperation),
  spent: spent === undefined ? [] : decodeSpent(spent),
});

const encodeOperation = ({ id, by, request, result, given, until }: Operation): OperationJson => [
  id,
  by,
  request,
  result,
  given ? 1 : 0,
  ...(until === undefined ? ([] as const) : ([until] as const)),
];

const decodeOperation = ([id, by, request, result, given, until]: OperationJson): Operation => ({
  id,
  by,
  request,
  result,
  given: given === 1,
  ...(until !== undefined && { until }),
});

function encodeSpent(spent: readonly SpentOperation[]): string {
  const bytes = Buffer.alloc(spent.length * SPENT_BYTES);
  spent.forEach(({ key, by, until }, index) => {
    const at = index * SPENT_BYTES;
    bytes.write(key, at, 'base64');
    bytes.write(by, at + KEY_BYTES, 'base64');
    bytes.writeUInt32BE(until, at + 2 * KEY_BYTES);
  });
  return bytes.toString('base64');
}

function decodeSpent(text: string): SpentOperation[] {
  const bytes = Buffer.from(text, 'base64');
  return Array.from({ length: Math.floor(bytes.length / SPENT_BYTES) }, (_, index) => {
    const at = index * SPENT_BYTES;
    return {
      key: bytes.toString('base64', at, at + KEY_BYTES),
      by: bytes.toString('base64', at + KEY_BYTES, at + 2 * KEY_BYTES),
      until: bytes.readUInt32BE(at + 2 * KEY_BYTES),
    };
  });
}
