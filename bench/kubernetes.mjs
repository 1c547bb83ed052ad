import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { buffer } from 'node:stream/consumers';
import { createKeyPair } from '@coffer/identity';
import { openKubernetes } from '@coffer/wasmcloud/kubernetes';
import { KubeServer } from '../test/support/kube.mjs';
import { keeping } from './keeping.mjs';
import { row } from './table.mjs';

const CALLERS = 32;
/** Of Secrets that are asked for in turn. */
const KEYS = 16;
const NAMESPACE = 'bench';

/**
 * Gets from a real kube-apiserver, each as an impersonated user: by the backend, and by the least that a program can do, a GET over
 * kept connections whose JSON it parses.
 */
export const kubernetes = (options) => keeping((keep) => compare(keep, options));

async function compare(keep, { runs, seconds, progress }) {
  progress('starting kube-apiserver');
  const kube = await keep(KubeServer.start({ users: { coffer: [] } }));
  await fill(kube);
  const source = await openKubernetes({
    kubeconfig: kube.kubeconfig('coffer'),
    namespace: NAMESPACE,
    impersonation: [{ entities: ['*'], users: ['reader'] }],
  });
  await keep({ [Symbol.asyncDispose]: () => source.close() });
  const sides = [
    { name: 'coffer', get: (key) => source.fetch({ key }, REQUESTER), seen: [] },
    { name: 'a direct client', get: directClient(kube), seen: [] },
  ];
  const measure = async ({ get }, span) => {
    const before = kube.audited().length;
    const { count, elapsed } = await crowd(get, span);
    return { rate: count / elapsed, requests: (kube.audited().length - before) / count };
  };
  // What is compiled on the way is not what is measured.
  for (const side of sides) await measure(side, 1);
  for (let i = 0; i < runs; i++) {
    for (const side of sides) {
      progress(`Kubernetes gets, ${CALLERS} callers: ${side.name}`);
      side.seen.push(await measure(side, seconds));
    }
  }
  const compared = (what, unit, key, target) => {
    const [ours, theirs] = sides.map(({ seen }) => seen.map((one) => one[key]));
    return row(what, unit, ours, theirs, target);
  };
  return [
    compared(`Kubernetes gets, ${CALLERS} callers (peer: a direct client)`, '/s', 'rate', {
      ratio: 'at least',
      of: 0.7,
    }),
    compared('  requests that reach the API server, per get', '', 'requests', { value: 'at most', of: 1.05 }),
  ];
}

const REQUESTER = {
  entity: { kind: 'component', key: createKeyPair('component').publicKey, jti: 'bench', name: 'bench' },
  host: { key: createKeyPair('server').publicKey, name: 'bench' },
  application: {
    name: 'bench',
    policy: JSON.stringify({
      type: 'properties.secret.wasmcloud.dev/v1alpha1',
      properties: { impersonate: 'reader' },
    }),
  },
};

async function fill(kube) {
  await kube.createNamespace(NAMESPACE);
  const apiGroups = [''];
  const user = (name) => ({ kind: 'User', name, apiGroup: 'rbac.authorization.k8s.io' });
  await kube.allow(
    undefined,
    'impersonate',
    [{ apiGroups, resources: ['users'], verbs: ['impersonate'] }],
    [user('coffer')],
  );
  await kube.allow(
    NAMESPACE,
    'read',
    [{ apiGroups, resources: ['secrets'], verbs: ['get'] }],
    [user('reader')],
  );
  for (let i = 0; i < KEYS; i++) await kube.putSecret(NAMESPACE, `bench-${i}`, { value: `value of ${i}` });
}

function directClient(kube) {
  const agent = new https.Agent({ keepAlive: true, ca: readFileSync(kube.ca) });
  const headers = { authorization: `Bearer ${kube.tokenOf('coffer')}`, 'impersonate-user': 'reader' };
  return async (key) => {
    const url = `${kube.url}/api/v1/namespaces/${NAMESPACE}/secrets/${key}`;
    const [response] = await once(https.get(url, { agent, headers }), 'response');
    const { data } = JSON.parse(await buffer(response));
    return Buffer.from(data.value, 'base64');
  };
}

/** So many callers, each of whom asks again once it has its answer. */
async function crowd(get, seconds) {
  const started = performance.now();
  const end = started + seconds * 1000;
  let count = 0;
  const caller = async () => {
    while (performance.now() < end) {
      await get(`bench-${count++ % KEYS}`);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return { count, elapsed: (performance.now() - started) / 1000 };
}
