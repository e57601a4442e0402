import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { RotateOutput } from '../../workflows/api.js';
import { runInspection } from '../../client/inspect.js';
import { startRotation } from '../../client/start.js';
import type { Cli } from '../cli-context.js';
import { policyOption } from '../common-options.js';
import { define } from '../define-command.js';
import { counted, type Screen, screenTable } from '../terminal/tables.js';
import { detached, detachedText, interruptible, waitFor } from '../long-operation.js';

/** `reprise rotate`. It asks nothing: what goes was decided by the policy's retention, as in every scheduled run. */
export function registerRotate(program: Command, cli: Cli): void {
  define<{ policy?: string }>(program, cli, {
    usage: 'rotate <cluster>',
    summary: 'remove the backups that retention does not keep',
    description:
      'Never removes the newest verified backup, a held one, or one in use. Without a verified backup it removes nothing.',
    argumentHelp: { cluster: 'name of the cluster in reprise.yml' },
    examples: ['rotate mairie --policy nightly-dump --dry-run', 'rotate mairie --policy physical --json'],
    options: [policyOption()],
    changes: true,
    takesYes: true,
    long: true,
    run: async (self, [cluster = ''], options) => {
      const { name: policy } = await self.policy(cluster, options.policy);
      await self.withTemporal(async (session) => {
        if (options.dryRun) {
          const question = { kind: 'rotation' as const, cluster, order: { policy } };
          const preview = await interruptible(
            (signal) => runInspection<'rotation'>(session, question, signal),
            options,
          );
          return self.print({ dryRun: true, ...preview, removed: [] }, rotationText);
        }
        const operation = await startRotation(session, {
          cluster,
          requester: self.person(undefined),
          order: { policy },
        });
        if (options.detach) return self.print(await detached(self, session, operation.workflowId), detachedText);
        const result = await waitFor<RotateOutput>(self, session, operation, options);
        await self.print({ workflowId: operation.workflowId, ...result }, rotationText);
        if (result.refused) throw new RepriseError('rotation-refused', result.refused.reason, result.refused.hint);
      });
    },
  });
}

function rotationText(result: RotateOutput, screen: Screen): string {
  const removed = new Set(result.removed);
  const rows = [
    ...result.keep.map(({ id, reason }) => ['keep', id, reason]),
    ...result.remove.map(({ id, reason }) => [removed.has(id) ? 'removed' : 'remove', id, reason]),
  ];
  if (result.keptMore !== undefined)
    rows.push(['keep', `${result.keptMore} older ones`, 'all are shown by: reprise rotate --dry-run']);
  const refused = result.refused ? `\nrefused: ${result.refused.reason}` : '';
  const orphans = (result.orphans ?? []).map(
    ({ policy, backups }) =>
      `\nnot looked at: ${counted(backups, 'backup')} of policy ${policy}, which the configuration does not have; \`reprise doctor\` says what to do`,
  );
  return `${rows.length > 0 ? screenTable(['verdict', 'backup', 'reason'], rows, screen) : 'there are no backups'}${refused}${orphans.join('')}`;
}
