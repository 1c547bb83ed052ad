import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('stores-worker.mjs', import.meta.url));
const LATE_MS = 30_000;

/** Programs with a store each, in processes of their own, that tell when they see what. */
export class Crowd {
  #workers;
  #waiting;

  /**
   * @param stores `{secrets: names, token?}` of each; they are dealt out to so many processes
   */
  static async open({ url, stores, processes = 1, watch = true }) {
    const crowd = new Crowd();
    crowd.#workers = Array.from({ length: processes }, () => new Worker((seen) => crowd.#hear(seen)));
    try {
      const opening = crowd.#workers.map((worker, place) => {
        const dealt = stores.filter((_, store) => store % processes === place);
        return worker.ask('open', { url, watch, stores: dealt });
      });
      await Promise.all(opening);
      return crowd;
    } catch (error) {
      await crowd.stop();
      throw error;
    }
  }

  /**
   * Makes a change, and waits until so many programs have the new version.
   *
   * @returns the milliseconds that each took from the call of `make` on
   */
  async change({ name, version, holders }, make) {
    const started = Number(process.hrtime.bigint()) / 1e6;
    const seen = new Promise((resolve, reject) => {
      const times = [];
      const late = () => reject(new Error(`${times.length} of ${holders} stores saw a change in time`));
      this.#waiting = { name, version, holders, times, resolve, timer: setTimeout(late, LATE_MS) };
    });
    await make();
    return (await seen).map((at) => at - started);
  }

  /** Each asks once whether there is something new. */
  async poll() {
    await Promise.all(this.#workers.map((worker) => worker.ask('poll')));
  }

  async stop() {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
  }

  #hear(seen) {
    const { name, version, holders, times, resolve, timer } = this.#waiting;
    times.push(...seen.filter((one) => one.name === name && one.version === version).map(({ at }) => at));
    if (times.length < holders) return;
    clearTimeout(timer);
    resolve(times);
  }
}

class Worker {
  #child = fork(WORKER);
  #asked = new Map();
  #count = 0;
  #exited = new Promise((resolve) => this.#child.once('exit', resolve));
  #killWithUs = () => this.#child.kill('SIGKILL');

  constructor(onSeen) {
    process.on('exit', this.#killWithUs);
    this.#child.on('message', ({ seen, done, error }) => {
      if (seen) onSeen(seen);
      if (error === undefined) this.#asked.get(done)?.resolve();
      else this.#asked.get(done)?.reject(new Error(`a process of stores failed: ${error}`));
      this.#asked.delete(done);
    });
    void this.#exited.then(() => {
      for (const { reject } of this.#asked.values()) reject(new Error('a process of stores ended'));
    });
  }

  ask(command, details) {
    const id = this.#count++;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#child.send({ id, command, ...details });
    });
  }

  async stop() {
    if (this.#child.connected) {
      await this.ask('close').catch(() => {});
      this.#child.disconnect();
    }
    await this.#exited;
    process.off('exit', this.#killWithUs);
  }
}
