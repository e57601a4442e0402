import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { reprise } from '../../helpers/cli.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Pty } from '../../helpers/pty.js';
import { Site } from '../../helpers/site.js';
import { reaches } from '../../helpers/site-cli.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const main = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
let site: Site;
let where: string[];
let env: Record<string, string>;
let workflowId: string;

beforeAll(async () => {
  site = await Site.create();
  const { address, namespace } = site.session.settings;
  where = ['--config', site.places.configFile, '--address', address, '--namespace', namespace];
  // `reprise` as an operator has it: on the path, and told by the environment what it works on.
  const bin = await tempDir('bin');
  await writeFile(join(bin, 'reprise'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  await chmod(join(bin, 'reprise'), 0o755);
  env = {
    PATH: `${bin}:${process.env['PATH']}`,
    REPRISE_CONFIG: site.places.configFile,
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    HOME: bin,
    REPRISE_COMPLETION_TIMEOUT: '2m',
  };
  await site.startWorker();
  await site.backUp('dump');
});

describe('D6: a recovery at a terminal', () => {
  it('shows the plan and what is waited for; Ctrl-C leaves it waiting and says how to come back', async () => {
    const pty = Pty.start(['reprise', 'recover', 'mairie', '--policy', 'dump', ...where], env);
    await pty.shows('To decline:');
    await pty.shows(/now {3}wait for approval, \d+ s \(waiting-approval\)/);
    pty.type('\x03');
    expect(await pty.exit()).toBe(130);
    expect(pty.screen).toMatch(/done {2}plan, [\d.]+ s\n/);
    expect(pty.screen).toMatch(/waiting for approval of plan [0-9a-f]{12}, until .*reprise approve recover\/mairie\//);
    // The live line is gone: what stays is the error and the way back.
    expect(pty.screen).not.toContain('now   ');
    workflowId = /stopped watching (\S+) \(interrupted\)/.exec(pty.screen)?.[1] ?? '';
    expect(pty.screen.replace(/\s+/g, ' ')).toContain(
      `HINT: the operation continues; follow it again: \`reprise watch ${workflowId} ${where.join(' ')}\``,
    );
    await reaches(site, workflowId, 'waiting-approval');
  });

  it('status says that it waits, and the command that says what to type', async () => {
    const { stdout } = await site.waitFor(async () => {
      const told = await site.cli('status');
      return told.stdout.includes('waiting-approval') && told;
    }, 'status lists it');
    expect(stdout).toContain(
      `waiting for a person; what to do is shown by:\n  reprise status ${workflowId} ${where.join(' ')}\n`,
    );
    expect((await site.cli('status', workflowId)).stdout).toContain(`reprise approve ${workflowId}`);
  });

  it('watch goes on from there: one line a phase, then how it stands; without a terminal dated lines', async () => {
    const pty = Pty.start(['reprise', 'watch', workflowId, ...where], env);
    await pty.shows('now   wait for approval');
    const plain = await watching();
    await site.approve({ workflowId, operationId: '', handle: site.session.client.workflow.getHandle(workflowId) });
    expect(await pty.exit()).toBe(0);
    const { code, stdout, stderr } = await plain.ended;

    for (const phase of [
      'plan',
      'wait for approval',
      'restore beside the live databases',
      'swap the databases',
      'take and verify a fresh backup',
    ]) {
      expect(pty.screen.split('\n').filter((line) => line.startsWith(`done  ${phase}, `))).toHaveLength(1);
    }
    expect(pty.screen).toMatch(/state +completed/);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).not.toContain('\x1b');
    expect(stdout).toMatch(
      new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z ${workflowId} {2}waiting-approval: wait for approval$`, 'm'),
    );
    expect(stdout).toMatch(/state +completed/);
  });

  /** `reprise watch` without a terminal, once it has said its first word. */
  async function watching(): Promise<{ ended: Promise<{ code: number | null; stdout: string; stderr: string }> }> {
    const child = spawn(process.execPath, [main, 'watch', workflowId, ...where], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
    await Promise.race([once(child.stdout, 'data'), ended]);
    return { ended };
  }

  it('O12: what is to be confirmed is looked up before anybody is asked', async () => {
    for (const argv of [
      ['kept', 'drop', 'nothing'],
      ['beside', 'drop', 'nothing'],
      ['media', 'sync', 'nothing', '--into', 'copy', '--delete'],
    ]) {
      const pty = Pty.start(['reprise', ...argv, ...where], env);
      expect(await pty.exit()).toBe(6);
      expect(pty.screen).not.toContain('Type nothing');
    }
  });

  it('under --json, stderr has one document and nothing else: the error', async () => {
    // A time in which no plan was made ends its planning: then it gets more.
    const ended = async (timeout: string) =>
      site.cli('recover', 'mairie', '--policy', 'dump', '--timeout', timeout, '--json');
    let last = await ended('3s');
    for (const longer of ['20s', '2m']) if (!last.stderr.includes('reprise watch')) last = await ended(longer);
    const { code, stdout, stderr } = last;
    expect([code, stdout]).toEqual([124, '']);
    const { error } = JSON.parse(stderr) as { error: { code: string; hint: string } };
    expect(error).toMatchObject({ code: 'timeout', hint: expect.stringContaining(where.join(' ')) });
    const waiting = /reprise watch (\S+)/.exec(error.hint)?.[1] ?? '';
    await reaches(site, waiting, 'waiting-approval');
    expect((await site.cli('reject', waiting, '--by', 'dba', '--reason', 'test')).code).toBe(0);
    await reaches(site, waiting, 'rejected');
  });
});

describe('D6: completion', () => {
  /** A backup, and as much of its name as no other has. */
  async function someBackup(): Promise<{ id: string; typed: string }> {
    const ids = (await site.backups()).map((backup) => backup.id).sort();
    const id = ids.at(-1) ?? '';
    let length = 'mairie:logical:'.length;
    while (ids.filter((other) => other.startsWith(id.slice(0, length))).length > 1) length += 1;
    return { id, typed: id.slice(0, length) };
  }

  it('bash: clusters and policies, names of backups over their colons, also where the script is read twice', async () => {
    const bash = Pty.start(['bash', '--norc', '--noprofile', '-i'], { ...env, PS1: '$ ' });
    bash.type(
      'bind "set bell-style none"; eval "$(reprise completion bash)"; eval "$(reprise completion bash)"; echo rea""dy\n',
    );
    await bash.shows('ready');
    // What was completed is the command's own line: `:` does nothing, and the echo tells what bash would run.
    bash.type('reprise backup run mai\t--policy=ph\t--dry-run --json | grep -c pgback""rest\n');
    await bash.shows(/\n1\r?\n/);
    const { id, typed } = await someBackup();
    bash.type(`reprise backup show ${typed}\t--json | grep -c '"id": "${id}"'; echo sho""wn\n`);
    await bash.shows('shown');
    expect(bash.screen).toMatch(/\n1\nshown/);
    expect(bash.screen).not.toMatch(/not found|readonly/);
    bash.type('exit\n');
    await bash.exit();
  });

  it('zsh: the same, after compinit', async () => {
    const zsh = Pty.start(['zsh', '-f', '-i'], env);
    zsh.type("PROMPT='$ '; autoload -U compinit; compinit -u -D; eval \"$(reprise completion zsh)\"; echo rea''dy\n");
    await zsh.shows('ready');
    zsh.type("reprise backup run mai\t--policy ph\t--dry-run --json | grep -c pgback''rest; echo sho''wn\n");
    await zsh.shows('shown');
    expect(zsh.screen).toMatch(/\n1\n+shown/);
    zsh.type('exit\n');
    await zsh.exit();
  });

  it('fish: candidates with what they are', async () => {
    const { id, typed } = await someBackup();
    const fish = Pty.start(
      [
        'fish',
        '-c',
        `reprise completion fish | source; complete -C 'reprise backup '; complete -C 'reprise backup run m'; complete -C 'reprise backup show ${typed}'`,
      ],
      env,
    );
    expect(await fish.exit()).toBe(0);
    const lines = fish.screen.split('\n');
    expect(lines).toContain('hold\tkeep a backup from rotation');
    expect(lines.map((line) => line.trim())).toEqual(expect.arrayContaining(['mairie', id]));
  });

  it('without a configuration or a server it offers commands, is silent about the rest, and never fails', async () => {
    const nowhere = ['--config', '/nonexistent/reprise.yml', '--address', '127.0.0.1:1'];
    for (const [words, offered] of [
      [['inc'], ['incident\topen, confirm, follow and close incidents']],
      [[...nowhere, 'backup', 'run', ''], []],
      [[...nowhere, 'backup', 'show', ''], []],
      [['--config'], []],
    ] as const) {
      const { code, stdout, stderr } = await reprise(['complete', '--', ...words]);
      expect({ code, stderr, offered: stdout.trimEnd().split('\n') }).toEqual({
        code: 0,
        stderr: '',
        offered: [...offered, ':4'],
      });
    }
  });
});
