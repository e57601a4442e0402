import { Option } from 'commander';
import type { Command } from 'commander';
import { resolve } from 'node:path';
import type { AdoptionPreview, AdoptOutput } from '../../domain/backup/adoption.js';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { sizeInWords } from '../../domain/text/text.js';
import { inspect } from '../../client/inspect.js';
import { startAdoption } from '../../client/start.js';
import type { Cli } from '../cli-context.js';
import { define, policyOption } from '../define-command.js';
import { instant, table } from '../terminal/format.js';
import { detached, detachedText, waitFor } from '../long-work.js';

/** `reprise backup adopt` */
export function registerAdopt(parent: Command, cli: Cli): void {
  define<{ from?: string; policy?: string }>(parent, cli, {
    usage: 'adopt <cluster>',
    summary: 'take over backups made before Reprise: an existing pgBackRest stanza, a folder of dumps',
    description: [
      'Without --from: what the engines list and no record names. With --from: dumps of pg_dump -Fc in that folder of the',
      "cluster's host, whatever they are called, are copied into the policy's folder; originals are never moved or deleted.",
      'Each is read whole before it counts. What is left out is named (exit 3). Only dumps from a source you trust.',
    ].join('\n'),
    argumentHelp: { cluster: 'name of the cluster in reprise.yml' },
    examples: [
      'backup adopt mairie --dry-run',
      'backup adopt mairie --from /var/backups/postgres --policy nightly-dump',
    ],
    options: [
      new Option('--from <dir>', "folder of dumps, on the cluster's host"),
      policyOption().default(undefined, 'the only one that fits; without --from: all'),
    ],
    changes: true,
    long: true,
    run: async (self, [cluster = ''], options) => {
      await self.cluster(cluster);
      if (options.policy !== undefined) await self.policy(cluster, options.policy);
      const request = {
        cluster,
        ...(options.policy === undefined ? {} : { policy: options.policy }),
        ...(options.from === undefined ? {} : { from: resolve(options.from) }),
      };
      await self.withTemporal(async (session) => {
        if (options.dryRun) {
          const preview = await inspect<'adoption'>(session, { kind: 'adoption', ...request });
          const { policies } = await self.cluster(cluster);
          await self.print({ dryRun: true, ...preview }, previewText);
          for (const line of retentionNotes(preview, policies)) self.say(line);
          return;
        }
        const work = await startAdoption(session, { ...request, requestedBy: self.person(undefined) });
        if (options.detach) return self.print(detached(self, session, work.workflowId), detachedText);
        const result = await waitFor<AdoptOutput>(self, session, work, options);
        await self.print({ workflowId: work.workflowId, ...result }, resultText);
        judge(result);
      });
    },
  });
}

/** @throws `partly-done` where some were adopted and some not, `check-failed` where none was */
function judge({ adopted, refused }: AdoptOutput): void {
  const left = refused.length + adopted.filter(({ proven }) => !proven).length;
  if (left === 0) return;
  const good = adopted.length + refused.length - left;
  const hint = 'each is named above with its reason; the originals are as they were';
  if (good > 0) throw new RepriseError('partly-done', `${good} adopted, ${left} left out`, hint);
  throw new RepriseError('check-failed', `nothing was adopted, ${left} left out`, hint);
}

function previewText({ adopt, refused, known, unlisted }: AdoptionPreview): string {
  const rows = [
    ...adopt.map(({ name, policy, database, startedAt, sizeBytes }) => [
      'adopt',
      name,
      `${policy}${database === null ? '' : `, database ${database}`}, ${instant(startedAt)}, ${sizeInWords(sizeBytes)}`,
    ]),
    ...refused.map(({ name, reason }) => ['leave', name, reason]),
  ];
  return `${rows.length > 0 ? `${table(['verdict', 'what', 'why'], rows)}\n` : ''}${summary(adopt.length, refused.length, known, 'would be adopted')}${more(unlisted)}`;
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
      `note: ${old.length} of them are older than the retention of ${name} (${days} days): rotation removes its copies when newer ones are proven${refused}; originals stay`,
    ];
  });
}

function resultText({ adopted, refused, known, unlisted }: AdoptOutput): string {
  const rows = [
    ...adopted.map(({ id, from, proven, detail }) => [
      proven ? 'adopted' : 'FAILED',
      from ?? id,
      from === null ? detail : `${id}: ${detail}`,
    ]),
    ...refused.map(({ name, reason }) => ['left out', name, reason]),
  ];
  return `${rows.length > 0 ? `${table(['verdict', 'what', 'why'], rows)}\n` : ''}${summary(adopted.filter(({ proven }) => proven).length, rows.length - adopted.filter(({ proven }) => proven).length, known, 'adopted')}${more(unlisted)}`;
}

function more(unlisted = 0): string {
  return unlisted === 0 ? '' : `; ${unlisted} more are not named here: reprise backup list`;
}

function summary(good: number, left: number, known: number, word: string): string {
  return `${good} ${word}, ${left} left out${known === 0 ? '' : `, ${known} known before`}`;
}
