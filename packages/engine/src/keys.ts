import type { KeyRing } from './crypto/key-ring.js';

/**
 * The store's keys: a letter for the kind and blinded names, so that a scan of one kind is a range and no name is on the
 * disk in clear.
 */
export const HEADER_KEY = Buffer.from('header');
export const HEAD_PREFIX = Buffer.from('s');
export const VALUE_PREFIX = Buffer.from('v');
export const POLICY_PREFIX = Buffer.from('p');
export const MANIFEST_PREFIX = Buffer.from('m');

/** `s` ‖ blinded name (32). */
export const headKey = (ring: KeyRing, name: string): Buffer =>
  Buffer.concat([HEAD_PREFIX, ring.blind('secret', name)]);

/** `v` ‖ the head's blinded name (32) ‖ record id (16). */
export const valueKey = (head: Uint8Array, recordId: Uint8Array): Buffer =>
  Buffer.concat([VALUE_PREFIX, head.subarray(HEAD_PREFIX.length), recordId]);

/** What each has a record of its own under the manifest. */
export type PolicyKind = 'grant' | 'token' | 'revocation' | 'issued' | 'transit-key';

/** `p` ‖ blinded id (32): one grant, token or the like. */
export const policyKey = (ring: KeyRing, kind: PolicyKind, id: string): Buffer =>
  Buffer.concat([POLICY_PREFIX, ring.blind(kind, id)]);

/** `m` ‖ blinded (32). */
export const manifestKey = (ring: KeyRing): Buffer =>
  Buffer.concat([MANIFEST_PREFIX, ring.blind('manifest', '')]);

/** Whether a record is a head, by which alone something is true, or one beside a head. */
export const isHeadKey = (key: Uint8Array): boolean =>
  key[0] !== VALUE_PREFIX[0] && key[0] !== POLICY_PREFIX[0];
