import { Option } from 'commander';
import type { Command } from 'commander';
import type { PinLine } from '../../domain/operation/inspections.js';
import { actionPlanText } from '../../domain/approval/actions.js';
import { clusterOfBackup } from '../../domain/backup/backup.js';
import type { Backup, BackupType } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { backupWorkflowId, heavyQueue } from '../../domain/operation/names.js';
import { runInspection } from '../../client/inspect.js';
import { startBackup, startVerification } from '../../client/start.js';
import type { BackupOutput, VerifyOutput } from '../../workflows/api.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import type { Cli } from '../cli-context.js';
import { remember } from '../remember.js';
import { defineAdopt } from './backup-adopt.js';
import { byOption, policyOption, reasonOption, timeOption } from '../common-options.js';
import { carryOutAction, previewAction } from '../confirmed-action.js';
import { define, group } from '../define-command.js';
import type { CommonOptions } from '../define-command.js';
import { detached, detachedText, waitFor } from '../long-operation.js';
import { backupCommand, backupFacts, backupTable } from '../terminal/backup-text.js';
import { facts, type Screen, screenTable } from '../terminal/tables.js';

/** `reprise backup ...` */
export function registerBackup(program: Command, cli: Cli): void {
  const backup = group(program, 'backup', 'take, list, verify and hold backups');
  defineRun(backup, cli);
  defineList(backup, cli);
  defineVerify(backup, cli);
  defineHolds(backup, cli);
  defineAdopt(backup, cli);
}

function defineRun(parent: Command, cli: Cli): void {
  define<{ policy?: string; type: BackupType | 'auto' }>(parent, cli, {
    usage: 'run <cluster>',
    summary: 'take a backup now, verify it, and rotate',
    argumentHelp: { cluster: 'name of the cluster in reprise.yml' },
    examples: ['backup run mairie --policy nightly-dump', 'backup run mairie --policy physical --type full --detach'],
    options: [
      policyOption(),
      new Option('--type <type>', 'what to take').choices(['auto', 'full', 'diff', 'incr']).default('auto'),
    ],
    changes: true,
    long: true,
    run: async (self, [cluster = ''], options) => {
      const policy = await self.policy(cluster, options.policy);
      if (options.dryRun) {
        const { host } = await self.cluster(cluster);
        const { name, engine, repository, enabled, proof, restoreEvery, retention } = policy;
        const plan = {
          cluster,
          policy: name,
          engine,
          repository,
          enabled,
          type: options.type,
          queue: heavyQueue(host),
          proof,
          ...(restoreEvery === undefined ? {} : { restoreEvery }),
          retention,
        };
        return self.print({ dryRun: true, workflowId: backupWorkflowId(cluster, name), plan }, (view, screen) =>
          runPlanText(view.plan, screen),
        );
      }
      await self.withTemporal(async (session) => {
        const operation = await startBackup(session, {
          cluster,
          requester: self.person(undefined),
          order: { policy: policy.name, type: options.type },
        });
        if (options.detach) return self.print(await detached(self, session, operation.workflowId), detachedText);
        const result = await waitFor<BackupOutput>(self, session, operation, options);
        await self.print({ workflowId: operation.workflowId, ...result }, runText);
        if (result.skipped)
          throw new RepriseError(result.skipped.code, result.skipped.reason, skippedHint(result.skipped.code));
        failUnlessWhole(result);
      });
    },
  });
}

function defineList(parent: Command, cli: Cli): void {
  define(parent, cli, {
    usage: 'list [cluster]',
    summary: 'list backups, and which are verified or held',
    argumentHelp: { cluster: 'only of this cluster' },
    examples: ['backup list', 'backup list mairie --json'],
    run: async (self, [cluster]) => {
      if (cluster !== undefined) await self.cluster(cluster);
      const answer = await self.withTemporal((session) =>
        runInspection<'backups'>(session, { kind: 'backups', cluster }),
      );
      if (cluster === undefined) await remember(self, { backups: answer.backups });
      const take = backupCommand(self, await self.config(), cluster);
      await self.print({ backups: answer.backups, pins: answer.pins ?? [] }, ({ backups, pins }, screen) =>
        [backupTable(backups, screen, take), pinTable(pins, screen)].filter((part) => part !== '').join('\n\n'),
      );
    },
  });
  define(parent, cli, {
    usage: 'show <id>',
    summary: 'show everything about one backup',
    argumentHelp: { id: 'as `backup list` shows it' },
    examples: [
      'backup show mairie:logical:mairie_full_20261121_021500',
      'backup show mairie:pgbackrest:20261121-021500F --json',
    ],
    run: async (self, [given = '']) => {
      const id = await knownBackupId(self, given);
      const answer = await self.withTemporal((session) => runInspection<'backup'>(session, { kind: 'backup', id }));
      await self.print({ backup: answer.backup }, ({ backup }, screen) => backupFacts(backup, screen));
    },
  });
}

