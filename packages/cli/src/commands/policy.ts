import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during } from '../failure.js';
import { grantLine, policyText } from '../grants.js';
import { counted } from '../numbers.js';
import { paint, print, printJson, table } from '../output.js';
import { displayName } from '../quote.js';

export async function show(options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const policy = await withAdmin(options, (admin) => during('failed to read the policy', admin.policy()));
  if (options.json) return printJson(policy);
  await print(`# generation ${policy.generation}\n${policyText(policy.grants)}`);
}

export async function check(file: string, options: { identityDir?: string; json?: boolean }): Promise<void> {
  const { readPolicyFile } = await import('../policy-file.js');
  const { grants, resolved } = await readPolicyFile(file, options.identityDir);
  if (options.json) return printJson({ grants, resolved });
  const rows = resolved.map(({ name, id }) => [displayName(name), displayName(id)]);
  if (rows.length > 0) await print(`${table(rows)}\n`);
  await print(`${file}: ${counted(grants.length, 'grant')}, well formed`);
}

export async function apply(
  file: string,
  options: ConnectionOptions & { dryRun?: boolean; identityDir?: string; json?: boolean },
): Promise<void> {
  const { readPolicyFile } = await import('../policy-file.js');
  const { grants } = await readPolicyFile(file, options.identityDir);
  const dryRun = options.dryRun ?? false;
  const change = await withAdmin(options, (admin) =>
    during('failed to apply the policy', admin.applyPolicy(grants, { dryRun })),
  );
  if (options.json) return printJson(change);
  const { added, removed, unchanged, generation } = change;
  const counts = `${added.length} added, ${removed.length} removed, ${unchanged} unchanged`;
  await print(
    [
      ...removed.map((grant) => paint('red', `- ${grantLine(grant)}`)),
      ...added.map((grant) => paint('green', `+ ${grantLine(grant)}`)),
      dryRun
        ? `${counts}: a dry run, nothing was changed`
        : `${counts}: generation ${generation} is in force`,
    ].join('\n'),
  );
}
