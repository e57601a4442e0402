import { describe, expect, it } from '@jest/globals';
import { parseNote, parseRepairChoice } from '../../../src/domain/approval/parse-decisions.js';
import { noticeText } from '../../../src/domain/notification/notice-text.js';
import { suspicionAgainst } from '../../../src/domain/table/history.js';
import {
  surveyText,
  suspectsText,
  type TableHold,
  tableIncidentDetails,
} from '../../../src/domain/table/incident-text.js';

const order = { database: 'mairie', table: { schema: 'metier', table: "a'; touch /tmp/x; '`<b>" } };
const facts = {
  ...{ cluster: 'mairie', workflowId: 'incident/mairie/table-corruption/op', order, cause: '<script>', hold: null },
  discoveredAt: '2026-11-21T08:00:00Z',
  survey: {
    ...{ rowsNow: 10, suspicion: '10 rows; 300 in the backup before', blocks: true, problems: ['a `problem`'] },
    history: [
      {
        ...{ backupId: 'b1', policy: 'nightly', at: '2026-11-21T02:00:00Z', rows: 300, change: null },
        suspicion: null,
      },
    ],
  },
  suspects: {
    ...{ from: '2026-11-21T02:00:00Z', to: '2026-11-21T08:00:00Z', problem: null },
    transactions: [
      { xid: '12', committedAt: '2026-11-21T07:00:00Z', inserted: 0, updated: 1, deleted: 290, actions: [] },
    ],
  },
};

describe('T3: an incident of a table in words', () => {
  it('F43: names of others are one word of a command, and no markup', () => {
    const text = tableIncidentDetails(facts, 'choose');
    const commands = text.slice(text.indexOf('**To type next:**'));
    for (const line of commands.split('\n').filter((one) => one.includes('touch')))
      expect(line).toContain(`'metier."a'\\''; touch /tmp/x; '\\''\`<b>"'`);
    expect(commands).toContain('--xid 12 --incident incident/mairie/table-corruption/op');
    expect(commands).toContain('--min-rows 300');
    expect(text.replace(commands, '')).not.toMatch(/(?<!\\)<(b|script)>/);
    expect(tableIncidentDetails(facts, 'confirm')).toContain('reprise incident confirm');
    // The Web UI cuts the lines of a block, and does not lay out a table.
    expect(text).not.toMatch(/^(?:```sh|\|)/m);
    expect(tableIncidentDetails(facts, 'work')).not.toContain('To type next');
  });

  it('T4: whether the table takes writes, and what to type about it', () => {
    const block = (hold: Pick<TableHold, 'isBlocking' | 'end'>): string => {
      const text = tableIncidentDetails(
        { ...facts, hold: { workflowId: 'table-freeze/mairie/op-hold', ...hold } },
        'work',
      );
      return text.slice(text.lastIndexOf('\n\n'));
    };
    const asked = block({ isBlocking: false, end: null });
    expect(asked).toContain('`reprise approve table-freeze/mairie/op-hold --reason "..."`');
    const blocked = block({ isBlocking: true, end: null });
    expect(blocked).toContain('takes no writes');
    expect(blocked).toContain('`reprise table release table-freeze/mairie/op-hold --reason "..."`');
    const ended = block({ isBlocking: true, end: 'it blocked nothing: dba: no' });
    expect(ended).toContain('it blocked nothing: dba: no');
    expect(ended).toContain('reprise table freeze mairie mairie');
    for (const text of [blocked, ended]) expect(text).not.toContain('reprise approve');
  });

  it('T3: figures in one sentence, also where little is known', () => {
    expect(surveyText(facts.survey)).toContain('suspicious: 10 rows; 300');
    expect(surveyText({ history: [], rowsNow: null, suspicion: null, blocks: false, problems: ['why'] })).toBe(
      'rows now: not known; no backup recorded its rows; why',
    );
    expect(suspectsText(facts.suspects)).toContain('transaction 12');
    expect(suspectsText({ ...facts.suspects, transactions: [], problem: 'no WAL' })).toContain('no WAL');
  });

  it('T3: rows now are suspicious only against several backups, and against what is usual', () => {
    const of = (...rows: number[]) => rows.map((count) => ({ rows: count }));
    expect(suspicionAgainst(of(1000, 1000), 10)).toBeNull();
    expect(suspicionAgainst(of(1000, 1010, 1020), 10)).toContain('10 rows; 1020 in the backup before');
    expect(suspicionAgainst(of(1000, 10, 1020), 10)).toBeNull();
    expect(suspicionAgainst(of(1000, 1010, 1020), 1000)).toBeNull();
  });

  it('T8: people are told of the table, with what to do next', () => {
    const notice = {
      ...{ operationId: 'op', workflowId: facts.workflowId, cluster: 'mairie', at: '2026-11-21T08:00:00Z', key: '1' },
      facts: {
        ...{ kind: 'incident' as const, scenario: 'table-corruption', state: 'suspected' as const, text: 'rows' },
        ...{ by: 'ops', since: '2026-11-21T08:00:00Z', table: 'mairie metier.orders' },
      },
    };
    const { subject, text } = noticeText(notice, 'http://localhost');
    expect(subject).toContain('incident table-corruption of mairie, mairie metier.orders: suspected');
    expect(text).toContain('reprise incident confirm incident/mairie/table-corruption/op');
  });

  it('F32: a cause is a note that says so; a choice has an order', () => {
    expect(parseNote({ by: 'a', text: 'b', cause: true })).toEqual({ by: 'a', text: 'b', isCause: true });
    expect(parseNote({ by: 'a', text: 'b', cause: 'yes' })).toMatchObject({ isCause: false });
    expect(parseRepairChoice({ by: 'a', order: {} })).toEqual({ by: 'a', order: {} });
    for (const raw of [null, {}, { by: 'a' }, { by: 'a', order: [] }, { order: {} }])
      expect(parseRepairChoice(raw)).toHaveProperty('problem');
  });
});
