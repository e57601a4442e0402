import { Option } from 'commander';
import type { Command } from 'commander';
import type { Config } from '../../domain/config.js';
import { errorTable, RepriseError, type ErrorCode } from '../../domain/errors.js';
import { withLocalTimes } from '../../domain/target/instant.js';
import { noticeText } from '../../domain/notification/notice-text.js';
import { addressesOf, deliveriesOf } from '../../domain/notification/recipients.js';
import { webUiLink } from '../../domain/operation/names.js';
import type { NotifyOutput, NotifyResult } from '../../workflows/api.js';
import { type Cli, unknownName } from '../cli-context.js';
import { byOption } from '../common-options.js';
import { define, group } from '../define-command.js';
import { type Screen, screenTable } from '../terminal/tables.js';

/** `reprise notify ...` */
export function registerNotify(program: Command, cli: Cli): void {
  const notify = group(program, 'notify', 'notifications: test whether people are reached');
  define<{ notifier?: string; by?: string }>(notify, cli, {
    usage: 'test <contact>',
    summary: 'send a contact a test message through each notifier',
    description:
      'The control worker sends it, in the same way as real messages. Exit 3 when only some messages were accepted.',
    argumentHelp: { contact: 'name under `contacts` in reprise.yml' },
    examples: ['notify test ops', 'notify test ops --notifier mail --dry-run'],
    options: [new Option('--notifier <name>', 'only through this notifier'), byOption()],
    changes: true,
    run: async (self, [contact = ''], options) => {
      const config = await self.config();
      await known(config, 'contacts', contact);
      if (options.notifier !== undefined) await known(config, 'notifiers', options.notifier);
      const { sendTest, testNotice } = await import('../../client/notify.js');
      const notice = testNotice(contact, options.notifier ?? null, self.person(options.by));
      const deliveries = deliveriesOf(config, notice);
      if (deliveries.length === 0) throw unreached(config, contact, options.notifier);
      if (options.dryRun) {
        const { webUi, namespace } = await self.temporalSettings();
        const { subject, text } = noticeText(notice, webUiLink({ webUi, namespace }, notice.workflowId));
        const would = deliveries.map(({ notifier }) => ({
          notifier,
          type: config.notifiers[notifier]?.type ?? '',
          addresses: addressesOf(config, contact, notifier),
        }));
        return self.print({ dryRun: true, contact, deliveries: would, subject, text }, (view, screen) => {
          const rows = view.deliveries.map(({ notifier, type, addresses }) => [
            notifier,
            type,
            addresses.join(', ') || 'its one address',
          ]);
          return `would send:\n${screenTable(['notifier', 'type', 'to'], rows, screen)}\n\n${view.subject}\n\n${withLocalTimes(view.text, screen.zone)}`;
        });
      }
      const sent = await self.withTemporal((session) => sendTest(session, notice));
      await self.print({ contact, workflowId: notice.workflowId, ...sent }, (view, screen) =>
        resultText(view.deliveries, screen),
      );
      failUnlessSent(contact, sent);
    },
  });
}

async function known(config: Config, what: 'contacts' | 'notifiers', name: string): Promise<void> {
  const names = Object.keys(config[what]);
  if (names.includes(name)) return;
  throw await unknownName(`there is no ${what.slice(0, -1)} "${name}" in ${config.file}`, name, names, what);
}

function unreached({ notifiers, file }: Config, contact: string, notifier: string | undefined): RepriseError {
  if (Object.keys(notifiers).length === 0)
    return new RepriseError('not-found', `there is no notifier in ${file}`, 'add one under notifiers:');
  const by = notifier ?? Object.keys(notifiers).join(', ');
  return new RepriseError(
    'not-found',
    `${contact} has no address for ${by}`,
    `add it: contacts: { ${contact}: { ${notifier ?? Object.keys(notifiers)[0]}: [ADDRESS] } }`,
  );
}

function resultText(deliveries: readonly NotifyResult[], screen: Screen): string {
  const rows = deliveries.map(({ notifier, code, refused, detail }) => {
    if (code !== null) return [notifier, 'not sent', `${detail} (${code})`];
    return [
      notifier,
      refused === 0 ? 'sent' : 'partly',
      refused === 0 ? detail : `${detail}; ${refused} addresses were refused`,
    ];
  });
  return screenTable(['notifier', 'result', 'detail'], rows, screen);
}

/** @throws `partly-done` (exit 3), or the first failure where nothing was taken. */
function failUnlessSent(contact: string, { deliveries }: NotifyOutput): void {
  const failed = deliveries.filter(({ code, refused }) => code !== null || refused > 0);
  const [first] = failed;
  if (first === undefined) return;
  const hint = `correct what the detail names, then: reprise notify test ${contact}`;
  if (deliveries.some(({ code }) => code === null)) {
    throw new RepriseError(
      'partly-done',
      `not every message to ${contact} was accepted: see ${failed.map(({ notifier }) => notifier).join(', ')}`,
      hint,
    );
  }
  const code = first.code !== null && first.code in errorTable ? (first.code as ErrorCode) : 'notifier-rejected';
  throw new RepriseError(code, `no message to ${contact} was accepted; ${first.notifier}: ${first.detail}`, hint);
}
