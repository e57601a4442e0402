import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { listRunningOperations } from '../../../src/client/running-operations.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { KeptItem } from '../../../src/domain/backup/records.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { golden } from '../../helpers/golden.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { section, shapeOf } from '../../helpers/shape.js';
import { editConfig, reaches } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

/** Objects whose keys are names that somebody chose. */
const maps = ['config.clusters', 'config.contacts', 'config.hosts', 'config.media', 'config.repositories', 'origins'];
/** Fields whose values are words of the contract. */
const words = ['action', 'assurance', 'code', 'engine', 'kind', 'layer', 'method', 'scenario', 'state', 'type'];

let site: Site;
const sections: string[] = [];

/**
 * Runs a command with `--json`, keeps the shape of what it printed under `name`, and returns it. How `check` and
 * `doctor` end says something of the machine.
 */
async function shaped<T>(name: string, ...argv: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await site.cli(...argv, '--json');
  const documents = stdout === '' ? [] : [JSON.parse(stdout) as unknown];
  const errors = code === 0 ? [] : [JSON.parse(stderr) as unknown];
  const ending = [`exit ${code}`, ...shapeOf(errors, { words }).map((line) => `stderr ${line}`)];
  const isAboutMachine = argv[0] === 'check' || argv[0] === 'doctor';
  sections.push(
    section(`reprise ${name} --json`, [...(isAboutMachine ? [] : ending), ...shapeOf(documents, { maps, words })]),
  );
  return documents[0] as T;
}

/** Compares what the commands since the last call printed. */
async function compared(file: string): Promise<void> {
  const made = sections.splice(0).toSorted().join('\n');
  expect(made).toBe(await golden(new URL(file, import.meta.url), made));
}

beforeAll(async () => {
  site = await Site.create({ retention: '{ count: 1, min_proven: 1 }' });
  const [folder, copy] = [join(site.root, 'media'), join(site.root, 'copy')];
  for (const path of [folder, copy]) await mkdir(path, { mode: 0o700 });
  await writeFile(join(folder, 'a.txt'), 'a');
  await editConfig(site, (text) =>
    text
      .replace(
        'repositories:\n',
        `repositories:\n  folder: { type: directory, path: ${folder}, host: db1 }\n  copy: { type: directory, path: ${copy}, host: db1 }\n`,
      )
      .concat(
        'media:\n  folder: { repository: folder, cluster: mairie }\n  copy: { repository: copy, cluster: mairie }\n',
      ),
  );
  await site.startWorker();
});

