// Plain JavaScript, since mover.mjs runs without a build of the tests; the contract stands in move-options.d.mts.

export const moveOptions = ({ connect, bucket, ...more }) => ({
  jetstream: {
    connect,
    bucket,
    replicas: 1,
    maxBytes: 256 * 2 ** 20,
    syncAlways: true,
    consistency: { bounded: 1_000 },
  },
  version: '0.0.0-test',
  minFreeBytes: 0,
  othersMs: 100,
  ...more,
});
