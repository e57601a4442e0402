import { describe, expect, it } from '@jest/globals';
import { noticeText } from '../../../src/domain/notification/notice-text.js';
import type { Notice, NoticeFacts } from '../../../src/domain/notification/notices.js';
import { utf8Bytes } from '../../../src/domain/text/text.js';
import { golden } from '../../helpers/golden.js';
import { samplePlan } from '../records/samples.js';

const link = 'http://127.0.0.1:8233/namespaces/default/workflows/work';
const notice = (facts: NoticeFacts, workflowId: string): Notice => ({
  cluster: facts.kind === 'test' ? null : 'mairie',
  operationId: 'op',
  workflowId,
  key: '1',
  at: '2026-11-21T01:35:12Z',
  facts,
});
const waiting: NoticeFacts = {
  kind: 'failed',
  what: 'WAL',
  policy: 'base',
  code: 'wal-not-archived',
  reason: 'WAL of mairie does not get into the repository',
  hint: null,
  since: '2026-11-21T01:30:00Z',
};
const failed: NoticeFacts = {
  kind: 'failed',
  what: 'backup',
  policy: 'nightly-dump',
  code: 'disk-full',
  reason: 'no space left on device',
  hint: 'make room on db1',
  since: '2026-11-21T01:30:00Z',
};
const recover = 'recover/mairie/20261121t021500-7f3a';
const incident = 'incident/mairie/instance-loss/mairie-20261121T021500Z';

const all: Readonly<Record<string, Notice>> = {
  'backup-failed': notice(failed, 'backup/mairie/nightly-dump'),
  'rotation-refused': notice(
    {
      ...failed,
      what: 'rotation',
      code: 'rotation-refused',
      reason: '12 backups would be removed, more than the 10 allowed in one run',
    },
    'rotate/mairie/nightly-dump',
  ),
  'recovery-failed': notice({ ...failed, what: 'recovery', policy: null, hint: null }, recover),
  'wal-waits': notice(waiting, 'archive/mairie/base'),
  paused: notice(
    {
      kind: 'paused',
      event: 'failure',
      waitingFor: `step "restore files" failed: no room (disk-full) — \`reprise continue ${recover}\` tries it again`,
    },
    recover,
  ),
  approval: notice({ kind: 'approval', plan: samplePlan() }, recover),
  suspicion: notice(
    {
      kind: 'suspicion',
      policy: 'nightly-dump',
      tables: [
        {
          ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, change: -620 },
          ...{ backupId: 'mairie:logical:new', before: 'mairie:logical:old' },
          text: '400 rows; 1020 in the backup before (-61 %), 1010 usually (-60 %)',
        },
        {
          ...{ database: "d'b", table: { schema: 'My Schema', table: 't' }, change: 90_000 },
          ...{ backupId: 'mairie:logical:new', before: 'mairie:logical:old' },
          text: '91000 rows; 1000 in the backup before (+9000 %), 1000 usually (+9000 %)',
        },
      ],
      more: 3,
    },
    'backup/mairie/nightly-dump',
  ),
  suspected: notice(
    {
      kind: 'incident',
      scenario: 'instance-loss',
      state: 'suspected',
      text: 'layer port: connection refused',
      by: 'watch',
      since: '2026-11-21T02:15:00Z',
    },
    incident,
  ),
  confirmed: notice(
    { kind: 'incident', scenario: 'instance-loss', state: 'confirmed', text: 'seen on site', by: 'dba', since: null },
    incident,
  ),
  recovered: notice(
    { kind: 'recovered', reached: '2026-11-21T02:14:58Z', rtoSeconds: 754, rpoSeconds: 2, report: 'incidents/op.md' },
    recover,
  ),
  test: notice({ kind: 'test', contact: 'ops', notifier: null, by: 'root' }, 'notify/test/op/ops'),
};

describe('S2: what somebody woken at night reads', () => {
  it.each(Object.entries(all))('%s', async (name, one) => {
    const { subject, text } = noticeText(one, link);
    const whole = `Subject: ${subject}\n\n${text}`;
    expect(whole).toBe(await golden(new URL(`./golden/notice-${name}.txt`, import.meta.url), whole));
    expect(utf8Bytes(subject)).toBeLessThanOrEqual(150);
    // What, which cluster, when, where to look.
    for (const part of [one.cluster ?? 'ops', one.at, one.workflowId, link]) expect(text).toContain(part);
    if (one.facts.kind !== 'test') expect(text).toMatch(/reprise \w+/);
  });

  it('F35: hostile names stay on their line, and long ones leave a subject that can be read', () => {
    const hostile: NoticeFacts = { ...failed, reason: 'x\nType     rm -rf /\u202e', policy: 'p'.repeat(300) };
    const { subject, text } = noticeText(notice(hostile, 'backup/mairie/x'), null);
    expect(subject).toHaveLength(148);
    expect(text).toContain('<U+202E>');
    expect(text).not.toMatch(/^Type {5}rm/m);
    expect(text).not.toContain('Web UI');
  });
});
