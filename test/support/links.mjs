import { once } from 'node:events';
import { connect, createServer } from 'node:net';

// Plain JavaScript, since bench/ runs without a build; the contract stands in links.d.mts.

/** More than this is not read from one side while the other takes nothing. */
const WAITING_BYTES = 1 << 20;

export class Link {
  /** The far side may be given later, by `target`. */
  static async open(target) {
    const link = new Link(target);
    link.#server.listen(0, '127.0.0.1');
    await once(link.#server, 'listening');
    link.port = link.#server.address().port;
    return link;
  }

  #pairs = new Set();
  #server = createServer({ pauseOnConnect: true }, (near) => this.#accept(near));
  #held = { there: false, back: false };
  #delayMs = 0;
  #refusing = false;

  constructor(target) {
    this.target = target;
  }

  get address() {
    return `127.0.0.1:${this.port}`;
  }

  get connections() {
    return this.#pairs.size;
  }

  cut(direction) {
    this.#hold(direction, true);
  }

  delay(milliseconds) {
    this.#delayMs = milliseconds;
  }

  break() {
    this.#refusing = true;
    for (const pair of [...this.#pairs]) pair.end();
  }

  mend() {
    this.#refusing = false;
    this.#delayMs = 0;
    this.#hold(undefined, false);
  }

  async close() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const pair of [...this.#pairs]) pair.end();
    await closed;
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }

  #hold(direction, held) {
    for (const each of direction === undefined ? ['there', 'back'] : [direction]) this.#held[each] = held;
    for (const pair of [...this.#pairs]) pair.go();
  }

  #accept(near) {
    if (this.#refusing || this.target === undefined) {
      near.resetAndDestroy();
      return;
    }
    const pair = new Pair(near, this.target, {
      held: this.#held,
      delayMs: () => this.#delayMs,
      ended: () => this.#pairs.delete(pair),
    });
    this.#pairs.add(pair);
    pair.go();
  }
}

/** One connection through a link: what comes from either side and the end of it wait while their direction is held. */
class Pair {
  #near;
  #far;
  #target;
  #rules;
  #there;
  #back;
  #ended = false;

  constructor(near, target, rules) {
    this.#near = near;
    this.#target = target;
    this.#rules = rules;
    this.#there = new Flow(() => rules.held.there, rules.delayMs);
    this.#back = new Flow(() => rules.held.back, rules.delayMs);
    near.on('error', () => {}); // what follows is its 'close'
  }

  go() {
    // Who is cut off does not get as far as a connection.
    if (this.#far === undefined && !this.#rules.held.there) this.#dial();
    this.#there.go();
    this.#back.go();
  }

  end() {
    if (this.#ended) return;
    this.#ended = true;
    this.#near.resetAndDestroy();
    this.#far?.resetAndDestroy();
    this.#rules.ended();
  }

  #dial() {
    const far = connect(this.#target);
    this.#far = far;
    far.on('error', () => {});
    for (const socket of [this.#near, far]) socket.setNoDelay(true);
    this.#there.join(this.#near, far, () => this.end());
    this.#back.join(far, this.#near, () => this.end());
  }
}

/** One direction of a connection. */
class Flow {
  #isHeld;
  #delayMs;
  #waiting = [];
  #bytes = 0;
  #timer;
  #from;
  #to;
  #end;

  constructor(isHeld, delayMs) {
    this.#isHeld = isHeld;
    this.#delayMs = delayMs;
  }

  join(from, to, end) {
    this.#from = from;
    this.#to = to;
    this.#end = end;
    from.on('data', (chunk) => this.#take(chunk));
    from.on('close', () => this.#take(undefined));
    to.on('drain', () => this.go());
    from.resume();
  }

  /** @param chunk undefined: the connection's end, of which a side that is cut off hears nothing either */
  #take(chunk) {
    this.#waiting.push({ chunk, due: performance.now() + this.#delayMs() });
    this.#bytes += chunk?.length ?? 0;
    if (this.#bytes > WAITING_BYTES) this.#from.pause();
    this.go();
  }

  go() {
    if (this.#from === undefined || this.#isHeld()) return;
    while (this.#waiting.length > 0 && !this.#to.writableNeedDrain) {
      const { chunk, due } = this.#waiting[0];
      const rest = due - performance.now();
      if (rest > 0) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.go(), rest);
        return;
      }
      this.#waiting.shift();
      if (chunk === undefined) return void this.#end();
      this.#bytes -= chunk.length;
      this.#to.write(chunk);
    }
    if (this.#bytes <= WAITING_BYTES) this.#from.resume();
  }
}
