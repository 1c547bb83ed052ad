import { expectTypeOf, test } from 'vitest';
import { type Secret, Store, type StoreClient, type StoreOptions } from '../../src/index.js';

declare const client: StoreClient;
declare const names: string[];

/** For the compiler, which is what tests it. */
const never = (_program: () => unknown) => {};

test('a store takes the names that were declared', () => {
  never(async () => {
    const store = await Store.open({ client, secrets: ['a', 'b'] });
    expectTypeOf(store).toEqualTypeOf<Store<'a' | 'b'>>();
    expectTypeOf(store.secret('a')).toEqualTypeOf<Secret>();
    // @ts-expect-error it was not declared
    store.secret('typo');
    // @ts-expect-error it may not have been declared
    store.secret(String());

    const unknown = await Store.open({ client, secrets: names });
    expectTypeOf(unknown).toEqualTypeOf<Store<string>>();
    expectTypeOf(unknown.secret('x')).toEqualTypeOf<Secret>();
  });
});

test('a store that may look up takes any name, and has surely those that were declared', () => {
  never(async () => {
    const store = await Store.open({ client, secrets: ['a'], allowLookup: true });
    expectTypeOf(store.secret('a')).toEqualTypeOf<Secret>();
    expectTypeOf(store.secret('other')).toEqualTypeOf<Secret | undefined>();
    expectTypeOf(store.secret(String())).toEqualTypeOf<Secret | undefined>();

    const open = await Store.open({ client, allowLookup: true });
    expectTypeOf(open).toEqualTypeOf<Store>();
    expectTypeOf(open.secret('x')).toEqualTypeOf<Secret | undefined>();
    const unknown = await Store.open({ client, secrets: names, allowLookup: true });
    expectTypeOf(unknown.secret('x')).toEqualTypeOf<Secret | undefined>();
    const wrapped = (options: StoreOptions) => Store.open({ watch: false, ...options });
    expectTypeOf(wrapped).returns.resolves.toEqualTypeOf<Store>();
  });
});

test('a function says which secrets its store must have', () => {
  never(async () => {
    const [some, more, looking, unknown] = [
      await Store.open({ client, secrets: ['a'] }),
      await Store.open({ client, secrets: ['a', 'b'] }),
      await Store.open({ client, secrets: ['a'], allowLookup: true }),
      await Store.open({ client, secrets: names }),
    ];
    const takesAny = (store: Store) => expectTypeOf(store.secret('x')).toEqualTypeOf<Secret | undefined>();
    for (const store of [some, more, looking, unknown]) takesAny(store);
    const takesA = (store: Store<'a'>) => expectTypeOf(store.secret('a')).toEqualTypeOf<Secret>();
    takesA(some);
    takesA(more);
    takesA(looking);
    takesA(unknown);
    // @ts-expect-error it has another secret
    takesA(await Store.open({ client, secrets: ['b'] }));
    const takesNames = (store: Store<string>) => expectTypeOf(store.secret('x')).toEqualTypeOf<Secret>();
    takesNames(more);
  });
});
