import { describe, expect, it } from '@jest/globals';
import {
  type AppliedMigration,
  beforeMigrations,
  deploymentBegan,
  type LastMigrations,
  lastMigrations,
  migratedTables,
} from '../../../src/domain/incident/migration.js';
import { findingsText, migrationDetails } from '../../../src/domain/incident/migration-text.js';

const at = (time: string): string => `2026-11-21T${time}:00.000Z`;

describe('K5: when a migration began', () => {
  const applied = [
    { name: '0041', at: at('06:00') },
    { name: '0043', at: at('08:04') },
    { name: '0042', at: at('08:00') },
  ];
  const last = (lines: readonly AppliedMigration[]): LastMigrations => {
    const found = lastMigrations(lines);
    if (found === null) throw new Error('there are none');
    return found;
  };

  it('K5: migrations that follow each other belong together; without a word of the tool the state is that of five minutes before the first', () => {
    const { migrations, begunAt, notBefore } = last(applied);
    expect(migrations.map(({ name }) => name)).toEqual(['0043', '0042']);
    expect([begunAt, notBefore]).toEqual([null, at('06:00')]);
    expect(beforeMigrations(last(applied), [])).toEqual({ before: at('07:55'), migrations, begun: 'assumed' });
    expect(lastMigrations([])).toBeNull();
  });

  it('K5: a long one begins with the first transaction that changed tables as a whole, as far as they follow each other', () => {
    const changes = [at('08:00'), at('07:48'), at('07:35'), at('06:30')];
    expect(beforeMigrations(last(applied), changes)).toMatchObject({
      ...{ before: '2026-11-21T07:34:59.999Z', begun: 'wal' },
    });
    // One within the five minutes says nothing of what was done before it.
    expect(beforeMigrations(last(applied), [at('07:59')])).toMatchObject({ before: at('07:55'), begun: 'assumed' });
  });

  it('K5: what its tool wrote down counts, whatever time it took', () => {
    const told = applied.map((one) => ({ ...one, begunAt: one.at === at('08:00') ? at('06:10') : one.at }));
    expect(beforeMigrations(last(told), [])).toMatchObject({ before: '2026-11-21T06:09:58.000Z', begun: 'recorded' });
    expect(last(told).migrations.map(({ name }) => name)).toEqual(['0043', '0042']);
    // One of them does not say it.
    expect(last([...told.slice(0, 2), { name: '0042', at: at('08:00') }]).begunAt).toBeNull();
  });

  it('K5: the id of a run of Liquibase is the time at which it began', () => {
    const began = Date.parse(at('07:10'));
    expect(deploymentBegan(String(began % 10_000_000_000).padStart(10, '0'), at('08:00'))).toBe(at('07:10'));
    expect(deploymentBegan('none', at('08:00'))).toBeNull();
    // Of another way to number runs.
    expect(deploymentBegan('0000000001', at('08:00'))).toBeNull();
  });
});

describe('K5: what a migration changed', () => {
  const before = [
    { schema: 'a', table: 'kept', rows: 5 },
    { schema: 'a', table: 'halved', rows: 100 },
    { schema: 'a', table: 'dropped', rows: 70 },
  ];
  const now = [
    { schema: 'a', table: 'kept', rows: 5 },
    { schema: 'a', table: 'halved', rows: 50 },
    { schema: 'b', table: 'new', rows: 3 },
  ];

  it('K5: the greatest loss first; tables that came or went have no number on one side', () => {
    expect(migratedTables(before, now)).toEqual({
      same: 1,
      tables: [
        { table: { schema: 'a', table: 'dropped' }, before: 70, now: null },
        { table: { schema: 'a', table: 'halved' }, before: 100, now: 50 },
        { table: { schema: 'b', table: 'new' }, before: null, now: 3 },
      ],
    });
  });

  it('K5: the commands name the first transaction that touched tables as a whole, and the table that lost rows', () => {
    const { tables, same } = migratedTables(before, now);
    const findings = {
      ...{ target: { kind: 'time' as const, time: at('07:55') }, tables, changed: 3, same },
      ...{ objects: ['table a.dropped is missing'], moreObjects: 2 },
    };
    expect(findingsText(findings, null)).toBe('3 tables have other numbers of rows, 1 the same; 3 definitions differ');
    const counts = { inserted: 0, updated: 0, deleted: 50 };
    const facts = {
      ...{ cluster: 'mairie', workflowId: 'incident/mairie/bad-migration/x', order: { database: 'mairie' } },
      ...{ discoveredAt: at('09:00'), cause: null, findings, problem: null, repaired: 0 },
      time: { before: at('07:55'), source: 'operator' as const, migrations: [], recordedIn: null },
      transactions: {
        ...{ from: at('07:55'), to: at('09:00'), problem: null },
        transactions: [
          { xid: '700', committedAt: at('07:58'), ...counts, actions: [] },
          { xid: '711', committedAt: at('08:00'), ...counts, actions: ['dropped'] },
        ],
      },
    };
    const details = migrationDetails(facts, 'choose');
    expect(details).toContain('reprise recover mairie --database mairie --to before-xid:711 --incident');
    expect(details).toContain('reprise table repair mairie mairie a.halved --to before-xid:711');
    expect(details).toContain('- **a.dropped:** 70 before, not there now');
    expect(details).toContain('- and 2 more');
    expect(details).toContain('- **711**, committed 2026-11-21T08:00:00Z: dropped, ');
    expect(details).not.toContain('reprise incident confirm');
    expect(migrationDetails(facts, 'confirm')).toContain('reprise incident dismiss incident/mairie/bad-migration/x');
    expect(migrationDetails(facts, 'work')).not.toContain('To type next');
  });
});
