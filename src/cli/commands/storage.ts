import type { Command } from 'commander';
import { clusterForStorage } from '../../domain/approval/actions.js';
import { RepriseError } from '../../domain/errors.js';
import { storageChanges } from '../../domain/storage/storage-plan.js';
import type { StoragePlan } from '../../domain/storage/storage-plan.js';
import { oneOf } from '../../domain/text/text.js';
import { runInspection } from '../../client/inspect.js';
import type { TemporalSession } from '../../client/connect.js';
import { type Cli, unknownName } from '../cli-context.js';
import { byOption, reasonOption } from '../common-options.js';
import { type AskedAction, askUnlessApproved, carryOutAction } from '../confirmed-action.js';
import { type CommonOptions, define, group } from '../define-command.js';
import { requireTerminal, typeTheName } from '../terminal/prompts.js';
import { interruptible } from '../long-operation.js';
import { acceptedText, appliedText, storagePlansText, usageText } from '../terminal/storage-text.js';
import type { AppliedPlan } from '../terminal/storage-text.js';

/** `reprise storage ...` */
export function registerStorage(program: Command, cli: Cli): void {
  const storage = group(program, 'storage', 'settings and costs of repositories');
  const argumentHelp = { repository: 'name of the repository in reprise.yml (default: all)' };
  define(storage, cli, {
    usage: 'plan [repository]',
    summary: 'show how the settings of a repository differ from reprise.yml',
    description:
      'Versions, lifecycle, locks, public access, encryption. Changes nothing: two small objects are written and removed, to test the server.',
    argumentHelp,
    examples: ['storage plan', 'storage plan offsite --json'],
    run: async (self, [named]) => {
      const plans = await plansOf(self, named);
      await self.print({ repositories: plans }, (view) => storagePlansText(self, view.repositories));
    },
  });
  define(storage, cli, {
    usage: 'usage [repository]',
    summary: 'show what a repository contains, and its costs for a month',
    description:
      'Old versions and parts of unfinished uploads count as well. Costs come from `prices` of the repository; without them none is shown.',
    argumentHelp,
    examples: ['storage usage', 'storage usage offsite --json'],
    run: async (self, [named]) => {
      const names = await repositoriesOf(self, named);
      const usages = await self.withTemporal((session) =>
        interruptible((signal) =>
          Promise.all(
            names.map(
              async (repository) =>
                (await runInspection<'storage-usage'>(session, { kind: 'storage-usage', repository }, signal)).usage,
            ),
          ),
        ),
      );
      await self.print({ repositories: usages }, (view, screen) =>
        view.repositories.map((usage) => usageText(self, usage, screen)).join('\n\n'),
      );
    },
  });
  define<{ by?: string }>(storage, cli, {
    usage: 'apply [repository]',
    summary: 'change the settings of a repository to those in reprise.yml',
    description:
      'Shows the plan and asks before it changes anything; where a cluster that uses the repository has an approval policy for storage-apply, it waits for the approval instead. A lifecycle rule that contradicts the retention is refused.',
    argumentHelp,
    examples: ['storage apply offsite --dry-run', 'storage apply offsite --yes --json'],
    options: [byOption()],
    changes: true,
    asks: true,
    long: true,
    run: async (self, [named], options) => {
      const plans = await plansOf(self, named);
      if (options.dryRun === true)
        return self.print({ dryRun: true, repositories: plans }, (view) => storagePlansText(self, view.repositories));
      refuse(plans);
      const changing = plans.filter((plan) => storageChanges(plan).length > 0);
      const config = await self.config();
      const asked = changing.map(({ repository, place }) => ({
        action: 'storage-apply' as const,
        cluster: clusterForStorage(config, repository),
        subject: repository,
        what: `changing the settings of ${repository} (${place})`,
      }));
      if (options.detach === true && asked.length > 1)
        throw new RepriseError(
          'usage',
          `the settings of ${asked.length} repositories would change: --detach follows one operation`,
          `name one: ${oneOf(
            'reprise storage apply',
            asked.map(({ subject }) => subject),
          )}`,
        );
      const confirmed = new Map<string, boolean>();
      for (const one of asked) {
        const plan = changing.filter(({ repository }) => repository === one.subject);
        if (options.yes !== true && self.showsProgress) self.say(storagePlansText(self, plan));
        confirmed.set(one.subject, await askUnlessApproved(self, one, options));
      }
      const done = await self.withTemporal((session) => applyAll(self, session, plans, asked, options, confirmed));
      if (done === null) return;
      await self.print({ repositories: done }, (view) => appliedText(self, view.repositories));
      const left = done.flatMap(({ repository, applied }) =>
        applied.filter((setting) => !setting.done).map(({ name }) => `${repository}: ${name}`),
      );
      if (left.length > 0)
        throw new RepriseError(
          'partly-done',
          `the server refused ${left.length === 1 ? 'a setting' : `${left.length} settings`} (${left.join(', ')})`,
          'the rest is set; see what this server can do with reprise storage plan',
        );
    },
  });
  defineAccept(storage, cli);
}

