import { resolve } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import type { AdoptionPreview, AdoptOutput } from '../../domain/backup/adoption.js';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { sizeInWords } from '../../domain/text/text.js';
import { runInspection } from '../../client/inspect.js';
import { startAdoption } from '../../client/start.js';
import type { Cli } from '../cli-context.js';
import { byOption, policyOption } from '../common-options.js';
import { confirmPlan, followConfirmed, refuseRejected } from '../confirmed-action.js';
import { define } from '../define-command.js';
import { detached, detachedText, interruptible } from '../long-operation.js';
import { instant, type Screen, screenTable } from '../terminal/tables.js';

/** `reprise backup adopt` */
export function defineAdopt(parent: Command, cli: Cli): void {
  define<{ from?: string; policy?: string; by?: string }>(parent, cli, {
    usage: 'adopt <cluster>',
    summary: 'take over backups made before Reprise: an existing pgBackRest stanza, a folder of dumps',
    description: [
      'Without --from: backups that the engines list and the catalogue does not contain. With --from: dumps of pg_dump -Fc in that import folder of the',
      "cluster, whatever their names, are copied into the policy's folder; originals are never moved or deleted.",
      'Each is read whole. A dump is adopted, not verified: it counts for no promise, and a recovery uses it only by its name or after',
      '`backup verify ID --restore`. A dump that is only a part of its database is listed as partial and never used; one that may be a part is used only by its name. Backups that are not adopted are listed (exit 3).',
    ].join(' '),
    argumentHelp: { cluster: 'name of the cluster in reprise.yml' },
    examples: ['backup adopt mairie --dry-run', 'backup adopt mairie --from old-dumps --policy nightly-dump'],
    options: [
      new Option('--from <name>', 'import folder of the cluster (import_folders in reprise.yml)'),
      policyOption('the only one that fits; without --from: all'),
      byOption(),
    ],
    changes: true,
    asks: true,
    long: true,
    run: async (self, [cluster = ''], options) => {
      await self.cluster(cluster);
      if (options.policy !== undefined) await self.policy(cluster, options.policy);
      const { policy, from } = options;
      const order = { policy, from: from === undefined ? undefined : await importFolderNamed(self, cluster, from) };
      const asked = {
        action: 'adopt' as const,
        cluster,
        subject: cluster,
        what: `adopting backups that were made before Reprise for ${cluster}`,
      };
      await self.withTemporal(async (session) => {
        if (options.dryRun) {
          const question = { kind: 'adoption' as const, cluster, order };
          const preview = await interruptible(
            (signal) => runInspection<'adoption'>(session, question, signal),
            options,
          );
          const { policies } = await self.cluster(cluster);
          await self.print({ dryRun: true, ...preview }, adoptionPreviewText);
          for (const line of retentionNotes(preview, policies)) self.say(line);
          return;
        }
        const operation = await startAdoption(session, { cluster, requester: self.person(options.by), order });
        const more = { ...options, confirmed: false };
        if (options.detach) {
          await confirmPlan(self, session, operation, asked, more);
          return self.print(await detached(self, session, operation.workflowId), detachedText);
        }
        const result = await followConfirmed<AdoptOutput>(self, session, operation, asked, more);
        refuseRejected(result.rejectedBecause);
        await self.print({ workflowId: operation.workflowId, ...result }, adoptionResultText);
        failUnlessAllAdopted(result);
      });
    },
  });
}

/** A folder is named by its entry under `import_folders`; its path is understood too. The host refuses any other. */
async function importFolderNamed(cli: Cli, cluster: string, from: string): Promise<string> {
  const folders = (await cli.cluster(cluster)).importFolders ?? {};
  if (Object.hasOwn(folders, from)) return from;
  return Object.entries(folders).find(([, path]) => path === resolve(from))?.[0] ?? from;
}

/** @throws `partly-done` where some were adopted and some not, `check-failed` where none was */
function failUnlessAllAdopted({ adopted, refused }: AdoptOutput): void {
  const leftOut = refused.length + adopted.filter(({ proven }) => !proven).length;
  if (leftOut === 0) return;
  const done = adopted.length + refused.length - leftOut;
  const hint = 'each is named above with its reason; the originals are as they were';
  const partial = adopted.filter((one) => one.partial === true).length;
  const rest = `${leftOut} left out${partial === 0 ? '' : ` (${partial} partial)`}`;
  if (done > 0) throw new RepriseError('partly-done', `${done} adopted, ${rest}`, hint);
  throw new RepriseError('check-failed', `nothing was adopted, ${rest}`, hint);
}

function adoptionPreviewText({ adopt, refused, known, unlisted }: AdoptionPreview, screen: Screen): string {
  const rows = [
    ...adopt.map(({ name, policy, database, startedAt, sizeBytes, partial }) => [
      partial === undefined ? 'adopt' : 'partial',
      name,
      `${policy}${database === null ? '' : `, database ${database}`}, ${instant(startedAt)}, ${sizeInWords(sizeBytes)}${partial === undefined ? '' : `; ${partial}`}`,
    ]),
    ...refused.map(({ name, reason }) => ['leave', name, reason]),
  ];
  return `${rows.length > 0 ? `${screenTable(['verdict', 'what', 'why'], rows, screen)}\n` : ''}${countsText(adopt.length, refused.length, known, 'would be adopted')}${unlistedText(unlisted)}`;
}

/** What the next rotation would do with what is about to be adopted. */
function retentionNotes(
  { adopt }: AdoptionPreview,
  policies: Readonly<Record<string, PolicyConfig>>,
): readonly string[] {
  return Object.values(policies).flatMap(({ name, retention: { days, maxDeletions } }) => {
    const old = adopt.filter(
      ({ policy, startedAt }) =>
        policy === name && days !== undefined && Date.parse(startedAt) < Date.now() - days * 86_400_000,
    );
    if (old.length === 0) return [];
    const refused =
      old.length > maxDeletions
        ? `; that is more than max_deletions (${maxDeletions}), so that it refuses until this is raised`
        : '';
    return [
      `note: ${old.length} of them are older than the retention of ${name} (${days} days): rotation removes its copies when newer ones are verified${refused}; originals stay`,
    ];
  });
}

function adoptionResultText({ adopted, refused, known, unlisted }: AdoptOutput, screen: Screen): string {
  const rows = [
    ...adopted.map(({ id, from, proven, detail, partial }) => [
      proven ? 'adopted' : partial === true ? 'partial' : 'FAILED',
      from ?? id,
      from === null ? detail : `${id}: ${detail}`,
    ]),
    ...refused.map(({ name, reason }) => ['left out', name, reason]),
  ];
  return `${rows.length > 0 ? `${screenTable(['verdict', 'what', 'why'], rows, screen)}\n` : ''}${countsText(adopted.filter(({ proven }) => proven).length, rows.length - adopted.filter(({ proven }) => proven).length, known, 'adopted')}${unlistedText(unlisted)}`;
}

function unlistedText(unlisted = 0): string {
  return unlisted === 0 ? '' : `; ${unlisted} more are not named here: reprise backup list`;
}

function countsText(done: number, leftOut: number, known: number, verb: string): string {
  return `${done} ${verb}, ${leftOut} left out${known === 0 ? '' : `, ${known} known before`}`;
}
