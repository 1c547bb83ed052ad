import { openStore, startBed } from './bed.js';

/** A store of a real server that has these secrets. `rotate` changes one, and is done when the store has the new value. */
export async function openRotatingStore(secrets: Record<string, string>) {
  const { server, client } = await startBed(secrets);
  const { store, errors } = await openStore({ client, allowLookup: true, watch: false });
  const rotate = async (name: string, value: string) => {
    await server.mustRotate(name, value);
    await store.refresh();
  };
  return { server, store, rotate, errors };
}
