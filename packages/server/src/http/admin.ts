import type { Caller, Change, Engine, Grant } from '@coffer/engine';
import type { z } from 'zod';
import { rotateSigningKey } from '../backends/signing-ring.js';
import { rotateTransitKey } from '../wasmcloud/transit-ring.js';
import type { TransitUse } from '../wasmcloud/transit-use.js';
import * as answers from '../wire/answers.js';
import { jsonReader } from '../wire/request.js';
import * as schemas from '../wire/schemas.js';
import type { BodyKind } from './body.js';
import { checkPrincipals } from './principal-ids.js';

interface AdminContext {
  readonly engine: Engine;
  readonly caller: Caller;
  readonly change: Change | undefined;
  readonly transitUse: Pick<TransitUse, 'lastUsed'>;
}

/** A GET and a POST of one path; both answer what becomes JSON. */
export interface AdminResource {
  readonly get?: (context: AdminContext) => unknown;
  readonly post?: (body: Buffer, context: AdminContext) => unknown;
  /** Of the POST; small unless said. */
  readonly bodyKind?: BodyKind;
}

/** Administration, by path. */
export const ADMIN_RESOURCES: Readonly<Record<string, AdminResource>> = {
  '/api/admin/tokens': {
    get: async ({ engine, caller }) => ({ tokens: (await engine.listTokens(caller)).map(answers.tokenInfo) }),
    post: post(schemas.createTokenRequest, async ({ name, expiresIn }, { engine, caller, change }) => {
      const expiry = expiresIn === undefined ? {} : { expiresAt: new Date(Date.now() + expiresIn * 1000) };
      const { token, info } = await engine.createToken(caller, { name, ...expiry }, change);
      return { token, ...answers.tokenInfo(info) };
    }),
  },

  '/api/admin/tokens/revoke': {
    post: post(schemas.revokeTokenRequest, async ({ id }, { engine, caller, change }) =>
      answers.tokenInfo(await engine.revokeToken(caller, id, change)),
    ),
  },

  '/api/admin/revocations': {
    get: async ({ engine, caller }) => ({
      revocations: (await engine.revocations(caller)).map(answers.revocation),
    }),
    post: post(schemas.revokeRequest, async (request, { engine, caller, change }) =>
      answers.revocation(await engine.revoke(caller, request, change)),
    ),
  },

  '/api/admin/revocations/lift': {
    post: post(schemas.liftRevocationRequest, async ({ id }, { engine, caller, change }) => {
      await engine.liftRevocation(caller, id, change);
      return {};
    }),
  },

  '/api/admin/audit/head': {
    get: async ({ engine, caller }) => {
      const { storeId, serverKey } = engine;
      return { ...(await engine.auditHead(caller)), storeId, serverKey };
    },
  },

  '/api/admin/audit/instances': {
    get: async ({ engine, caller }) => answers.auditInstances(await engine.auditInstances(caller)),
  },

  '/api/admin/policy': {
    get: async ({ engine, caller }) => {
      const { generation, grants } = await engine.policy(caller);
      return { generation, grants: grants.map(answers.grant) };
    },
    bodyKind: 'policy',
    post: post(schemas.applyPolicyRequest, async (request, { engine, caller, change }) => {
      const { grants, dryRun, expectedGeneration } = request;
      checkPrincipals(grants);
      const condition = expectedGeneration === undefined ? {} : { expectedGeneration };
      const options = { dryRun: dryRun ?? false, ...condition };
      const { added, removed, unchanged, generation } = await engine.applyPolicy(
        caller,
        grants as Grant[],
        options,
        change,
      );
      return { added: added.map(answers.grant), removed: removed.map(answers.grant), unchanged, generation };
    }),
  },

  '/api/admin/keys': {
    get: async ({ engine, caller }) => answers.keys(await engine.keys(caller)),
  },

  '/api/admin/keys/rotation': {
    get: async ({ engine, caller }) => ({ rotation: (await engine.rotation(caller)) ?? null }),
  },

  '/api/admin/keys/rotate': {
    post: post(schemas.rotateKeysRequest, async (rotation, { engine, caller, change }) =>
      answers.keys(await engine.rotateKeys(caller, rotation, change)),
    ),
  },

  '/api/admin/storage': {
    get: async ({ engine, caller }) => answers.storage(await engine.storageStatus(caller)),
  },

  '/api/admin/storage/replicas': {
    post: post(schemas.storageReplicasRequest, async ({ replicas }, { engine, caller }) => {
      await engine.setStorageReplicas(caller, replicas);
      return {};
    }),
  },

  '/api/admin/storage/forget': {
    post: post(schemas.storageForgetRequest, async ({ member }, { engine, caller }) =>
      answers.member(await engine.forgetMember(caller, member)),
    ),
  },

  '/api/admin/storage/heal': {
    post: post(schemas.storageHealRequest, async ({ dryRun = false, ...asked }, { engine, caller }) =>
      answers.healReport(await engine.healStorage(caller, { dryRun, ...asked })),
    ),
  },

  '/api/admin/storage/set-aside': {
    post: post(schemas.storageSetAsideRequest, async ({ remove = false }, { engine, caller }) =>
      answers.setAside(await engine.setAside(caller, { remove })),
    ),
  },

  '/api/admin/transit-keys': {
    get: async ({ engine, caller, transitUse }) => ({
      keys: (await engine.listTransitKeys(caller)).map((key) => answers.transitKey(key, transitUse)),
    }),
  },

  '/api/admin/signing-keys': {
    get: async ({ engine, caller, transitUse }) => ({
      keys: (await engine.listTransitKeys(caller, undefined, 'signing')).map((key) =>
        answers.transitKey(key, transitUse),
      ),
    }),
  },

  '/api/admin/transit-keys/rotate': {
    post: post(schemas.rotateTransitKeyRequest, async ({ backend, use }, context) => {
      const { engine, caller, change, transitUse } = context;
      const rotate = use === 'signing' ? rotateSigningKey : rotateTransitKey;
      return answers.transitKey(await rotate(engine, backend, caller, change), transitUse);
    }),
  },

  '/api/admin/transit-keys/retire': {
    post: post(schemas.retireTransitKeyRequest, async (key, { engine, caller, change }) => {
      await engine.retireTransitKey(caller, key, change);
      return {};
    }),
  },
};

/** Who the server takes the caller for, what it may do, and whom it talks to. */
export async function whoami(engine: Engine, caller: Caller, version: string): Promise<unknown> {
  const { principals, grants } = await engine.whoami(caller);
  const { storeId, serverKey, development } = engine;
  return {
    principals: principals.map(answers.principal),
    grants: grants.map(answers.grant),
    server: { version, storeId, serverKey, development },
  };
}

function post<Schema extends z.ZodType>(
  schema: Schema,
  answer: (request: z.output<Schema>, context: AdminContext) => unknown,
): (body: Buffer, context: AdminContext) => unknown {
  const read = jsonReader(schema);
  return (body, context) => answer(read(body), context);
}
