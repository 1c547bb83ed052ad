/** A secret without its values: what `info` and `list` answer. */
export interface SecretInfo {
  readonly name: string;
  /** Numbers of the versions that exist, ascending. */
  readonly versions: readonly number[];
  readonly activeVersion: number;
}

/** One version's value. The bytes belong to the receiver, who wipes them (`value.fill(0)`) after use. */
export interface SecretValue {
  readonly value: Uint8Array;
  readonly version: number;
  /** It was put as binary, whatever its bytes are. */
  readonly binary: boolean;
}

/** What a new version is beside its bytes. */
export interface ValueOptions {
  /** Default false. The same bytes as another kind are another version. */
  readonly binary?: boolean | undefined;
}
