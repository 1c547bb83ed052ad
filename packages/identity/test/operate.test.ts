import { describe, expect, it } from 'vitest';
import {
  fullResolverConfig,
  type GraphNode,
  graphOf,
  issuedBy,
  memoryResolverConfig,
  memoryResolverFolder,
  type Snapshot,
  takeSnapshot,
  withoutRevocation,
  withRevocation,
} from '../src/index.js';
import { nscCopy } from './nsc-copy.js';
import { nscFile } from './vectors.js';

const SIGNING = 'ABPLTKJ45XA7OQ5KGWQ2JY2FQFTNFGGHBQRHWALABOH6ZBE5B6XMPVXP';
const SYS = 'ACPMBATNLIDDESGU6W2CISV4NSS6S3DDHOCTOUGDTOGKRH6BNK5WM456';

function nscSnapshot(): Snapshot {
  using nsc = nscCopy();
  return takeSnapshot(nsc.open());
}
const { operator, accounts } = nscSnapshot();
const tokens = { operator: operator.text, accounts: accounts.map(({ jwt }) => jwt.text) };

describe("nats-server's configuration", () => {
  it("is nsc's to the byte, for a memory resolver", () => {
    expect(memoryResolverConfig(tokens)).toBe(nscFile('server.conf'));
  });

  it('may have the tokens in files beside it', () => {
    const folder = memoryResolverFolder(tokens);
    expect([...folder.keys()].sort()).toEqual([
      'SYS.jwt',
      'demoA.jwt',
      'demoB.jwt',
      'demoO.jwt',
      'resolver.conf',
    ]);
    expect(folder.get('resolver.conf')).toBe(nscFile('server.conf'));
    expect(folder.get('demoA.jwt')).toBe(nscFile('stores/demoO/accounts/demoA/demoA.jwt'));
  });

  it('for a full resolver has the system account alone, and needs one', () => {
    const config = fullResolverConfig(tokens);
    expect(config).toContain('type: full');
    expect(config.match(/^ {2}A[A-Z2-7]{55}: /gm)).toEqual([`  ${SYS}: `]);
    expect(() => fullResolverConfig({ ...tokens, accounts: [] })).toThrow('--sys-account');
  });
});

describe('what a key signed', () => {
  const kinds = (key: string) =>
    issuedBy({ operator, accounts }, key).map(({ kind, name, state }) => [kind, name, state]);

  it('is found: users, and activation tokens inside imports', () => {
    expect(kinds(SIGNING)).toEqual([
      ['user', 'demoU', 'valid'],
      ['user', 'demogone', 'revoked'],
      ['user', 'demolimited', 'valid'],
      ['activation', 'svc.>', 'valid'],
    ]);
  });

  it('is found: accounts, and the operator itself', () => {
    expect(kinds(operator.claims.sub)).toEqual([
      ['operator', 'demoO', 'valid'],
      ['account', 'SYS', 'valid'],
    ]);
    expect(kinds(operator.claims.nats.signing_keys?.[0] ?? '').map(([, name]) => name)).toEqual([
      'demoA',
      'demoB',
    ]);
    expect(kinds(SYS)).toEqual([]);
  });
});

describe('the graph of who signed whom', () => {
  const lines = ({ what, name, role, standing, state, children }: GraphNode, depth = 0): string[] => [
    `${' '.repeat(depth)}${[what, name, role, standing, state === 'valid' ? '' : state].filter(Boolean).join(' ')}`,
    ...children.flatMap((child) => lines(child, depth + 1)),
  ];

  it('goes from the operator over keys and accounts to users', () => {
    expect(lines(graphOf({ operator, accounts }))).toEqual([
      'operator demoO',
      ' key own',
      '  account SYS',
      '   key signing',
      '    user sys',
      ' key signing',
      '  account demoA',
      '   key signing',
      '    user demoU',
      '    user demogone revoked',
      '    user demolimited',
      '    activation svc.> for demoB',
      '   key reader signing',
      '    user demoscoped',
      '  account demoB',
    ]);
  });

  it('shows what a key signed that is there no more', () => {
    const [sys, demoA, demoB] = accounts as [
      Snapshot['accounts'][0],
      Snapshot['accounts'][0],
      Snapshot['accounts'][0],
    ];
    const { claims } = demoA.jwt;
    const without = {
      ...demoA,
      jwt: { ...demoA.jwt, claims: { ...claims, nats: { ...claims.nats, signing_keys: [] } } },
    };
    expect(lines(graphOf({ operator, accounts: [sys, without, demoB] }))).toContain('   key removed');
  });
});

describe("revocations in an account's token", () => {
  const claims = accounts[0]?.jwt.claims as Snapshot['accounts'][0]['jwt']['claims'];
  const user = accounts[0]?.users[0]?.jwt.claims.sub ?? '';

  it('are added, moved only forward, and taken back', () => {
    const one = withRevocation(withRevocation(claims, user, 20), '*', 5);
    expect(one.nats.revocations).toEqual({ '*': 5, [user]: 20 });
    expect(withRevocation(one, user, 10).nats.revocations).toEqual(one.nats.revocations);
    expect(withoutRevocation(withoutRevocation(one, user), '*').nats.revocations).toBeUndefined();
  });

  it('are of users', () => {
    expect(() => withRevocation(claims, claims.sub, 1)).toThrow('users are revoked');
    expect(() => withoutRevocation(claims, user)).toThrow('is not revoked');
  });
});
