import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { coffer } from '../support/servers.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = [
  ...readdirSync(join(ROOT, 'docs'), { encoding: 'utf8', recursive: true }).map((name) => join('docs', name)),
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
].filter((path) => path.endsWith('.md'));

const UNIT = 'deploy/systemd/coffer.service';
const SYSUSERS = 'deploy/systemd/coffer.sysusers';
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

describe('the documentation', () => {
  it.each(PAGES)('has no link in %s that leads nowhere', (page) => {
    const dead = linksOf(textOf(page)).filter((link) => !leadsSomewhere(page, link));
    expect(dead).toEqual([]);
  });

  it('is listed in the README, every page of it', () => {
    const linked = linksOf(textOf('README.md')).map((link) => link.replace(/#.*/, ''));
    expect(PAGES.filter((page) => page !== 'README.md' && !linked.includes(page))).toEqual([]);
  });
});

describe('docs/production.md', () => {
  const text = textOf('docs/production.md');
  const shown = [...text.matchAll(/^`\/etc\/systemd\/system\/([^`]+)`[^\n]*\n\n```ini\n([\s\S]*?)^```$/gm)];
  const units = [...shown.map((match) => match.slice(1)), ['coffer.service', textOf(UNIT)]];

  it.skipIf(!hasSystemd)('has units that systemd takes, and that leave the server few rights', async () => {
    using folder = new TemporaryFolder();
    const names = units.map(([name = '', unit = '']) => {
      // Where node and coffer are on this machine is another matter.
      writeFileSync(
        folder.join(name),
        unit.replace(/\/usr\/(local\/bin\/coffer|bin\/node) /g, `${process.execPath} `),
      );
      return `./${name}`;
    });
    const verified = await run('systemd-analyze', ['verify', ...names], { cwd: folder.path });
    expect({ code: verified.code, said: verified.stderr.toString() }).toEqual({ code: 0, said: '' });
    const rights = ['security', '--offline=true', '--threshold=13', './coffer.service'];
    expect((await run('systemd-analyze', rights, { cwd: folder.path })).code).toBe(0);
  });

  it.skipIf(!hasSystemd)('names a user that systemd-sysusers makes as well', async () => {
    const { code, stderr, stdout } = await run('systemd-sysusers', ['--dry-run', join(ROOT, SYSUSERS)]);
    expect({ code, said: `${stdout}${stderr}` }).toEqual({
      code: 0,
      said: expect.stringMatching(/user .?coffer/i),
    });
  });

  it('says where the root key is as the unit has it', () => {
    const [, id = ''] = /^LoadCredential=([^:]+):\/etc\/coffer\/keys\/root\.key$/m.exec(textOf(UNIT)) ?? [];
    expect(text).toContain(`rootKey: file:/run/credentials/coffer.service/${id} `);
  });

  it('has a configuration that nothing is wrong with but what is not there', async () => {
    using folder = new TemporaryFolder();
    const [, yaml = ''] =
      /^`\/etc\/coffer\/coffer\.yaml`[^\n]*\n\n```yaml\n([\s\S]*?)^```$/m.exec(text) ?? [];
    writeFileSync(folder.join('coffer.yaml'), yaml);
    const { stdout } = await coffer(['config', 'check', '--json', folder.join('coffer.yaml')]);
    const { findings } = JSON.parse(stdout.toString()) as { findings: { subject: string; level: string }[] };
    expect(findings.filter(({ subject }) => subject === 'configuration')).toMatchObject([{ level: 'ok' }]);
  });
});

/** The targets of links, of this repository's alone, outside of code. */
function linksOf(text: string): string[] {
  const prose = text
    .replace(/^(```|~~~)[\s\S]*?^\1/gm, '')
    .replace(/`[^`\n]*`/g, (code) => code.replace(/[[\]()]/g, ' '));
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target));
}

function leadsSomewhere(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? page : relative('', join(dirname(page), path));
  try {
    const text = readFileSync(join(ROOT, target), 'utf8');
    return anchor === undefined || anchorsOf(text).has(anchor);
  } catch (error) {
    // A folder is shown by its list of files.
    return (error as NodeJS.ErrnoException).code === 'EISDIR' && anchor === undefined;
  }
}

/** Of headings, as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '').replaceAll(' ', '-');
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}
