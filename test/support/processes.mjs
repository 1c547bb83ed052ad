import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Plain JavaScript, since bench/ runs without a build; the contract stands in processes.d.mts.

export class Process {
  #child;
  #all = [];
  #stdout = [];
  #stderr = [];
  #exit;
  #heard = new Set();
  exited;

  constructor(command, args, { env = {}, cwd, detached = false } = {}) {
    const child = spawn(command, args, { cwd, detached, env: environment(env), stdio: 'pipe' });
    this.#child = child;
    child.stdin.on('error', () => {}); // a child that does not read its input is no error of ours
    child.stdout.on('data', (chunk) => this.#hear(this.#stdout, chunk));
    child.stderr.on('data', (chunk) => this.#hear(this.#stderr, chunk));
    const killWithUs = () => child.kill('SIGKILL');
    const offExit = onExit(killWithUs);
    this.exited = new Promise((resolve, reject) => {
      child.once('error', (error) => reject(new Error(`cannot start ${command}: ${error.message}`)));
      child.once('close', (code, signal) => resolve({ code, signal }));
    }).finally(offExit);
    this.exited.then(
      (exit) => {
        this.#exit = exit;
        this.#tell();
      },
      (error) => {
        this.#exit = { code: null, signal: null };
        this.#all.push(Buffer.from(error.message));
        this.#tell();
      },
    );
  }

  get pid() {
    return this.#child.pid;
  }

  get running() {
    return this.#exit === undefined;
  }

  get output() {
    return Buffer.concat(this.#all).toString();
  }

  get stdout() {
    return Buffer.concat(this.#stdout);
  }

  get stderr() {
    return Buffer.concat(this.#stderr);
  }

  signal(signal) {
    this.#child.kill(signal);
  }

  write(text) {
    this.#child.stdin.write(text);
  }

  endInput(text) {
    this.#child.stdin.end(text);
  }

  waitFor(pattern, { timeoutMs = 30_000 } = {}) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = this.output.match(pattern);
        if (match !== null) settle(() => resolve(match));
        else if (!this.running) fail('it ended first');
      };
      const fail = (why) =>
        settle(() => reject(new Error(`${pattern} was not printed, ${why}; output:\n${this.output}`)));
      const settle = (done) => {
        clearTimeout(timer);
        this.#heard.delete(look);
        done();
      };
      const timer = setTimeout(() => fail(`waited ${timeoutMs} ms`), timeoutMs);
      this.#heard.add(look);
      look();
    });
  }

  async stop({ signal = 'SIGTERM', timeoutMs = 10_000 } = {}) {
    if (this.running) this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  kill() {
    return this.stop({ signal: 'SIGKILL' });
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }

  #hear(chunks, chunk) {
    chunks.push(chunk);
    this.#all.push(chunk);
    this.#tell();
  }

  #tell() {
    for (const look of [...this.#heard]) look();
  }
}

export async function run(command, args, { env, cwd, input = '', timeoutMs = 60_000 } = {}) {
  const child = new Process(command, args, { env, cwd });
  child.endInput(input);
  const timer = setTimeout(() => void child.kill(), timeoutMs);
  try {
    const { code, signal } = await child.exited;
    return { code, signal, stdout: child.stdout, stderr: child.stderr };
  } finally {
    clearTimeout(timer);
  }
}

export class TemporaryFolder {
  #offExit;

  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'coffer-test-'));
    this.#offExit = onExit(() => this.#remove());
  }

  join(...names) {
    return join(this.path, ...names);
  }

  [Symbol.dispose]() {
    this.#remove();
    this.#offExit();
  }

  #remove() {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** For each process and folder of a test: there may be any number, and none of them is a leak. */
function onExit(listener) {
  const count = process.listenerCount('exit') + 1;
  if (count > process.getMaxListeners()) process.setMaxListeners(count);
  process.on('exit', listener);
  return () => process.off('exit', listener);
}

/** Below those that systems give to whoever asks for any: nobody gets it by chance before it is used. */
const OWN_PORTS = { from: 10_000, to: 32_000 };

export async function freePort() {
  for (;;) {
    const port = randomInt(OWN_PORTS.from, OWN_PORTS.to);
    const server = createServer();
    const isFree = await new Promise((resolve, reject) => {
      server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Nothing of the tester's shell but the way to programs: COFFER_… or a HOME of theirs must not decide a test. */
const environment = (extra) => ({ PATH: process.env.PATH, HOME: '/nonexistent', LANG: 'C.UTF-8', ...extra });