describe('documents under --json keep their fields', () => {
  it('of what is configured and planned', async () => {
    await Promise.all([shaped('version', 'version'), shaped('config check', 'config', 'check')]);
    await Promise.all([
      shaped('config show', 'config', 'show'),
      shaped('config show --origin', 'config', 'show', '--origin'),
    ]);
    await shaped('cluster list', 'cluster', 'list');
    await shaped('schedule plan', 'schedule', 'plan');
    await shaped('schedule apply', 'schedule', 'apply');
    // Temporal's list of schedules follows a moment later.
    const listed = async () => (await site.cli('schedule', 'list', '--json')).stdout.includes('"reprise/mairie/physical"');
    await site.waitFor(listed, 'the schedule is listed');
    await shaped('schedule list', 'schedule', 'list');
    await shaped('schedule pause ID --dry-run', 'schedule', 'pause', 'mairie/dump', '--reason', 'test', '--dry-run');
    await shaped('schedule pause ID', 'schedule', 'pause', 'mairie/dump', '--reason', 'test');
    await shaped('schedule resume ID', 'schedule', 'resume', 'mairie/dump');
    await shaped('schedule trigger ID --dry-run', 'schedule', 'trigger', 'mairie/dump', '--dry-run');
    await compared('json-configured.golden.txt');
  });

  it('of errors', async () => {
    await shaped('(a command that is none)', 'nonsense');
    await shaped('backup show (none of that name)', 'backup', 'show', 'nonsense');
    await shaped('kept drop (without --yes)', 'kept', 'drop', 'nonsense');
    await shaped('recover (without a backup)', 'recover', 'mairie', '--policy', 'dump', '--dry-run');
    await compared('json-errors.golden.txt');
  });

  it('of backups and their rotation', async () => {
    await shaped('backup run CLUSTER --dry-run', 'backup', 'run', 'mairie', '--policy', 'dump', '--dry-run');
    const [ran] = await Promise.all([
      shaped<{ backups: Backup[] }>('backup run CLUSTER (dump)', 'backup', 'run', 'mairie', '--policy', 'dump'),
      shaped('backup run CLUSTER (physical)', 'backup', 'run', 'mairie', '--policy', 'physical'),
    ]);
    const { id } = ran.backups[0] as Backup;
    await shaped('backup hold ID --dry-run', 'backup', 'hold', id, '--reason', 'test', '--dry-run');
    await shaped('backup hold ID', 'backup', 'hold', id, '--reason', 'test');
    await shaped('backup run CLUSTER --detach', 'backup', 'run', 'mairie', '--policy', 'dump', '--detach');
    await reaches(site, 'backup/mairie/dump', 'completed');
    await Promise.all([shaped('backup list', 'backup', 'list'), shaped('backup show ID (dump)', 'backup', 'show', id)]);
    await shaped('backup verify ID --dry-run', 'backup', 'verify', id, '--dry-run');
    await shaped('backup verify ID', 'backup', 'verify', id);
    await shaped('backup release ID', 'backup', 'release', id, '--yes');
    await shaped('rotate CLUSTER --dry-run', 'rotate', 'mairie', '--policy', 'dump', '--dry-run');
    await shaped('rotate CLUSTER', 'rotate', 'mairie', '--policy', 'dump');
    await compared('json-backups.golden.txt');
  });

  it('of looks at the whole', async () => {
    await Promise.all([shaped('check CLUSTER', 'check', 'mairie'), shaped('doctor', 'doctor')]);
    await Promise.all([shaped('storage plan', 'storage', 'plan'), shaped('storage usage', 'storage', 'usage')]);
    await shaped('incident list (none)', 'incident', 'list');
    await shaped('media sync NAME --dry-run', 'media', 'sync', 'folder', '--into', 'copy', '--dry-run');
    await shaped('media verify NAME', 'media', 'verify', 'folder');
    await compared('json-looks.golden.txt');
  });

  it('of a recovery, from the plan to the old data', async () => {
    await archiveCommit();
    const dry = (policy: string) =>
      shaped(`recover CLUSTER --dry-run (${policy})`, 'recover', 'mairie', '--policy', policy, '--dry-run');
    await Promise.all([dry('dump'), dry('physical')]);
    const given = await shaped<{ workflowId: string }>(
      'recover CLUSTER --detach',
      'recover',
      'mairie',
      '--policy',
      'dump',
      '--yes',
      '--detach',
    );
    await reaches(site, given.workflowId, 'waiting-approval');
    // Temporal's list follows a moment later.
    await site.waitFor(
      async () =>
        (await listRunningOperations(site.session)).some(
          ({ workflowId, state }) => workflowId === given.workflowId && state === 'waiting-approval',
        ),
      'it is listed',
    );
    await Promise.all([
      shaped('status (one waits)', 'status'),
      shaped('status WORKFLOW (waiting)', 'status', given.workflowId),
    ]);
    await shaped('reject WORKFLOW', 'reject', given.workflowId, '--reason', 'test');
    await site.session.client.workflow.getHandle(given.workflowId).result();
    await shaped('status WORKFLOW (rejected)', 'status', given.workflowId);

    // Waited for to its end, in a process of its own.
    const whole = shaped('recover CLUSTER', 'recover', 'mairie', '--policy', 'dump', '--yes');
    const { workflowId, plan } = await waitingPlan(given.workflowId);
    const decision = ['--plan', plan.digest.slice(0, 12), '--by', 'dba', '--reason', 'test'];
    await shaped('approve WORKFLOW --dry-run', 'approve', workflowId, ...decision, '--dry-run');
    await shaped('approve WORKFLOW', 'approve', workflowId, ...decision);
    await whole;
    await shaped('status WORKFLOW (completed)', 'status', workflowId);
    const { kept } = await shaped<{ kept: KeptItem[] }>('kept list', 'kept', 'list');
    await shaped('kept drop ID --dry-run', 'kept', 'drop', kept[0]?.id ?? '', '--dry-run');
    await shaped('kept drop ID', 'kept', 'drop', kept[0]?.id ?? '', '--yes');
    await compared('json-recovery.golden.txt');
  });

  it('of an incident', async () => {
    await site.loseInstance('data');
    const started = ['incident', 'start', 'instance-loss', '--cluster', 'mairie'];
    await shaped('incident start SCENARIO --dry-run', ...started, '--dry-run');
    const { workflowId } = await shaped<{ workflowId: string }>(
      'incident start SCENARIO --detach',
      ...started,
      '--detach',
    );
    const recovery = await waitingPlan('');
    await shaped('incident list', 'incident', 'list');
    await shaped('incident show ID', 'incident', 'show', workflowId);
    await shaped('incident note ID TEXT', 'incident', 'note', workflowId, 'a', 'note', '--by', 'dba');
    const decision = ['--plan', recovery.plan.digest.slice(0, 12), '--by', 'dba', '--reason', 'test'];
    await shaped('approve WORKFLOW (of an incident)', 'approve', recovery.workflowId, ...decision);
    await reaches(site, recovery.workflowId, 'completed');
    await shaped('status WORKFLOW (physical, completed)', 'status', recovery.workflowId);
    await shaped('incident report ID', 'incident', 'report', workflowId);
    // Recovered, it ends by itself.
    await site.session.client.workflow.getHandle(workflowId).result();
    await shaped('incident show ID (closed)', 'incident', 'show', workflowId);
    await compared('json-incident.golden.txt');
  });
});

