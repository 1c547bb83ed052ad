import { describe, expect, it } from 'vitest';
import { Refusals } from '../src/wasmcloud/refusals.js';
import { newKeys, readableLog } from './nats-world.js';
import { WasmWorld } from './wasm-world.js';

const refused = (reason?: string, result = 'InvalidEntityJWT') =>
  ({ operation: 'get', result, reason, seconds: 0, stranger: true }) as const;

describe('the log of refused tokens', () => {
  it('says why a component and a host were refused, at the default level and without a token', async () => {
    const world = await WasmWorld.start();
    await world.open();
    const stranger = newKeys('account');
    const entityJwt = world.token(world.component, stranger);
    for (let times = 0; times < 3; times++) {
      expect(await world.refusal('db', { entityJwt })).toMatch(/^InvalidEntityJWT: no trusted account/);
    }
    await world.refusal('db', { hostJwt: 'nonsense' });
    const warnings = world.log.says('a token was refused over NATS');
    expect(warnings).toMatchObject([
      {
        level: 40,
        operation: 'get',
        result: 'InvalidEntityJWT',
        reason: expect.stringMatching(
          `component ${world.component.publicKey}.*no trusted account has the key ${stranger.publicKey}`,
        ),
      },
      { level: 40, result: 'InvalidHostJWT', reason: expect.any(String) },
    ]);
    expect(JSON.stringify(world.log.lines)).not.toContain(entityJwt.slice(-40));
  });

  it('says why one was not believed on its own word either', async () => {
    const world = await WasmWorld.start({ wasmcloud: { trust: 'self-issued' } });
    await world.refusal('db', { entityJwt: world.token(world.component, world.account, { exp: 1 }) });
    expect(world.log.says('a token was refused')).toMatchObject([
      { reason: expect.stringMatching(/expired/) },
    ]);
  });

  it('has each refusal once a minute, so many a minute in all, and none of any length', () => {
    const { log, lines } = readableLog();
    let now = 0;
    const refusals = new Refusals(log, () => now);
    for (let times = 0; times < 10; times++) refusals.answered(refused('the same'));
    expect(lines).toHaveLength(1);
    refusals.answered(refused('x'.repeat(100_000)));
    expect(lines[1]?.reason).toHaveLength(401);
    for (let at = 0; at < 5_000; at++) refusals.answered(refused(`stranger ${at}`));
    expect(lines).toHaveLength(60);
    now = 60_000;
    refusals.answered(refused('the same'));
    expect(lines.slice(60)).toMatchObject([{ more: 4_942 }, { reason: 'the same' }]);
  });

  it('has nothing of what a grant refuses, which is in the audit log', () => {
    const { log, lines } = readableLog();
    new Refusals(log).answered(refused(undefined, 'Unauthorized'));
    expect(lines).toEqual([]);
  });
});