function defineVerify(parent: Command, cli: Cli): void {
  define<{ restore?: boolean }>(parent, cli, {
    usage: 'verify <id>',
    summary: 'read a whole backup and compare it with its manifest',
    description:
      'With --restore it is also restored into a scratch server, and the rows of its tables are counted. A backup that fails is quarantined: no recovery uses it (exit 8).',
    argumentHelp: { id: 'as `backup list` shows it' },
    examples: [
      'backup verify mairie:logical:mairie_full_20261121_021500',
      'backup verify mairie:pgbackrest:20261121-021500F --restore',
    ],
    options: [new Option('--restore', 'restore it into a scratch server too')],
    changes: true,
    long: true,
    run: async (self, [given = ''], options) => {
      const id = await knownBackupId(self, given);
      const restore = options.restore === true;
      if (options.dryRun)
        return self.print(
          { dryRun: true, backupId: id, restore },
          () => `would verify ${id}${restore ? ' by a restore' : ''}`,
        );
      await self.withTemporal(async (session) => {
        const operation = await startVerification(session, {
          cluster: clusterOfBackup(id),
          requester: self.person(undefined),
          order: { backupId: id, restore },
        });
        if (options.detach) return self.print(await detached(self, session, operation.workflowId), detachedText);
        const result = await waitFor<VerifyOutput>(self, session, operation, options);
        await self.print(
          { workflowId: operation.workflowId, ...result },
          ({ ok, detail }) => `${ok ? 'verified' : 'FAILED'}: ${detail}`,
        );
        if (!result.ok)
          throw new RepriseError(
            'check-failed',
            `${id} failed its verification: ${result.detail}`,
            `it is quarantined; take a new one: reprise backup run ${clusterOfBackup(id)}`,
          );
      });
    },
  });
}

function defineHolds(parent: Command, cli: Cli): void {
  define<{ until?: string; reason: string; by?: string }>(parent, cli, {
    usage: 'hold <id>',
    summary: 'keep a backup from rotation',
    argumentHelp: { id: 'as `backup list` shows it' },
    examples: [
      'backup hold mairie:logical:mairie_full_20261121_021500 --reason "before the migration"',
      'backup hold mairie:pgbackrest:20261121-021500F --until 2027-01-31T00:00:00Z --reason audit',
    ],
    options: [timeOption('--until <time>', 'end of the hold (default: for ever)'), reasonOption(), byOption()],
    changes: true,
    run: async (self, [given = ''], options) => {
      const id = await knownBackupId(self, given);
      const change = { id, until: options.until ?? 'infinity', reason: options.reason, by: self.person(options.by) };
      await recordOrDryRun(self, options, change, () =>
        self.withTemporal((session) => runInspection<'hold'>(session, { kind: 'hold', ...change })),
      );
    },
  });
  define<{ by?: string }>(parent, cli, {
    usage: 'release <id>',
    summary: 'end the hold of a backup: rotation may remove it again',
    argumentHelp: { id: 'as `backup list` shows it' },
    examples: [
      'backup release mairie:logical:mairie_full_20261121_021500',
      'backup release mairie:pgbackrest:20261121-021500F --dry-run',
    ],
    description:
      'Where the cluster has an approval policy for release, it waits for the approval of its plan. Else it asks for the id, and runs only at a terminal of the host.',
    options: [byOption()],
    changes: true,
    asks: true,
    long: true,
    run: async (self, [given = ''], options) => release(self, await knownBackupId(self, given), options),
  });
}

async function release(cli: Cli, id: string, options: CommonOptions & { readonly by?: string }): Promise<void> {
  const order = { kind: 'release' as const, id };
  const cluster = clusterOfBackup(id);
  const asked = { action: order.kind, cluster, subject: id, what: `ending the hold of ${id}` };
  if (options.dryRun) {
    const plan = await cli.withTemporal((session) => previewAction(cli, session, cluster, order, options.by));
    return cli.print({ dryRun: true, change: { id, by: plan.binding.requester }, plan }, (view) =>
      actionPlanText(view.plan, { waits: false }),
    );
  }
  await cli.withTemporal(async (session) => {
    await previewAction(cli, session, cluster, order, options.by);
    const done = await carryOutAction(cli, session, order, asked, { ...options, confirmed: false });
    const backup = done?.outcome?.backup;
    if (done && backup)
      await cli.print({ workflowId: done.workflowId, backup, plan: done.plan }, (view, screen) =>
        backupFacts(view.backup, screen),
      );
  });
}

