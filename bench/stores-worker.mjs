import { Client } from '@coffer/client';

/**
 * A process with many stores in it, each with a client of its own, as bench/stores.mjs asks for over IPC. It tells when a program
 * of one store would see a new value, on the machine's monotonic clock, which all processes share.
 */
const stores = [];
/** Told together, so that telling does not get into the way of what is measured. */
let seen = [];

process.on('message', async (message) => {
  try {
    process.send({ done: message.id, result: await COMMANDS[message.command](message) });
  } catch (error) {
    process.send({ done: message.id, error: `${error.code}: ${error.message}` });
  }
});

const COMMANDS = {
  /** `stores`: of each the names that it holds. */
  async open({ server, token, watch, stores: wanted }) {
    await Promise.all(wanted.map((names) => open({ server, token, watch, names })));
  },
  /** Each asks once whether there is something new. */
  async poll() {
    await Promise.all(stores.map((store) => store.refresh()));
  },
  async close() {
    await Promise.all(stores.splice(0).map((store) => store.close()));
  },
};

async function open({ server, token, names, watch }) {
  const client = new Client({ server, token });
  const held = new Map();
  const fetch = async (name) => {
    const got = await client.getIfChanged(name, held.get(name)?.version ?? 0);
    if (!got) return;
    const isNew = held.has(name);
    held.set(name, got);
    if (isNew) note(name, got.version);
  };
  const refresh = async () => {
    for (const name of names) await fetch(name);
  };
  const ended = new AbortController();
  const follow = async (ready) => {
    for await (const event of client.watch({ secrets: names, signal: ended.signal })) {
      if (event.type === 'ready') ready();
      else if (event.type === 'change') await fetch(event.name);
    }
  };
  if (watch) await new Promise((resolve, reject) => follow(resolve).catch(reject));
  await refresh();
  stores.push({
    refresh,
    close: () => {
      ended.abort();
      return client.close();
    },
  });
}

function note(name, version) {
  if (seen.length === 0) setTimeout(tell, 20);
  seen.push({ name, version, at: Number(process.hrtime.bigint()) / 1e6 });
}

function tell() {
  process.send({ seen });
  seen = [];
}
