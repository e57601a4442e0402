import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { NewRecord, RecordBody } from '../../../src/domain/backup/records.js';
import { openCatalogue } from '../../../src/records/catalogue.js';
import { parseRecord } from '../../../src/records/envelope.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { drillOutcomeOf, entryFor, failedCheck } from '../../workflows/drills.js';
import { golden } from '../../helpers/golden.js';
import { section, shapeOf } from '../../helpers/shape.js';
import { tempDir } from '../../helpers/temp.js';
import { backupFacts, fact, samplePlan } from '../records/samples.js';

type Kind = RecordBody['kind'];
const digest = 'd'.repeat(64);

/** Every field that a backup may have. */
const wholeBackup: Required<Omit<Backup, 'proven' | 'heldUntil' | 'status' | 'otherCluster'>> = {
  ...backupFacts('mairie_full_20261120_013000'),
  database: 'mairie',
  sha256: digest,
  manifestSha256: digest,
  adopted: { checked: false },
  partial: 'it holds definitions and no rows',
  pageErrors: ['base/5/16388 page 0'],
  dependsOn: ['earlier'],
  wal: { start: '000000010000000000000001', stop: '000000010000000000000002' },
  server: { versionNum: 150018, systemIdentifier: '1', encoding: 'UTF8', dataChecksums: true },
  contents: [{ database: 'mairie', schema: 'metier', table: 'communes', rows: 500 }],
  objects: {
    roles: ['mairie'],
    tablespaces: ['rapide'],
    databases: [
      {
        database: 'mairie',
        extensions: ['citext'],
        largeObjects: { count: 2, hash: '42' },
        sequences: [{ name: 'metier.numero', last: '7' }],
        definitions: [{ kind: 'function', count: 1, hash: '42', each: { 'metier.taux()': '0123abcd' } }],
      },
    ],
  },
  encryption: { tool: 'age', recipients: ['age1x'] },
  configuration: {
    key: 'k',
    sha256: digest,
    files: ['/etc/f'],
    masked: 1,
    certificates: ['/etc/c'],
    notCaptured: [{ path: '/etc/n', reason: 'r' }],
  },
};

/** A plan that has everything a plan may have. */
const wholePlan = samplePlan(
  {
    backups: [
      {
        ...samplePlan().binding.backups[0],
        id: 'i',
        label: 'l',
        type: 'full',
        finishedAt: '2026-11-20T02:19:48Z',
        hash: digest,
        database: 'mairie',
      },
    ],
    replaces: [{ what: 'w', keptAs: 'k', copied: true }],
    putsBack: ['/etc/f'],
    salvageFrom: '/var/aside',
    thaw: { tier: 'Bulk', days: 7 },
    media: {
      name: 'photos',
      instant: '2026-11-20T02:19:48Z',
      counts: {
        undelete: { objects: 1, bytes: 2 },
        overwrite: { objects: 1, bytes: 2 },
        copy: { objects: 1, bytes: 2 },
      },
      digest,
    },
    engineConfigDigest: digest,
  },
  {
    observed: {
      ...samplePlan().observed,
      thaw: {
        objects: 1,
        bytes: 2,
        storageClasses: ['GLACIER'],
        choices: [{ tier: 'Bulk', hours: 12, price: 1 }],
        currency: 'EUR',
      },
      stateAt: '2026-11-20T02:19:48Z',
      approval: { approvers: 1, from: ['dba'] },
      warnings: ['w'],
    },
  },
);

const wholeDrill = {
  ...drillOutcomeOf(
    { cluster: 'mairie', operationId: 'drill', workflowId: 'w', ended: 'done' },
    [{ ...failedCheck('physical'), evidence: 'checks/tables.json' }],
    { verdict: 'pass', by: 'qa', at: '2026-11-20T02:19:48Z', remarks: 'r' },
    { startedAt: '2026-11-20T02:00:00Z', finishedAt: '2026-11-20T02:19:48Z' },
  ),
  notTested: [{ kind: 'media', name: 'photos', reason: 'r' }],
} as const;
const wholeEntry = {
  ...entryFor('mairie', '2026-11-20T02:19:48Z'),
  policies: ['physical'],
  closedBy: 'drill',
  closedAt: '2026-11-21T02:19:48Z',
};

const matter = (check: string) => ({
  ...{ check, level: 'problem' as const, message: 'm', fix: 'f' },
  ...{ since: '2026-11-20T06:20:00Z', toldAt: '2026-11-21T06:20:00Z' },
});

