import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import { isMediaPlan } from '../../domain/media/media.js';
import type { MediaOrder, MediaTask } from '../../domain/operation/orders.js';
import { mediaOutcomeText, mediaPlanText, mediaVerdictText } from '../../domain/media/media-text.js';
import type { MediaOutput, VerifyMediaOutput } from '../../workflows/api.js';
import { runInspection } from '../../client/inspect.js';
import { newOperationId, startMedia, startMediaVerification } from '../../client/start.js';
import { type Cli, unknownName } from '../cli-context.js';
import { typeTheName } from '../terminal/prompts.js';
import { byOption, parseCount, timeOption } from '../common-options.js';
import { type CommonOptions, define, group } from '../define-command.js';
import { detached, detachedText, interruptible, waitFor, planToShow, planBeforeDetaching } from '../long-operation.js';

/** A listing of millions of objects comes before the plan. */
const LISTING_MS = 7 * 86_400_000;

interface RecoverOptions {
  /** UTC ISO-8601. */
  readonly to: string;
  readonly into?: string;
  readonly later: 'keep' | 'remove';
  readonly by?: string;
}

interface SyncOptions {
  readonly into: string;
  readonly delete?: boolean;
  readonly maxDelete: number;
  readonly by?: string;
}

const argumentHelp = { name: 'name under media: in reprise.yml' };

/** `reprise media`: plan, recover, sync, verify. */
export function registerMedia(program: Command, cli: Cli): void {
  const media = group(program, 'media', 'objects that belong to a cluster: recover, copy and verify them');
  const recoverOptions = () => [
    timeOption('--to <time>', 'the point in time').makeOptionMandatory(),
    new Option('--into <name>', 'another entry of media, or a repository (default: recover in place)'),
    new Option('--later <what>', 'objects that were added later: keep or remove them')
      .choices(['keep', 'remove'])
      .default('keep'),
    byOption(),
  ];
  define<RecoverOptions>(media, cli, {
    usage: 'plan <name>',
    summary: 'show what a recovery of media would change; changes nothing',
    argumentHelp,
    examples: [
      'media plan photos --to 2026-11-21T02:15:00Z',
      'media plan photos --to 2026-11-21T02:15:00Z --later remove --json',
    ],
    options: recoverOptions(),
    run: (self, [name = ''], options) => showPlan(self, { media: name, task: recoverTask(options) }, options),
  });
  define<RecoverOptions>(media, cli, {
    usage: 'recover <name>',
    summary: 'restore media to a point in time from their versions, after the approval of a plan',
    description:
      'The delete marker of a deleted object is removed; the old version of an overwritten object is copied on top. No version is removed, and objects that are already correct are not changed.',
    argumentHelp,
    examples: [
      'media recover photos --to 2026-11-21T02:15:00Z',
      'media recover photos --to 2026-11-21T02:15:00Z --into photos-copy --detach',
    ],
    options: recoverOptions(),
    changes: true,
    takesYes: true,
    long: true,
    run: (self, [name = ''], options) => carryOut(self, { media: name, task: recoverTask(options) }, options),
  });
  define<SyncOptions>(media, cli, {
    usage: 'sync <name>',
    summary: 'copy media to another bucket or directory, so that both are equal',
    description:
      'Copies what is missing or different. Only --delete removes objects that the media do not have, --max-delete of them at most.',
    argumentHelp,
    examples: [
      'media sync photos --into photos-copy',
      'media sync photos --into photos-copy --delete --max-delete 500 --dry-run',
    ],
    options: [
      new Option('--into <name>', 'another entry of media, or a repository').makeOptionMandatory(),
      new Option('--delete', 'remove objects there that the media do not have'),
      new Option('--max-delete <count>', 'maximum number of objects that may be removed')
        .argParser(parseCount)
        .default(100),
      byOption(),
    ],
    changes: true,
    asks: true,
    long: true,
    run: (self, [name = ''], options) => {
      const task: MediaTask = {
        kind: 'sync',
        into: options.into,
        delete: options.delete === true,
        maxDelete: options.maxDelete,
      };
      return carryOut(self, { media: name, task }, options);
    },
  });
  define<{ sample: number }>(media, cli, {
    usage: 'verify <name>',
    summary: 'read all media, compare sizes and checksums, and decode a sample of the images',
    argumentHelp,
    examples: ['media verify photos', 'media verify photos --sample 1000 --json'],
    options: [new Option('--sample <count>', 'number of images that are decoded').argParser(parseCount).default(100)],
    long: true,
    run: verify,
  });
}

function recoverTask({ to, into, later }: RecoverOptions): MediaTask {
  if (into !== undefined && later === 'remove')
    throw new RepriseError(
      'usage',
      '--later remove is for a recovery in place: nothing is removed from another place',
      'omit --into or --later remove',
    );
  return { kind: 'recover', to: new Date(to).toISOString(), later, into };
}

