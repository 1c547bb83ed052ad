import { Client, CofferClientError } from '@coffer/client';
import { expect } from 'vitest';
import { canary } from '../support/canary.mjs';
import type { Deployment } from './deployment.js';

/** Secrets whose changes were all acknowledged, so that it is known what they must be whatever happened to the servers. */
export class KnownSecrets {
  readonly #deployment: Deployment;
  readonly #alarmed: (() => Promise<void>) | undefined;
  readonly #values = new Map<string, string[]>();
  readonly #deleted = new Set<string>();
  readonly #revoked: string[] = [];
  #count = 0;

  /** @param alarmed ends an alarm that refuses a request, which is then made again; without it the request rejects */
  constructor(deployment: Deployment, alarmed?: () => Promise<void>) {
    this.#deployment = deployment;
    this.#alarmed = alarmed;
  }

  client(name: string, token = this.#deployment.token, retries = 0): Client {
    return new Client({ server: this.#deployment.instance(name).url, token, retries });
  }

  /** Puts so many new secrets, and a new version of some older ones, at all instances in turn; the newest one is active. */
  async put(count: number): Promise<void> {
    const older = [...this.#values.keys()].slice(0, count / 2);
    const names = Array.from({ length: count }, () => `known/${this.#count++}`);
    const { instances } = this.#deployment;
    for (const [index, name] of [...names, ...older].entries()) {
      // Another server of NATS may be about to lead.
      const client = this.client(instances[index % instances.length]?.name ?? 'a', undefined, 10);
      const values = this.#values.get(name) ?? [];
      const value = canary(`${name} ${values.length}`);
      const version = await this.#take(() => client.put(name, value));
      expect([name, version]).toEqual([name, values.length + 1]);
      await this.#take(() => client.activate(name, version));
      this.#values.set(name, [...values, value]);
      client.close();
    }
  }

  /** Waits until every instance takes changes: after a fault there is an election, or a new connection, first. */
  async untilWritable(): Promise<void> {
    for (const { name } of this.#deployment.instances) {
      const client = this.client(name);
      const change = () => client.put('known-other/a', `${Math.random()}`);
      const put = () => this.#take(change).then(() => true, String);
      await expect.poll(put, { timeout: 60_000 }).toBe(true);
      client.close();
    }
  }

  /**
   * What an alarm refuses was not done. It refuses what only reads as well: who found that something is lost reads on no further, so
   * that what it has is soon too old to answer with.
   */
  async #take<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      const isAlarm = error instanceof CofferClientError && error.message.includes('has raised an alarm');
      if (!isAlarm || !this.#alarmed) throw error;
      await this.#alarmed();
      return this.#take(request);
    }
  }

  /** Deletes one of the secrets, and revokes a token that was good until then. */
  async remove(): Promise<void> {
    const [name] = this.#values.keys();
    if (name === undefined) throw new Error('there is no secret to delete');
    await this.#take(() => this.client('a').delete(name));
    this.#values.delete(name);
    this.#deleted.add(name);
    const { server } = this.#deployment.instance('a');
    const { token, principal } = await server.createToken('revoked');
    await this.#deployment.admin('a', 'token', 'revoke', principal.slice('token:'.length));
    this.#revoked.push(token);
  }

  /** Rejects unless the instance has all of them, and nothing of what was deleted or revoked. */
  async expectAt(instance: string): Promise<void> {
    const client = this.client(instance);
    for (const [name, values] of this.#values) {
      for (const [index, value] of values.entries()) {
        const got = await client.get(name, { version: index + 1 });
        expect([instance, name, Buffer.from(got.value).toString() === value]).toEqual([instance, name, true]);
      }
      expect([name, (await client.get(name)).version]).toEqual([name, values.length]);
    }
    for (const name of this.#deleted)
      await expect(client.get(name)).rejects.toMatchObject({ code: 'not_found' });
    client.close();
    for (const token of this.#revoked) {
      const revoked = this.client(instance, token);
      await expect(revoked.list()).rejects.toMatchObject({ code: 'unauthenticated' });
      revoked.close();
    }
  }

  async expectEverywhere(): Promise<void> {
    for (const { name } of this.#deployment.instances) {
      const look = () => this.#take(() => this.expectAt(name)).then(() => true, String);
      // With the time that a heal takes.
      await expect.poll(look, { timeout: 120_000 }).toBe(true);
    }
  }
}