async function recordOrDryRun(
  cli: Cli,
  options: CommonOptions,
  change: Readonly<Record<string, string>>,
  write: () => Promise<{ backup: Backup }>,
): Promise<void> {
  if (options.dryRun)
    return cli.print(
      { dryRun: true, change },
      (view, screen) => `would record:\n${facts(Object.entries(view.change), screen)}`,
    );
  await cli.print(await write(), ({ backup }, screen) => backupFacts(backup, screen));
}

/** An id whose cluster is in the config: a typing error is reported at once, with the name that was probably meant. */
async function knownBackupId(cli: Cli, id: string): Promise<string> {
  if (!/^[^:]+:[^:]+:.+$/.test(id)) {
    throw new RepriseError(
      'not-found',
      `"${id}" is no backup id`,
      'an id looks like mairie:logical:mairie_full_20261121_021500; see `reprise backup list`',
    );
  }
  await cli.cluster(clusterOfBackup(id));
  return id;
}

/** What `backup run` would do, for people; the JSON has the same. */
function runPlanText(
  plan: Pick<PolicyConfig, 'engine' | 'repository' | 'enabled' | 'proof' | 'restoreEvery' | 'retention'> & {
    readonly cluster: string;
    readonly policy: string;
    readonly type: string;
    readonly queue: string;
  },
  screen: Screen,
): string {
  const { cluster, policy, enabled, engine, repository, type, proof, restoreEvery, retention, queue } = plan;
  const { maxDeletions, minProven, ...kept } = retention;
  const rules = Object.entries(kept).flatMap(([rule, value]) =>
    typeof value === 'number' ? [`${value} ${rule}`] : [],
  );
  const first = enabled
    ? `would take a backup of ${cluster} by policy ${policy}`
    : `would do nothing: policy ${policy} of ${cluster} is disabled`;
  const pairs: readonly (readonly [string, string])[] = [
    ['engine', engine],
    ['type', type],
    ['repository', repository],
    ['task queue', queue],
    ['proof', restoreEvery === undefined ? proof : `${proof}, and restore in turn, every ${restoreEvery}`],
    [
      'then rotates',
      `keeps ${rules.join(', ') || 'all'}, at least ${minProven} verified; removes at most ${maxDeletions}`,
    ],
  ];
  return `${first}\n${facts(pairs, screen)}`;
}

function runText(result: BackupOutput & { workflowId: string }, screen: Screen): string {
  const { rotation } = result;
  const lines = result.backups.length > 0 ? [backupTable(result.backups, screen)] : ['no backup was taken'];
  if (rotation?.refused) lines.push(`rotation refused: ${rotation.refused.reason}\n  ${rotation.refused.hint}`);
  else if (rotation && rotation.removed.length > 0) lines.push(`rotation removed ${rotation.removed.join(', ')}`);
  for (const note of result.notes ?? []) lines.push(`note: ${note}`);
  for (const { database, table, text } of result.suspicions ?? [])
    lines.push(visible(`SUSPICIOUS: ${formatTableName(table)} of ${database}: ${text}`));
  for (const { database, backupId, reason } of result.failed ?? [])
    lines.push(`FAILED: ${backupId ?? `database ${JSON.stringify(database)}`}: ${reason}`);
  return lines.join('\n');
}

/** @throws RepriseError `partly-done` where a database has no backup, or one of several backups is not verified */
function failUnlessWhole({ failed = [] }: BackupOutput): void {
  if (failed.length === 0) return;
  const what = failed.map(({ database, backupId }) => backupId ?? `database ${JSON.stringify(database)}`).join(', ');
  throw new RepriseError(
    'partly-done',
    `not all of the policy was backed up and verified: ${what}`,
    'each is named above with its reason; the other backups are whole, and older ones of these databases were kept',
  );
}

function skippedHint(code: 'policy-disabled' | 'lock-held'): string {
  return code === 'lock-held'
    ? 'wait until that is done: `reprise status` shows it'
    : 'set `enabled: true` in reprise.yml to have backups of this policy';
}

/** What running operations keep from rotation. */
function pinTable(pins: readonly PinLine[], screen: Screen): string {
  if (pins.length === 0) return '';
  const rows = pins.map(({ operationId, workflowId, backupIds, walFrom, since }) => [
    [...backupIds, ...(walFrom === null ? [] : [`WAL from ${walFrom}`])].join(', '),
    workflowId ?? operationId,
    since,
  ]);
  return `kept from rotation by running operations:\n${screenTable(['pinned', 'by', 'since'], rows, screen)}`;
}
