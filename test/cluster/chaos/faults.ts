import type { ClusterServer } from '../../support/cluster.mjs';
import type { CofferInstance } from '../../support/instances.mjs';
import type { Deployment } from '../deployment.js';

/** Something that can be broken, and mended again. */
export interface Plan {
  readonly what: string;
  /** The only instance that it concerns; undefined: any may feel it. */
  readonly instance?: string;
  readonly break: () => unknown;
  readonly mend: () => unknown;
}

type Some = <Item>(items: readonly Item[]) => Item;

/** A kind of fault; `some` says whom it strikes. */
export type FaultKind = (deployment: Deployment, some: Some) => Plan;

const ofServer =
  (what: string, act: (server: ClusterServer, deployment: Deployment) => Omit<Plan, 'what'>): FaultKind =>
  (deployment, some) => {
    const server = some(deployment.cluster.servers);
    return { what: what.replace('*', server.name), ...act(server, deployment) };
  };

const ofAllServers =
  (what: string, act: (each: Each, deployment: Deployment) => Omit<Plan, 'what'>): FaultKind =>
  (deployment) => {
    const each: Each = (one) => Promise.all(deployment.cluster.servers.map(one));
    return { what, ...act(each, deployment) };
  };
type Each = (act: (server: ClusterServer) => unknown) => Promise<unknown>;

const ofInstance =
  (what: string, brk: (instance: CofferInstance, other: ClusterServer) => unknown, mend = uncut): FaultKind =>
  (deployment, some) => {
    const instance = some(deployment.instances);
    const other = some(deployment.cluster.servers);
    return {
      what: what.replace('*', instance.name).replace('#', other.name),
      instance: instance.name,
      break: () => brk(instance, other),
      mend: () => mend(instance),
    };
  };
const uncut = ({ gate }: CofferInstance): unknown => gate?.mend();
const start = (one: { start(): unknown }): unknown => one.start();
const resume = (one: { resume(): unknown }): unknown => one.resume();

/** All that chaos does to a deployment, each once. */
export const FAULTS: readonly FaultKind[] = [
  ofServer('kill *', (server) => ({ break: () => server.kill(), mend: () => server.start() })),
  ofServer('stop *', (server) => ({ break: () => server.stop(), mend: () => server.start() })),
  ofServer('pause *', (server) => ({ break: () => server.pause(), mend: () => server.resume() })),
  ofServer('cut * from the servers', (server, { cluster }) => ({
    break: () => cluster.isolate(server),
    mend: () => cluster.mend(),
  })),
  ofServer('cut * from all', (server, { cluster }) => ({
    break: () => cluster.isolate(server, { clients: true }),
    mend: () => cluster.mend(),
  })),
  ofServer('cut what * asks', (server, { cluster }) => ({
    break: () => cluster.isolate(server, { direction: 'there' }),
    mend: () => cluster.mend(),
  })),
  ofAllServers('kill all servers', (each) => ({
    break: () => each((server) => server.kill()),
    mend: () => each(start),
  })),
  ofAllServers('pause all servers', (each) => ({
    break: () => each((server) => server.pause()),
    mend: () => each(resume),
  })),
  ofAllServers('cut all servers', (each, { cluster }) => ({
    break: () => each((server) => cluster.isolate(server)),
    mend: () => cluster.mend(),
  })),
  ofAllServers('slow servers', (_, { cluster }) => ({
    break: () => cluster.delay(150),
    mend: () => cluster.mend(),
  })),
  ofInstance('kill *', (instance) => instance.kill(), start),
  ofInstance('stop *', (instance) => instance.stop(), start),
  ofInstance('pause *', (instance) => instance.pause(), resume),
  ofInstance('cut off *', ({ gate }) => gate?.cut()),
  ofInstance('cut what * asks', ({ gate }) => gate?.cut(undefined, 'there')),
  ofInstance('cut answers to *', ({ gate }) => gate?.cut(undefined, 'back')),
  ofInstance('cut * from #', ({ gate }, server) => gate?.cut(server)),
  ofInstance('break connections of *', ({ gate }) => gate?.break()),
  ofInstance('slow *', ({ gate }) => gate?.delay(200)),
];
