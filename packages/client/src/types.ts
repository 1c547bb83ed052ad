import type { CofferClientError } from './errors.js';
import type { SecretBytes } from './secret/secret-bytes.js';

/** A secret without its values. */
export interface SecretInfo {
  readonly name: string;
  /** Numbers of the versions that exist, ascending. */
  readonly versions: readonly number[];
  readonly activeVersion: number;
}

/** One version's value. The bytes are yours: wipe them with `value.wipe()` after use. */
export interface SecretValue {
  readonly value: SecretBytes;
  readonly version: number;
}

/** One of many secrets that are asked for together. */
export interface SecretRequest {
  readonly name: string;
  /** 0 or absent: the active one. */
  readonly version?: number | undefined;
  /** The version that you have: if it is still the active one, it does not come again. Not together with `version`. */
  readonly known?: number | undefined;
}

/** What became of a {@link SecretRequest}. The bytes of a value are yours: wipe them with `value.wipe()` after use. */
export type SecretAnswer =
  | { readonly name: string; readonly version: number; readonly value: SecretBytes }
  /** The `known` version is the active one. */
  | { readonly name: string; readonly version: number; readonly unchanged: true }
  | {
      readonly name: string;
      /** `tampered`: the server found that the record is not what it wrote. */
      readonly error: 'not_found' | 'access_denied' | 'tampered' | (string & {});
    };

/** What a watch tells. `id` is where to go on from when you have taken the event: it is the `since` of a later watch. */
export type WatchEvent =
  /** First: the watch has begun, and misses nothing from here on. Without `since`, read now what there is. */
  | { readonly type: 'ready'; readonly id: string }
  /** A secret is this now, new or changed. */
  | ({ readonly type: 'change'; readonly id: string } & SecretInfo)
  | { readonly type: 'delete'; readonly id: string; readonly name: string }
  /** Changes were missed, or your grants are others: read anew what there is. */
  | { readonly type: 'reset'; readonly id: string };

/** What {@link Client.watch} takes. */
export interface WatchOptions extends CallOptions {
  /** Patterns of names, at most 32; default all secrets. */
  readonly secrets?: readonly string[] | undefined;
  /** The id of the last event that you took, to go on behind it. */
  readonly since?: string | undefined;
  /** Once for each outage: a connection was lost, or the next one cannot be had. The watch goes on trying. */
  readonly onTrouble?: ((error: CofferClientError) => void) | undefined;
  /** The outage that `onTrouble` told of is over. */
  readonly onRecovered?: (() => void) | undefined;
}

/** Everything that a grant can allow. */
export type Action = 'get' | 'info' | 'put' | 'create-version' | 'activate' | 'delete' | 'admin' | 'metrics';

/**
 * Allows `actions` on the secrets that match `secrets` to the principals that match `to`. In a pattern each `*`
 * stands for any run of characters, `/` included.
 */
export interface Grant {
  readonly to: readonly string[];
  readonly actions: readonly Action[];
  readonly secrets: readonly string[];
  /** Only in a grant of `get` alone. */
  readonly when?: GrantConditions;
}

/**
 * What must be so besides for a grant to hold: each list that is there has a pattern that matches what the request claims. It
 * narrows and proves nothing. Only requests over NATS claim anything.
 */
export interface GrantConditions {
  /** Names of applications. */
  readonly application?: readonly string[];
  /** Keys of hosts. */
  readonly host?: readonly string[];
}

/** One proven identity of the caller's. `id` is what grants name; `name` is for people's eyes. */
export interface Principal {
  readonly id: string;
  readonly kind: string;
  readonly name?: string;
}

/** Who the server takes the caller for, and what it allows. */
export interface Whoami {
  readonly principals: readonly Principal[];
  readonly grants: readonly Grant[];
  readonly server: {
    readonly version: string;
    readonly storeId: string;
    /** The server's public nkey (`N…`). */
    readonly serverKey: string;
    readonly development: boolean;
  };
}

/** Taken by every call. */
export interface CallOptions {
  /** Ends the call early; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Whether the process stays alive for it; default yes. A connection that is being made holds it in any case, for up to 10 s. */
  readonly keepsAlive?: boolean | undefined;
}

/** Taken by every call that changes something. */
export interface ChangeOptions extends CallOptions {
  /**
   * Names this change, so that sending it again is harmless: 1 to 128 printable ASCII characters without spaces. The
   * default is a fresh random UUID. Give your own to repeat a change whose outcome you never learned.
   */
  readonly operation?: string | undefined;
}
