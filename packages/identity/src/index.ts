/**
 * Who: NATS identities. Their keys (nkeys, xkeys), their tokens (JWTs of NATS and of wasmCloud), the proofs by which a user
 * shows over HTTP that a key is its own, chains of trust, and the folders in which people keep them.
 *
 * All cryptography is libsodium's; a secret half lives in locked memory and is wiped. Whatever comes from outside and is not
 * exactly right is an `IdentityError`.
 */
export { IdentityError, type IdentityErrorCode } from './errors.js';
export {
  createKeyPair,
  type KeyPair,
  keyPairFromBytes,
  keyPairFromSeed,
  publicKeyOf,
  verify,
} from './keys/key-pair.js';
export {
  decodeSeed,
  encodePublicKey,
  type KeyKind,
  type PublicKey,
  parsePublicKey,
  type Seed,
} from './keys/nkey.js';
export { BOX_OVERHEAD, type FreshBox, open, seal, sealFresh } from './keys/xkey.js';
export { ActivationLedger } from './operate/activation-ledger.js';
export {
  CLAIMS_PERMISSIONS,
  ClaimsClient,
  type ClaimsServers,
  type ServerAnswer,
  ServersError,
} from './operate/claims-client.js';
export {
  type ExportRequest,
  exportOf,
  RESPONSE_TYPES,
  withExport,
  withoutExport,
} from './operate/exports.js';
export { type GraphNode, graphOf } from './operate/graph.js';
export { exporterOf, type ImportRequest, importOf, withImport, withoutImport } from './operate/imports.js';
export {
  type AccountSnapshot,
  type IssuedToken,
  issuedBy,
  issuedTokens,
  type Snapshot,
  type TokenState,
} from './operate/issued.js';
export {
  type Claims,
  openClaims,
  type Pruned,
  type Pulled,
  type Pushed,
  type PushTarget,
  pruneAccounts,
  pullAccounts,
  pushAccounts,
  requirePushed,
} from './operate/push.js';
export { EVERYBODY, isRevokedUser, withoutRevocation, withRevocation } from './operate/revocations.js';
export {
  type RotationOptions,
  rotateSigningKey,
} from './operate/rotation.js';
export type { Duty } from './operate/rotation-duties.js';
export type { RotationRequest } from './operate/rotation-plan.js';
export type { Reissued, RotationReport } from './operate/rotation-report.js';
export {
  fullResolverConfig,
  memoryResolverConfig,
  memoryResolverFolder,
  type ServerTokens,
} from './operate/server-config.js';
export { takeSnapshot } from './operate/snapshot.js';
export type { SystemUserWanted } from './operate/system-user.js';
export { checkProof, matchesRequest, type ProofExpectations } from './proof/check.js';
export { createProof, type ProofContent, type ProofUser } from './proof/create.js';
export { audienceOf, PROOF_LENGTH_MAX, PROOF_SECONDS_MAX } from './proof/format.js';
export { isProof, type Proof, type ProvenRequest, parseProof, verifyProofSignature } from './proof/parse.js';
export { activationHash } from './store/activation-hash.js';
export {
  accountMeant,
  type ContextOptions,
  changing,
  openContext,
  openWorkplace,
  remember,
  type StoreContext,
  userMeant,
  type Workplace,
} from './store/context.js';
export { StoreError, type StoreErrorCode } from './store/errors.js';
export { makeFolder } from './store/files.js';
export type { Finding } from './store/finding.js';
export { findingsIn, type StoreFindings } from './store/findings.js';
export { KeyFolder, keyPairFromFile } from './store/key-folder.js';
export { KeyLedger, type KeyNote, type KeyRecord, type KeyUse } from './store/ledger.js';
export {
  type CurrentContext,
  type Folders,
  type Locations,
  locate,
  readCurrentContext,
  writeCurrentContext,
} from './store/locations.js';
export { checkName, checkNewName } from './store/names.js';
export { type DamagedToken, OperatorStore, type Scan } from './store/operator-store.js';
export { inJetStreamOrder, inTemplateOrder } from './store/order.js';
export {
  generateKey,
  issueTime,
  type Saved,
  type SaveOptions,
  saveAccount,
  saveOperator,
  saveUser,
} from './store/save.js';
export {
  accountSigner,
  kindOfPublicKey,
  operatorSigner,
  resolveKey,
  type Signer,
  type SignerWanted,
  userSigner,
} from './store/signer.js';
export {
  accountFindings,
  isCidr,
  isTimeZone,
  operatorFindings,
  userFindings,
} from './store/validate.js';
export {
  type AccountClaims,
  type AccountLimits,
  type ActivationClaims,
  CONNECTION_TYPES,
  type Export,
  type GenericClaims,
  type Import,
  type OperatorClaims,
  type Permission,
  signingKeysOf,
  type UserClaims,
  type UserPermissionLimits,
  type UserScope,
} from './tokens/claims.js';
export { type Creds, decorateToken, formatCreds, parseCreds, tokenIn } from './tokens/creds.js';
export { goJson, type Int, type Json } from './tokens/json.js';
export {
  type AnyJwt,
  type ClaimsOf,
  decodeAccount,
  decodeActivation,
  decodeJwt,
  decodeOperator,
  decodeUser,
  encodeJwt,
  type Jwt,
  type JwtKind,
  type Unsigned,
} from './tokens/jwt.js';
export { newAccount, newActivation, newOperator, newUser } from './tokens/new-claims.js';
export { hasWildcards, isContainedIn, permissionProblem, subjectProblem } from './tokens/subjects.js';
export {
  decodeWascap,
  encodeWascap,
  looksLikeWascap,
  type WascapClaims,
  type WascapKind,
  type WascapToken,
  wascapKindOf,
} from './tokens/wascap.js';
export type {
  Chain,
  ChainKind,
  ChainLink,
  ChainOf,
  ComponentChain,
  HostChain,
  Party,
  UserChain,
  UserConditions,
} from './trust/chain.js';
export { ChainError, type ChainErrorCode } from './trust/chain-error.js';
export {
  type MemoryResolver,
  type MemoryRevocations,
  memoryIssued,
  memoryResolver,
  memoryRevocations,
} from './trust/in-memory.js';
export { accountInspector, type InspectedAccount, type InspectOptions } from './trust/inspect.js';
export type {
  AccountResolver,
  HostTrust,
  IssuedMemory,
  Revocations,
  VerifierOptions,
} from './trust/options.js';
export { folderResolver } from './trust/resolvers/folder.js';
export { type NatsResolverOptions, natsResolver } from './trust/resolvers/nats.js';
export { storeResolver } from './trust/resolvers/store.js';
export { readTrustedOperator, type TrustedOperator } from './trust/tokens.js';
export { Verifier } from './trust/verifier.js';