async function clusterOfMedia(cli: Cli, name: string): Promise<string> {
  const { media } = await cli.config();
  const entry = media[name];
  if (entry) return entry.cluster;
  throw await unknownName(`there are no media "${name}" in the config`, name, Object.keys(media), 'media');
}

/** Before anybody is asked to confirm it; what the place may be is the host's to say. */
async function requireKnownPlace(cli: Cli, name: string): Promise<void> {
  const { media, repositories } = await cli.config();
  const known = [...Object.keys(media), ...Object.keys(repositories)];
  if (!known.includes(name))
    throw await unknownName(`there is no media entry and no repository "${name}"`, name, known, 'places');
}

async function showPlan(cli: Cli, order: MediaOrder, options: CommonOptions & { by?: string }): Promise<void> {
  const question = {
    kind: 'media-plan' as const,
    cluster: await clusterOfMedia(cli, order.media),
    operationId: newOperationId(),
    requester: cli.person(options.by),
    order,
  };
  const { plan } = await cli.withTemporal((session) =>
    interruptible((signal) => runInspection<'media-plan'>(session, question, signal), options),
  );
  await cli.print({ dryRun: true, workflowId: null, plan }, (view) =>
    cli.planForPeople(mediaPlanText(view.plan, { waits: false })),
  );
}

async function carryOut(cli: Cli, order: MediaOrder, options: CommonOptions & { by?: string }): Promise<void> {
  if (options.dryRun) return showPlan(cli, order, options);
  const { media, task } = order;
  const cluster = await clusterOfMedia(cli, media);
  if (task.into !== undefined) await requireKnownPlace(cli, task.into);
  const confirmed = await confirmRemoval(cli, cluster, media, task, options.yes);
  await cli.withTemporal(async (session) => {
    const operation = await startMedia(session, { cluster, requester: cli.person(options.by), order, confirmed });
    const { workflowId } = operation;
    if (options.detach) {
      const plan = await planBeforeDetaching(cli, session, operation, isMediaPlan, LISTING_MS);
      return cli.print({ ...(await detached(cli, session, workflowId)), plan }, (view, screen) =>
        [view.plan === null ? '' : mediaPlanText(view.plan), detachedText(view, screen)].filter(Boolean).join('\n\n'),
      );
    }
    const result = await waitFor<MediaOutput>(
      cli,
      session,
      operation,
      options,
      planToShow(session, workflowId, isMediaPlan, (plan) => cli.planForPeople(mediaPlanText(plan)), LISTING_MS),
    );
    const { state, plan, outcome } = result;
    await cli.print({ workflowId, state, plan, ...outcome }, () => {
      if (plan === null) return state;
      if (outcome !== null) return mediaOutcomeText(plan, outcome);
      return `${mediaPlanText(plan, { waits: false })}\n${state === 'rejected' ? 'rejected' : 'nothing to do'}`;
    });
    if (state === 'rejected')
      throw new RepriseError(
        'approval-refused',
        `the plan was rejected by ${result.rejectedBecause ?? 'a person'}`,
        result.left ?? 'nothing was changed; start again when you want another plan',
      );
    if (outcome !== null && outcome.left > 0)
      throw new RepriseError(
        'check-failed',
        `${outcome.left} changes are left: objects were written in the meantime`,
        `make a new plan: reprise media ${task.kind} ${media}`,
      );
  });
}

/**
 * Objects are removed by an approved plan or, where the cluster has no policy for it, by who types the name of the media.
 * @returns whether that was confirmed here; the host refuses to remove anything that was neither approved nor confirmed
 */
async function confirmRemoval(
  cli: Cli,
  cluster: string,
  media: string,
  task: MediaTask,
  yes: boolean | undefined,
): Promise<boolean> {
  if (task.kind !== 'sync' || !task.delete) return false;
  const approved = (await cli.cluster(cluster)).approvals['media-sync'] !== undefined;
  if (approved) return yes === true;
  await typeTheName(cli, `removing from ${task.into} what ${media} lacks`, media, yes);
  return true;
}

async function verify(
  cli: Cli,
  [name = '']: readonly string[],
  options: CommonOptions & { sample: number },
): Promise<void> {
  const cluster = await clusterOfMedia(cli, name);
  await cli.withTemporal(async (session) => {
    const operation = await startMediaVerification(session, {
      cluster,
      requester: cli.person(undefined),
      order: { media: name, sample: options.sample },
    });
    if (options.detach) return cli.print(await detached(cli, session, operation.workflowId), detachedText);
    const verdict = await waitFor<VerifyMediaOutput>(cli, session, operation, options);
    await cli.print({ workflowId: operation.workflowId, ...verdict }, mediaVerdictText);
    if (verdict.problems > 0)
      throw new RepriseError(
        'check-failed',
        `${verdict.problems} of ${verdict.objects} objects of ${name} failed verification`,
        `restore them: reprise media plan ${name} --to TIME`,
      );
  });
}