function defineAccept(storage: Command, cli: Cli): void {
  define<{ reason: string; by?: string }>(storage, cli, {
    usage: 'accept <repository>',
    summary: 'use what is at the place of a repository now, though the host knows another one',
    description:
      'A repository carries an identity, and a directory without it is refused: it may be the mount point of a disk that is not mounted. After a repository was moved, or begun anew on purpose, this command makes what is there the right one. It changes no file but `reprise-repository.json`.',
    argumentHelp: { repository: 'name of the repository in reprise.yml' },
    examples: [
      'storage accept local --reason "new disk, the old one is lost"',
      'storage accept local --reason moved --dry-run',
    ],
    options: [reasonOption(), byOption()],
    changes: true,
    asks: true,
    run: async (self, [named = ''], options) => {
      const [repository = named] = await repositoriesOf(self, named);
      const question = {
        kind: 'repository-accept' as const,
        repository,
        by: self.person(options.by),
        reason: options.reason,
      };
      const what = `using what is at the place of ${repository} now`;
      if (options.dryRun !== true) requireTerminal(self, what, options.yes);
      const dryRun = options.dryRun === true ? { dryRun: true as const } : {};
      const { repositories } = await self.withTemporal(async (session) => {
        if (options.dryRun !== true && options.yes !== true) {
          const found = await runInspection<'repository-accept'>(session, { ...question, dryRun: true });
          if (self.showsProgress) self.say(acceptedText(found.repositories, true));
          await typeTheName(self, what, repository, options.yes);
        }
        return runInspection<'repository-accept'>(session, { ...question, ...dryRun });
      });
      await self.print({ ...dryRun, repositories }, (view) => acceptedText(view.repositories, options.dryRun === true));
    },
  });
}

/** Null with `--detach`: nothing is waited for. */
async function applyAll(
  cli: Cli,
  session: TemporalSession,
  plans: readonly StoragePlan[],
  asked: readonly AskedAction[],
  options: CommonOptions & { readonly by?: string },
  confirmed: ReadonlyMap<string, boolean>,
): Promise<readonly AppliedPlan[] | null> {
  const done: AppliedPlan[] = [];
  for (const plan of plans) {
    const { repository } = plan;
    const one = asked.find(({ subject }) => subject === repository);
    const output =
      one &&
      (await carryOutAction(cli, session, { kind: 'storage-apply', repository }, one, {
        ...options,
        confirmed: confirmed.get(repository) === true,
      }));
    if (output === null) return null;
    done.push({ ...(output?.outcome?.plan ?? plan), applied: output?.outcome?.applied ?? [] });
  }
  return done;
}

async function plansOf(cli: Cli, named: string | undefined): Promise<readonly StoragePlan[]> {
  const names = await repositoriesOf(cli, named);
  return cli.withTemporal((session) =>
    interruptible((signal) =>
      Promise.all(
        names.map(
          async (repository) =>
            (await runInspection<'storage-plan'>(session, { kind: 'storage-plan', repository }, signal)).plan,
        ),
      ),
    ),
  );
}

/** The one named, or all. */
async function repositoriesOf(cli: Cli, named: string | undefined): Promise<readonly string[]> {
  const names = Object.keys((await cli.config()).repositories);
  if (named === undefined) return names;
  if (names.includes(named)) return [named];
  throw await unknownName(`there is no repository "${named}" in reprise.yml`, named, names, 'repositories');
}

/** Nothing of any repository is changed while the lifecycle of one would break a promise. */
function refuse(plans: readonly StoragePlan[]): void {
  const [refusal, ...more] = plans.flatMap(({ refusals }) => refusals);
  if (refusal === undefined) return;
  throw new RepriseError(
    'lifecycle-refused',
    `${refusal.text}${more.length === 0 ? '' : ` (and ${more.length} more: reprise storage plan)`}: nothing was changed`,
    refusal.hint,
  );
}
