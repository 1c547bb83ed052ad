import type { SecretAnswer, SecretInfo, SecretValue } from '../types.js';
import { clean } from './clean.js';
import { bytes, errorCode, inside, list, object, or, record, type Shape, string, version } from './shapes.js';

/** As `list` and `info` answer, and as a watch tells it. */
export const secretInfo = record<SecretInfo>({
  name: string,
  versions: or(list(version), []),
  activeVersion: version,
});

/** Nothing visible is `null` on the wire. */
export const secretList = or(list(secretInfo), []);

export const secretValue = record<SecretValue>({ value: or(bytes, ''), version });

const refused = record<{ name: string; error: string }>({ name: string, error: errorCode });
const unchanged = record<{ name: string; version: number; unchanged: true }>({
  name: string,
  version,
  unchanged: () => true,
});
const told = record<{ name: string; version: number; value: SecretValue['value'] }>({
  name: string,
  version,
  value: bytes,
});

const secretAnswer: Shape<SecretAnswer> = (value, path) => {
  const fields = object(value, path);
  const shape: Shape<SecretAnswer> =
    fields.error != null ? refused : fields.unchanged === true ? unchanged : told;
  return shape(value, path);
};

export const secretAnswers = inside('secrets', list(secretAnswer));

/** A secret that is no more, as a watch tells it. */
export const deletedSecret = record<{ name: string }>({ name: string });

/** Why a watch ends, or a rotation does not go on. */
export const problem = record<{ code: string; message: string }>({
  code: errorCode,
  message: (value, path) => clean(Buffer.from(string(value, path))),
});
