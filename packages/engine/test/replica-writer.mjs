/**
 * Another process that fills a replica until it is killed: `node replica-writer.mjs FOLDER`, forked. Transaction n brings the
 * record `a`, the record `n`, a part of a record that never comes, removes the record of n - 1, and sends n when it is durable.
 */
import { Replica } from '../dist/storage/jetstream/replica.js';

const [, , folder] = process.argv;
const replica = await Replica.open(folder, { minFreeBytes: 0, onFatal: () => process.exit(2) });
replica.summarise({
  initial: replica.summary ?? Buffer.alloc(0),
  fold: (_digest, key, _before, after) => Buffer.concat([key, Buffer.from('='), after ?? Buffer.alloc(0)]),
  seal: (digest, sequence) => Buffer.from(`${digest} at ${sequence}`),
});

const write = (key, bytes, revision, isHead) => ({
  key: Buffer.from(key),
  bytes: bytes === undefined ? undefined : Buffer.from(bytes),
  revision,
  isHead,
  lineage: [],
});

for (let n = replica.position / 10 + 1; ; n++) {
  const chunk = {
    key: Buffer.from('later'),
    index: 0,
    bytes: Buffer.from(`part ${n}`),
    revision: n * 10 + 1,
  };
  const writes = [
    write(`n${n}`, Buffer.alloc(20_000, n), n * 10 + 2, false),
    write('a', `${n}`, n * 10 + 3, true),
    ...(n > 1 ? [write(`n${n - 1}`, undefined, n * 10 + 4, false)] : []),
  ];
  await replica.apply(writes, [chunk], n * 10);
  process.send(n);
}
