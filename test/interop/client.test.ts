import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { type Arguments, base64, SetecClient } from './setec-client.js';
import { OVER_TLS, TARGETS, type Target } from './targets.js';

const refused400 = expect.stringMatching(/^request returned status 400: ".+"$/);
const internalError = 'request returned status 500: "internal error"';

describe.each([...TARGETS, OVER_TLS])("setec's Go client against $name", ({ start }) => {
  let target: Target;
  let client: SetecClient;
  let limited: SetecClient | undefined;

  beforeAll(async () => {
    target = await start();
    client = new SetecClient(target.url, target.env);
    if (target.limitedUrl !== undefined) limited = new SetecClient(target.limitedUrl, target.env);
  });
  afterAll(async () => {
    await client?.[Symbol.asyncDispose]();
    await limited?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
  });

  /** Expects the answer; `here` is coffer's where it differs from setec's on purpose. */
  const step = async (call: string, name: string, args: Arguments, answer: object, here = answer) =>
    expect(await client.call(call, name, args), `${call} ${name}`).toEqual(
      target.kind === 'coffer' ? here : answer,
    );
  const value = (text: string | Uint8Array, version: number) => ({
    value: { Value: base64(text), Version: version },
  });
  const info = (name: string, versions: number[], active: number) => ({
    info: { Name: name, Versions: versions, ActiveVersion: active },
  });
  const error = (name: unknown) => ({ error: name });

  it('lists nothing where there is nothing', async () => {
    await step('list', '', {}, {});
  });

  it('puts, reads, activates and deletes', async () => {
    const name = 'life/of-a-secret';
    await step('put', name, { value: canary('one') }, { version: 1 });
    await step('get', name, {}, value(canary('one'), 1));
    await step('put', name, { value: canary('one') }, { version: 1 });
    await step('put', name, { value: canary('two') }, { version: 2 });
    await step('get', name, {}, value(canary('one'), 1));
    await step('info', name, {}, info(name, [1, 2], 1));
    await step('get-version', name, { version: 2 }, value(canary('two'), 2));
    await step('get-version', name, { version: 0 }, value(canary('one'), 1));
    await step('activate', name, { version: 2 }, {});
    await step('activate', name, { version: 2 }, {});
    await step('get', name, {}, value(canary('two'), 2));
    await step('put', name, { value: canary('one') }, { version: 3 });
    await step('delete-version', name, { version: 1 }, {});
    await step('get-version', name, { version: 1 }, error('ErrNotFound'));
    await step('info', name, {}, info(name, [2, 3], 2));
    await step('delete', name, {}, {});
    await step('get', name, {}, error('ErrNotFound'));
    await step('delete', name, {}, {});
    await step('put', name, { value: canary('anew') }, { version: 1 });
    await step('get', name, {}, value(canary('anew'), 1));
  });

  it('gets a value only if it has changed', async () => {
    const name = 'if-changed';
    await step('put', name, { value: canary('one') }, { version: 1 });
    await step('get-if-changed', name, { version: 1 }, error('ErrValueNotChanged'));
    await step('get-if-changed', name, { version: 0 }, value(canary('one'), 1));
    await step('get-if-changed', name, { version: 9 }, value(canary('one'), 1));
    await step('create-version', name, { version: 5, value: canary('five') }, {});
    await step('get-if-changed', name, { version: 1 }, value(canary('five'), 5));
    await step('get-if-changed', name, { version: 5 }, error('ErrValueNotChanged'));
  });

  it('creates stated versions, each number once', async () => {
    const name = 'stated';
    await step('create-version', name, { version: 7, value: canary('seven') }, {});
    await step('info', name, {}, info(name, [7], 7));
    await step('create-version', name, { version: 3, value: canary('three') }, {});
    await step('get', name, {}, value(canary('three'), 3));
    await step('create-version', name, { version: 7, value: canary('other') }, error('ErrVersionClaimed'));
    await step('delete-version', name, { version: 7 }, {});
    await step('create-version', name, { version: 7, value: canary('other') }, error('ErrVersionClaimed'));
    await step('put', name, { value: canary('next') }, { version: 8 });
    await step('delete-version', name, { version: 8 }, {});
    await step('put', name, { value: canary('after') }, { version: 9 });
    await step('create-version', name, { version: 4294967295, value: canary('last') }, {});
    await step('info', name, {}, info(name, [3, 9, 4294967295], 4294967295));
  });

  it('keeps values as they are: empty, binary, large', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const large = new Uint8Array(1024 * 1024).fill(0xa5);
    await step('put', 'bytes', { value: bytes }, { version: 1 });
    await step('get', 'bytes', {}, value(bytes, 1));
    await step('put', 'empty', { value: '' }, { version: 1 });
    await step('get', 'empty', {}, value('', 1));
    await step('put', 'large', { value: large }, { version: 1 });
    await step('get', 'large', {}, value(large, 1));
  });

  it('lists names in byte order, whatever they are made of', async () => {
    // In UTF-16 the emoji sorts before U+FF5E, in bytes behind it.
    const names = [
      'a',
      'a/b',
      'A',
      'ünï',
      '～',
      '😀',
      ' spaced ',
      '"quoted"\\',
      '../x',
      '<html>&',
      'tab\there',
    ];
    for (const name of names) await client.call('put', `names/${name}`, { value: canary('x') });
    const listed = (await client.call('list')).secrets?.filter(({ Name }) => Name.startsWith('names/'));
    const inByteOrder = names
      .map((name) => `names/${name}`)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(listed).toEqual(inByteOrder.map((Name) => ({ Name, Versions: [1], ActiveVersion: 1 })));
  });

  it('names what is not there', async () => {
    await client.call('put', 'there', { value: canary('x') });
    for (const call of ['get', 'info']) await step(call, 'absent', {}, error('ErrNotFound'));
    for (const call of ['get-version', 'get-if-changed', 'activate', 'delete-version']) {
      await step(call, 'absent', { version: 1 }, error('ErrNotFound'));
    }
    for (const call of ['get-version', 'activate', 'delete-version']) {
      await step(call, 'there', { version: 2 }, error('ErrNotFound'));
    }
  });

  it('refuses what makes no sense', async () => {
    await client.call('put', 'sense', { value: canary('x') });
    const zero = error('request returned status 400: "invalid version, please specify a version > 0"');
    await step('create-version', 'sense', { version: 0 }, zero);
    await step('activate', 'sense', { version: 0 }, error(internalError), error(refused400));
    await step('delete-version', 'sense', { version: 1 }, error(internalError), error(refused400));
    await step('delete-version', 'sense', { version: 0 }, error(internalError), error(refused400));
    await step('info', 'sense', {}, info('sense', [1], 1));
    await step('put', '', { value: canary('x') }, error(internalError), error(refused400));
    await step('get', '', {}, error('ErrNotFound'), error(refused400));
    await step('delete', '', {}, {}, error(refused400));
    await step('put', '_internal/x', { value: canary('x') }, error(internalError), error(refused400));
    await step('create-version', '_internal/x', { version: 1 }, {}, error(refused400));
  });

  it('serves a Store, which sees a new value when it asks', async () => {
    await client.call('put', 'store/a', { value: canary('one') });
    await client.call('put', 'store/b', { value: canary('other') });
    await step('store', '', { names: ['store/a', 'store/b'] }, {});
    await step('store-get', 'store/a', {}, { bytes: base64(canary('one')) });
    await client.call('create-version', 'store/a', { version: 2, value: canary('two') });
    await step('store-get', 'store/a', {}, { bytes: base64(canary('one')) });
    await step('store-refresh', '', {}, {});
    await step('store-get', 'store/a', {}, { bytes: base64(canary('two')) });
    await step('store-get', 'store/b', {}, { bytes: base64(canary('other')) });
  });

  it('lets a caller do what it may, and tells it nothing of the rest', async ({ skip }) => {
    if (limited === undefined) return skip('with --dev there is but one caller');
    const caller = limited;
    const names = ['shared/a', 'get-only/a', 'info-only/a', 'inbox', 'hidden'];
    for (const name of names) await client.call('put', name, { value: canary('x') });
    const step = async (call: string, name: string, args: Arguments, answer: object) =>
      expect(await caller.call(call, name, args), `${call} ${name}`).toEqual(answer);
    const denied = error('ErrAccessDenied');

    await step(
      'list',
      '',
      {},
      { secrets: [info('info-only/a', [1], 1).info, info('shared/a', [1], 1).info] },
    );
    await step('get', 'shared/a', {}, value(canary('x'), 1));
    await step('get', 'shared/none', {}, error('ErrNotFound'));
    await step('info', 'shared/a', {}, info('shared/a', [1], 1));
    await step('get', 'get-only/a', {}, value(canary('x'), 1));
    await step('get-if-changed', 'get-only/a', { version: 1 }, error('ErrValueNotChanged'));
    await step('info', 'get-only/a', {}, denied);
    await step('info', 'info-only/a', {}, info('info-only/a', [1], 1));
    await step('get', 'info-only/a', {}, denied);
    await step('get-version', 'info-only/a', { version: 1 }, denied);
    await step('get-if-changed', 'info-only/a', { version: 1 }, denied);
    await step('put', 'inbox', { value: canary('y') }, { version: 2 });
    await step('get', 'inbox', {}, denied);
    await step('activate', 'inbox', { version: 2 }, denied);
    for (const name of ['hidden', 'no-such-name']) {
      for (const call of ['get', 'info', 'delete']) await step(call, name, {}, denied);
      for (const call of ['get-version', 'get-if-changed', 'create-version', 'activate', 'delete-version']) {
        await step(call, name, { version: 1 }, denied);
      }
      await step('put', name, { value: canary('x') }, denied);
    }
    expect(await client.call('get', 'hidden')).toEqual(value(canary('x'), 1));
  });
});