/** What a physical plan says it can reach depends on a commit in the archive, so there is one. */
async function archiveCommit(): Promise<void> {
  await site.commit();
  await site.archiveSegment();
}

/** The recovery that waits for an approval and is not `other`. */
function waitingPlan(other: string): Promise<{ workflowId: string; plan: Plan }> {
  return site.waitFor(async () => {
    for await (const { workflowId, status } of site.session.client.workflow.list({
      query: "WorkflowType = 'recover'",
    })) {
      if (workflowId === other || status.name !== 'RUNNING') continue;
      const plan = await site.session.client.workflow.getHandle(workflowId).query<Plan | null>('plan');
      if (plan === null) continue;
      await reaches(site, workflowId, 'waiting-approval');
      return { workflowId, plan };
    }
    return null;
  }, 'a recovery waits for its approval');
}

/** What differs from run to run, given a name. */
function named(text: string): string {
  return text
    .replaceAll(site.root, 'ROOT')
    .replaceAll(/\d{8}-\d{6}-[0-9a-f]{6}/g, 'OPERATION')
    .replaceAll(/\d{6}-\d{6}-[0-9a-f]{6}/g, 'OPERATION')
    .replaceAll(/_(new|aside)_[0-9a-f]{16}\b/g, '_$1_OPERATION')
    .replaceAll(/\d{8}-\d{6}F/g, 'LABEL')
    .replaceAll(/\d{8}_\d{6}/g, 'TIME')
    .replaceAll(/\b[0-9a-f]{64}\b/g, 'DIGEST')
    .replaceAll(/\b[0-9a-f]{12}\b/g, 'SHORT-DIGEST')
    .replaceAll(/\b\d{4}-\d\d-\d\dT[\d:.]+Z?/g, 'INSTANT')
    .replaceAll(/sent by client \S+@[^)\s]+/g, 'sent by client IDENTITY')
    .replaceAll(/(\/incident\/[a-z]+\/).*/g, '$1TEXT')
    .replaceAll(/@\d{15,}/g, '@SYSTEM')
    .replaceAll(/\b\d{13}\b/g, 'MILLISECONDS');
}

