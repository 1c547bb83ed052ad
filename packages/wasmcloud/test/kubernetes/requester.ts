import { createKeyPair } from '@coffer/identity';
import type { Entity, Host, Requester } from '../../src/backend/options.js';

export const ACCOUNT = createKeyPair('account').publicKey;
export const COMPONENT = createKeyPair('component').publicKey;
export const HOST = createKeyPair('server').publicKey;

/** Who asks, as far as a source looks at it. */
export function requester(
  {
    application = 'shop',
    account = ACCOUNT,
    component = COMPONENT,
    properties,
    policy = policyOf(properties),
  }: {
    readonly application?: string | undefined;
    readonly account?: string | undefined;
    readonly component?: string;
    readonly properties?: object;
    readonly policy?: string;
  } = {},
  {
    selfIssued = false,
    anonymous = false,
    hostIssuer = HOST,
    hostTrusted = false,
  }: {
    readonly selfIssued?: boolean;
    readonly anonymous?: boolean;
    /** Who signed the host's token. */
    readonly hostIssuer?: string;
    /** Whether the operator lists that one. */
    readonly hostTrusted?: boolean;
  } = {},
): Requester {
  const entity = {
    kind: 'component',
    key: component,
    jti: 'jti',
    name: 'orders',
    account: selfIssued ? undefined : account,
  };
  return {
    entity: entity as Entity,
    host: { key: HOST, name: 'host', chain: { issuer: hostIssuer, trusted: hostTrusted } } as Host,
    application: { name: anonymous ? undefined : application, policy },
  };
}

/** As a host writes it. */
export const policyOf = (properties: object | undefined): string =>
  properties === undefined
    ? ''
    : JSON.stringify({ type: 'properties.secret.wasmcloud.dev/v1alpha1', properties });