/** One of each kind, in full; a kind more or less does not compile. */
const samples: { readonly [K in Kind]: Extract<RecordBody, { readonly kind: K }> } = {
  backup: { kind: 'backup', backup: wholeBackup },
  contents: { kind: 'contents', backupId: 'b', contents: wholeBackup.contents },
  'backup-failed': { kind: 'backup-failed', policy: 'dump', reason: 'r', code: 'tool-failed' },
  'backup-skipped': { kind: 'backup-skipped', policy: 'dump', reason: 'r' },
  proof: { kind: 'proof', backupId: 'b', proof: { level: 'restored', at: '2026-11-20T02:19:48Z' }, detail: 'd' },
  quarantine: { kind: 'quarantine', backupId: 'b', reason: 'r' },
  removed: { kind: 'removed', backupId: 'b', reason: 'r' },
  hold: { kind: 'hold', backupId: 'b', until: 'infinity', reason: 'r' },
  release: { kind: 'release', backupId: 'b' },
  pin: { kind: 'pin', backupIds: ['b'], walFrom: '000000010000000000000001' },
  unpin: { kind: 'unpin' },
  plan: { kind: 'plan', plan: wholePlan },
  approval: {
    kind: 'approval',
    digest,
    approval: { plan: 'dddddddddddd', by: 'dba', reason: 'r', signature: 's' },
    assurance: 'signed',
  },
  refusal: { kind: 'refusal', digest, by: 'eve', code: 'approval-refused', reason: 'r' },
  'plan-used': { kind: 'plan-used', digest },
  kept: { kind: 'kept', keptId: 'k', what: 'w', where: '/x', sizeBytes: 1, host: 'db1' },
  'kept-dropped': { kind: 'kept-dropped', keptId: 'k' },
  'key-proof': { kind: 'key-proof', recipient: 'age1x' },
  repository: { kind: 'repository', repository: 'local', identity: 'i', where: '/backup' },
  incident: { kind: 'incident', incidentId: 'i', scenario: 'instance-loss', state: 'open', text: 't' },
  journal: { kind: 'journal', workflowId: 'w', step: 's', text: 't' },
  outcome: {
    kind: 'outcome',
    workflowId: 'w',
    outcome: {
      target: { requested: 'latest', reached: '0/5A000148' },
      rtoSeconds: 1,
      waitedForPeopleSeconds: 1,
      rpoSeconds: 1,
      lastCommitAt: '2026-11-20T02:19:48Z',
      lastLsn: '0/5A000148',
      phases: [{ name: 'restore', seconds: 1 }],
      checks: [{ name: 'rows', status: 'passed', detail: 'd' }],
      report: 'r',
    },
  },
  drill: { kind: 'drill', outcome: wholeDrill },
  register: { kind: 'register', entry: wholeEntry },
  'daily-check': {
    kind: 'daily-check',
    found: { open: [matter('schedule/s')], told: ['schedule/s'], over: [matter('backup/b')] },
  },
};

/** Writes records through the real catalogue; the files it made, by their paths below the repository. */
async function written(...records: readonly NewRecord[]): Promise<Map<string, string>> {
  const root = await tempDir('golden-records');
  const catalogue = openCatalogue(openDirectory({ path: root }), 'mairie');
  for (const record of records) await catalogue.append(record);
  await catalogue.writeIncidentDocument('OPERATION', '# Incident\n');
  const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const named = files.map((entry) => join(entry.parentPath, entry.name)).toSorted();
  return new Map(
    await Promise.all(named.map(async (path) => [path.slice(root.length + 1), await readFile(path, 'utf8')] as const)),
  );
}

const parsed = (files: Map<string, string>): Record<string, unknown>[] =>
  [...files].filter(([path]) => path.endsWith('.json')).map(([, text]) => JSON.parse(text) as Record<string, unknown>);

describe('records that outlive Temporal keep their form', () => {
  it('every kind of record has the fields it has always had, and lies where it always lay', async () => {
    const files = await written(...Object.values(samples).map((body) => fact(body)));
    const records = parsed(files);
    const sections = records.map((record) => section(`kind ${String(record['kind'])}`, shapeOf([record])));
    const made = [section('files', [...files.keys()]), ...sections.toSorted()].join('\n');
    expect(records.map(({ kind }) => kind).toSorted()).toEqual(Object.keys(samples).toSorted());
    expect(made).toBe(await golden(new URL('records.golden.txt', import.meta.url), made));
  });

  it('the counts of a backup of many tables stand in records of their own before it, in the form they have always had', async () => {
    const contents = Array.from({ length: 2000 }, (_, index) => ({
      database: 'mairie',
      schema: 'metier',
      table: `table_${index}`,
      rows: index,
    }));
    const records = parsed(await written(fact({ kind: 'backup', backup: { ...wholeBackup, contents } }, { id: 'ID' })));
    const ids = records.map(({ id, kind }) => `${String(kind)} ${String(id)}`);
    const made = [
      section('ids', ids),
      section('the record of the backup', shapeOf(records.filter(({ kind }) => kind === 'backup'))),
    ].join('\n');
    expect(made).toBe(await golden(new URL('records-pieces.golden.txt', import.meta.url), made));
  });

  it('the text of a record is what it has always been, byte for byte', async () => {
    const record = fact(samples.hold, { id: 'ID' });
    const [text] = [...(await written(record)).values()].filter((one) => one.startsWith('{'));
    expect(text).toBe(await golden(new URL('records-text.golden.txt', import.meta.url), text ?? ''));
  });

  it('what a reader asks of a record, and how it says what is wrong, is what it has always been', async () => {
    const lines = Object.values(samples).flatMap((body) => {
      const whole: Record<string, unknown> = { seq: 1, prev: null, ...fact(body, { id: 'ID' }) };
      return Object.keys(whole)
        .filter((name) => name !== 'seq')
        .map((name) => {
          const read = parseRecord(JSON.stringify({ ...whole, [name]: undefined }), 1);
          return `${body.kind} without ${name}: ${'reason' in read && !('kind' in read) ? String(read.reason) : 'read'}`;
        });
    });
    const made = section('a record that lacks a field', lines.toSorted());
    expect(made).toBe(await golden(new URL('records-read.golden.txt', import.meta.url), made));
  });
});