async function jsonBelow(...path: string[]): Promise<{ path: string; content: Record<string, unknown> }[]> {
  const root = join(...path);
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.json'))
    .map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    files.map(async (file) => ({
      path: file.slice(root.length + 1),
      content: JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>,
    })),
  );
}

/** Sections by headline, the documents of one headline merged. */
function merged(found: readonly { readonly headline: string; readonly content: unknown }[]): string {
  const contents = (of: string): unknown[] =>
    found.filter(({ headline }) => headline === of).map(({ content }) => content);
  const headlines = [...new Set(found.map(({ headline }) => headline))].toSorted();
  return headlines.map((headline) => section(headline, shapeOf(contents(headline), { words }))).join('\n');
}

const distinct = (lines: readonly string[]): string[] => [...new Set(lines.map(named))].toSorted();

describe('what this work has left behind keeps its names and fields', () => {
  it('the jobs of backups, proofs and recoveries have the keys and tools they have always had', async () => {
    const records = (await jsonBelow(site.places.stateDir, 'jobs')).filter(({ path }) => path.endsWith('/record.json'));
    const lines = records.map(({ content }) => `${String(content['key'])}: ${String(content['tool'])}`);
    const made = section('key: tool', distinct(lines));
    expect(made).toBe(await golden(new URL('left-jobs.golden.txt', import.meta.url), made));
  });

  it('the records of the cluster have the kinds, ids and fields they have always had', async () => {
    const records = await jsonBelow(site.places.backupsDir, 'mairie', 'records');
    const ids = records.map(({ content }) => `${String(content['kind'])}: ${String(content['id'])}`);
    const steps = records
      .filter(({ content }) => content['kind'] === 'journal')
      .map(({ content }) => String(content['step']));
    const shapes = merged(records.map(({ content }) => ({ headline: `kind ${String(content['kind'])}`, content })));
    const made = [section('kind: id', distinct(ids)), section('steps of the journal', distinct(steps)), shapes].join(
      '\n',
    );
    expect(made).toBe(await golden(new URL('left-records.golden.txt', import.meta.url), made));
  });

  it('the ledger of the host has the files, steps and fields it has always had', async () => {
    const { stateDir } = site.places;
    const parts = await Promise.all(
      ['approvals', 'done', 'ledger', 'plans'].map(async (part) =>
        (await jsonBelow(stateDir, part)).map(({ path, content }) => {
          const method = (content['binding'] as { method?: string } | undefined)?.method;
          const headline = `${part}/${named(path)}${method === undefined ? '' : ` (${method})`}`;
          return {
            headline: part === 'done' ? `done/OPERATION: step ${named(String(content['step']))}` : headline,
            content,
          };
        }),
      ),
    );
    const made = merged(parts.flat());
    expect(made).toBe(await golden(new URL('left-ledger.golden.txt', import.meta.url), made));
  });

  it('the repository and the state directory have the files they have always had', async () => {
    const files = async (root: string): Promise<string[]> => {
      const entries = await readdir(root, { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile() || entry.isSocket())
        .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
    };
    const stored = (await files(site.places.backupsDir)).map((name) => name.replace(/\d{8}\.json$/, 'NUMBER.json'));
    // `failing` is there only where a watch happened to look while the server was down.
    const state = (await readdir(site.places.stateDir)).map(String).filter((name) => name !== 'failing');
    const made = [section('repository', distinct(stored)), section('state directory', distinct(state))].join('\n');
    expect(made).toBe(await golden(new URL('left-files.golden.txt', import.meta.url), made));
  });
});
