import { resolve } from 'node:path';
import type { Setting } from '@coffer/server';
import { Failure } from '../failure.js';
import { printFindings, requireNoProblem } from '../findings.js';
import { print, printJson, table } from '../output.js';
import { displayName, jsonText } from '../quote.js';
import type { ServerOptions } from './server.js';

export async function check(
  file: string | undefined,
  options: ServerOptions & { readonly json?: boolean },
): Promise<void> {
  if (file !== undefined && options.config !== undefined) {
    throw new Failure('name the configuration file once: as it is, or with --config');
  }
  const { checkConfiguration } = await import('@coffer/server');
  const flags = { ...options, config: file === undefined ? options.config : resolve(file) };
  const { settings, findings } = await checkConfiguration({ flags, env: process.env });
  if (options.json) {
    const told = settings.map(({ key, value, from }) => ({ key, value: value ?? null, from }));
    await printJson({ settings: told, findings });
  } else {
    await print(table(settings.map((setting) => [setting.key, ` ${shown(setting)} `, sourceOf(setting)])));
    await print('');
    await printFindings(findings);
  }
  requireNoProblem(findings);
}

function shown({ value }: Setting): string {
  if (value === undefined) return '-';
  return typeof value === 'string' ? displayName(value) : jsonText(value);
}

function sourceOf({ from }: Setting): string {
  switch (from.kind) {
    case 'flag':
      return from.name;
    case 'environment':
      return from.name;
    case 'file':
      return displayName(from.line === undefined ? from.name : `${from.name}:${from.line}`);
    default:
      return 'default';
  }
}
