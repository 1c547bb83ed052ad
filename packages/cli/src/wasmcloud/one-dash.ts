const FLAG = /^-(nats-url|nats-creds|backend-seed)(?==|$)/;

/** secrets-kubernetes has its flags from Go's package flag, to which one dash is as good as two. */
export function withTwoDashes(argv: readonly string[]): readonly string[] {
  const [group, command] = argv;
  if (group !== 'wasmcloud' || command !== 'kube') return argv;
  return argv.map((argument) => argument.replace(FLAG, '--$1'));
}
