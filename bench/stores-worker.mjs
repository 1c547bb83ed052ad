import { Client, Store } from '@coffer/client';

/**
 * A process of programs, each with a store and a client of its own, for bench/crowd.mjs. It tells when a handle gives a new value,
 * in milliseconds of the machine's monotonic clock, which all processes share.
 */
const COMMANDS = {
  open: ({ stores, ...server }) => Promise.all(stores.map((one) => open({ ...server, ...one }))),
  /** Each asks once whether there is something new. */
  poll: () => Promise.all(programs.map(({ store }) => store.refresh())),
  close: () => Promise.all(programs.splice(0).map(close)),
};

const programs = [];
/** Told together and later, so that telling does not get into the way of what is measured. */
let seen = [];
const TOLD_MS = 20;

process.on('message', async ({ id, command, ...details }) => {
  try {
    await COMMANDS[command](details);
    process.send({ done: id });
  } catch (error) {
    process.send({ done: id, error: `${error.code}: ${error.message}` });
  }
});

async function open({ url, token, watch, secrets }) {
  const client = new Client({ server: url, token });
  const store = await Store.open({
    client,
    secrets,
    watch,
    onError: (error) => console.error(error.message),
  });
  // Changes are told from then on.
  while (watch && !store.metrics().watching) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const name of secrets) {
    const handle = store.secret(name);
    store.on('update', (event) => {
      if (event.name === name) note(name, handle.version);
    });
  }
  programs.push({ store, client });
}

async function close({ store, client }) {
  await store.close();
  client.close();
}

function note(name, version) {
  if (seen.length === 0) setTimeout(tell, TOLD_MS);
  seen.push({ name, version, at: Number(process.hrtime.bigint()) / 1e6 });
}

function tell() {
  process.send({ seen });
  seen = [];
}
