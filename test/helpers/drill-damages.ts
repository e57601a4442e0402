import { execFile } from 'node:child_process';
import { mkdir, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadConfig } from '../../src/config/load.js';
import type { Backup, TableCount } from '../../src/domain/backup/backup.js';
import { writeCanary } from '../../src/postgres/content/canary.js';
import { noteCanary } from '../../src/records/canary-log.js';
import { openDirectory } from '../../src/storage/directory/directory-storage.js';
import { hostDependencies } from '../../src/worker/dependencies.js';
import { Drills } from './drills.js';
import { freePorts } from './ports.js';
import { giveToPostgres } from './postgres-user.js';
import { Site } from './site.js';
import { editConfig } from './site-cli.js';

/** What a drill found: the step that failed, or the checks that did; empty: it passed. */
export type DrillFinding = { readonly found: string; readonly says: string; readonly hint: string | undefined };

type StoredBackup = Omit<Backup, 'proven' | 'heldUntil' | 'status'>;

/** Signs the evidence of the site's drills; its public half is beside it. */
export const evidenceKey = ({ root }: Pick<Site, 'root'>): string => join(root, 'evidence_key');

/** A site whose backups are damaged one after the other, and drilled by the real steps. */
export class DamageGround {
  private count = 0;

  private constructor(readonly site: Site) {}

  static async create(): Promise<DamageGround> {
    const [port] = (await freePorts(1)) as [number];
    const policiesYaml = `      base: { engine: logical, repository: local, proof: none, options: { content_hashes: true } }\n`;
    const site = await Site.create({ proof: 'none', policiesYaml });
    const home = join(site.root, 'staging-host');
    await mkdir(home, { mode: 0o700 });
    await giveToPostgres(home);
    await site.configure({
      // A drill of each damage: what another dump finds has a test of its own.
      clusterYaml: `      dump-again: { type: dump-again, enabled: false }
    canary: { database: mairie, every: 5m }
    drill: { host: db1, allow_same_host: true, data_dir: ${join(home, 'staging')}, port: ${port} }\n`,
      policiesYaml,
    });
    const key = evidenceKey(site);
    await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    await editConfig(site, (text) => text.replace('contacts:\n', `evidence: { signing_key: ${key} }\n$&`));
    await site.startWorker();
    await site.query('CREATE EXTENSION amcheck');
    await site.query('CREATE TABLE metier.agents (id bigserial PRIMARY KEY, nom text)');
    await site.query(`INSERT INTO metier.agents (nom) SELECT 'agent ' || n FROM generate_series(1, 50) n`);
    await site.query(OBJECTS);
    return new DamageGround(site);
  }

  /** Writes a canary as the watch does. */
  async canary(): Promise<void> {
    const { socketDir: host, port } = this.site.places;
    const connection = { host, port, user: 'postgres', maintenanceDatabase: 'postgres' };
    const row = await writeCanary(connection, 'mairie');
    if (row !== null) await noteCanary(openDirectory({ path: this.site.places.backupsDir }), 'mairie', row);
  }

  /** A backup; with `as`, it is recorded with the content of that one: whoever damaged it has rewritten its manifest. */
  async backUp(policy: 'base' | 'physical', as?: StoredBackup): Promise<StoredBackup> {
    const { backups } = await this.site.backUp(policy, policy === 'physical' ? 'full' : 'auto');
    const id = backups[0]?.id ?? '';
    if (as !== undefined)
      await this.rewrite(id, (made) => ({ ...made, contents: as.contents as TableCount[], objects: as.objects }));
    return this.recorded(id);
  }

  async rewrite(id: string, change: (made: StoredBackup) => StoredBackup): Promise<void> {
    const { path, record } = await this.find(id);
    await writeFile(path, JSON.stringify({ ...record, backup: change(record.backup) }));
  }

  private async recorded(id: string): Promise<StoredBackup> {
    return (await this.find(id)).record.backup;
  }

  private async find(id: string): Promise<{ path: string; record: { backup: StoredBackup } }> {
    const folder = join(this.site.places.backupsDir, 'mairie', 'records');
    for (const name of (await readdir(folder)).sort().reverse()) {
      const path = join(folder, name);
      const record = JSON.parse(await readFile(path, 'utf8')) as { kind: string; backup: StoredBackup };
      if (record.kind === 'backup' && record.backup.id === id) return { path, record };
    }
    throw new Error(`no record of ${id}`);
  }

  /** Files of the repository whose path matches. */
  async files(root: string, pattern: RegExp): Promise<readonly string[]> {
    const found = await readdir(root, { recursive: true });
    return found.filter((path) => pattern.test(path)).map((path) => join(root, path));
  }

  /** A whole drill but for its workflow; the records are read anew. */
  async drill(policy: 'base' | 'physical'): Promise<readonly DrillFinding[]> {
    const drills = new Drills(hostDependencies(await loadConfig({ file: this.site.places.configFile }), 'db1'));
    const operationId = `op-damage-${++this.count}`;
    const failed = (found: string) => (error: { message: string; details?: [{ hint?: string }] }) => ({
      found,
      says: error.message,
      hint: error.details?.[0]?.hint,
    });
    const plan = await drills.plan(operationId, { engines: [policy] }).catch(failed('planDrill'));
    if ('found' in plan) return [plan];
    const [unrestorable] = plan.unrestorable ?? [];
    if (unrestorable !== undefined) {
      await drills.run('closeStaging', operationId);
      return [{ found: 'planDrill', says: unrestorable.reason, hint: unrestorable.hint ?? undefined }];
    }
    const step = { plan: plan.digest, restore: 0 };
    try {
      for (const name of ['wipeStaging', 'restoreStaging', 'startStaging'] as const) {
        const done = await drills.run(name, operationId, step).then(() => null, failed(name));
        if (done !== null) return [done];
      }
      const checks = await drills.run('checkStaging', operationId, step);
      return checks
        .filter(({ status }) => status === 'failed')
        .map(({ name, detail, hint }) => ({ found: name, says: detail, hint }));
    } finally {
      await drills.run('closeStaging', operationId);
    }
  }
}

/** Beside tables; what is unlogged comes back from a physical backup without its rows, and that is no damage. */
const OBJECTS = `
  CREATE ROLE archiviste; GRANT SELECT ON metier.agents TO archiviste; CREATE EXTENSION citext; CREATE SEQUENCE metier.numero;
  SELECT setval('metier.numero', 4200), lo_from_bytea(4711, 'un plan'), lo_from_bytea(4712, 'un autre');
  CREATE FUNCTION metier.taux() RETURNS int LANGUAGE sql AS 'SELECT 20'; CREATE VIEW metier.noms AS SELECT nom FROM metier.agents;
  CREATE UNLOGGED TABLE metier.brouillon AS SELECT n FROM generate_series(1, 100) n`;

export interface DrillDamage {
  readonly name: string;
  readonly policy: 'base' | 'physical';
  /** Damages what the next drill restores; returns what takes it back. */
  readonly make: (ground: DamageGround) => Promise<() => Promise<unknown>>;
  /** The step or the check that finds it. */
  readonly found: string;
  readonly says: RegExp;
}

const nothing = async (): Promise<void> => undefined;

/** The cluster is changed, backed up, and changed back: the backup says that it holds what was there before. */
const rewritten =
  (policy: 'base' | 'physical', damage: string, mend: string) =>
  async (ground: DamageGround): Promise<() => Promise<unknown>> => {
    await ground.canary();
    const good = await ground.backUp(policy);
    await ground.site.query(damage);
    await ground.backUp(policy, good);
    return () => ground.site.query(mend);
  };

/** A file of the backup is changed. */
const ofFiles =
  (policy: 'base' | 'physical', change: (ground: DamageGround) => Promise<void>) =>
  async (ground: DamageGround): Promise<() => Promise<unknown>> => {
    await ground.canary();
    await ground.backUp(policy);
    await change(ground);
    return nothing;
  };

async function flip(path: string): Promise<void> {
  const file = await open(path, 'r+');
  const { size } = await file.stat();
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, Math.floor(size / 2));
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, Math.floor(size / 2));
  await file.close();
}

const newest = (paths: readonly string[]): string => [...paths].sort().at(-1) ?? '';
const dumpFile = async (ground: DamageGround): Promise<string> =>
  newest(await ground.files(join(ground.site.places.backupsDir, 'mairie', 'base'), /\.dump$/));
const backrest = (ground: DamageGround): string => join(ground.site.root, 'pgb', 'repo');

/** What is damaged of the newest backups. */
export const damageNewest = {
  dump: async (ground: DamageGround): Promise<void> => flip(await dumpFile(ground)),
  wal: async (ground: DamageGround): Promise<void> => {
    const segments = await ground.files(join(backrest(ground), 'archive'), /\/[0-9A-F]{24}-[0-9a-f]{40}\.gz$/);
    await rm(newest(segments));
  },
};

/** Of `npm test`; the others are tried by `npm run test:long`. */
export const quickDamages: readonly DrillDamage[] = [
  {
    name: 'a dump with a flipped bit',
    policy: 'base',
    make: ofFiles('base', damageNewest.dump),
    found: 'restoreStaging',
    says: /SHA-256|damaged|is not what/,
  },
  {
    name: 'a dump of a table that was emptied',
    policy: 'base',
    make: rewritten(
      'base',
      'CREATE TABLE metier.away AS SELECT * FROM metier.agents; DELETE FROM metier.agents',
      'INSERT INTO metier.agents SELECT * FROM metier.away; DROP TABLE metier.away',
    ),
    found: 'row-counts',
    says: /metier\.agents has 0 rows, 50 were recorded/,
  },
  {
    name: 'a physical backup without a WAL segment',
    policy: 'physical',
    make: ofFiles('physical', damageNewest.wal),
    found: 'planDrill',
    says: /WAL|segment/,
  },
  {
    name: 'a physical backup with a stale index',
    policy: 'physical',
    make: rewritten(
      'physical',
      `UPDATE pg_index SET indisready = false WHERE indexrelid = 'metier.agents_pkey'::regclass;
       INSERT INTO metier.agents (id, nom) VALUES (9000, 'x');
       UPDATE pg_index SET indisready = true WHERE indexrelid = 'metier.agents_pkey'::regclass; SELECT setval('metier.agents_id_seq', 9000)`,
      'REINDEX TABLE metier.agents; DELETE FROM metier.agents WHERE id = 9000',
    ),
    found: 'amcheck',
    says: /metier\.agents_pkey: heap tuple .* lacks matching index tuple/,
  },
  {
    name: 'a dump of a view and a function that were changed',
    policy: 'base',
    make: rewritten(
      'base',
      `CREATE OR REPLACE VIEW metier.noms AS SELECT upper(nom) AS nom FROM metier.agents;
       CREATE OR REPLACE FUNCTION metier.taux() RETURNS int LANGUAGE sql AS 'SELECT 10'`,
      `CREATE OR REPLACE VIEW metier.noms AS SELECT nom FROM metier.agents;
       CREATE OR REPLACE FUNCTION metier.taux() RETURNS int LANGUAGE sql AS 'SELECT 20'`,
    ),
    found: 'objects',
    says: /view metier\.noms has another definition.*function metier\.taux\(\) has another definition/,
  },
  {
    name: 'a physical backup with an index that no query may use',
    policy: 'physical',
    make: rewritten(
      'physical',
      `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'metier.agents_pkey'::regclass`,
      `UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'metier.agents_pkey'::regclass`,
    ),
    found: 'objects',
    says: /index metier\.agents_pkey of table metier\.agents is invalid/,
  },
];

export const longDamages: readonly DrillDamage[] = [
  {
    name: 'a dump without a role that had rights',
    policy: 'base',
    make: rewritten(
      'base',
      'DROP OWNED BY archiviste; DROP ROLE archiviste',
      'CREATE ROLE archiviste; GRANT SELECT ON metier.agents TO archiviste',
    ),
    found: 'objects',
    says: /role archiviste is missing/,
  },
  {
    name: 'a dump of a table that belongs to somebody else',
    policy: 'base',
    make: rewritten(
      'base',
      'ALTER TABLE metier.agents OWNER TO archiviste',
      'ALTER TABLE metier.agents OWNER TO postgres; GRANT SELECT ON metier.agents TO archiviste',
    ),
    found: 'objects',
    says: /table metier\.agents has another definition, owner or rights than recorded/,
  },
  {
    name: 'a dump without an extension',
    policy: 'base',
    make: rewritten('base', 'DROP EXTENSION citext', 'CREATE EXTENSION citext'),
    found: 'objects',
    says: /extension citext is missing/,
  },
  {
    name: 'a dump without an index, which was disabled',
    policy: 'base',
    make: rewritten(
      'base',
      `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'metier.agents_pkey'::regclass`,
      `UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'metier.agents_pkey'::regclass`,
    ),
    found: 'objects',
    says: /index metier\.agents_pkey is missing/,
  },
  {
    name: 'a dump of a sequence that lost its value',
    policy: 'base',
    make: rewritten('base', `SELECT setval('metier.numero', 1)`, `SELECT setval('metier.numero', 4200)`),
    found: 'objects',
    says: /sequence metier\.numero is at 1, and was at 4200/,
  },
  {
    name: 'a dump without a large object',
    policy: 'base',
    make: rewritten('base', 'SELECT lo_unlink(4711)', `SELECT lo_from_bytea(4711, 'un plan')`),
    found: 'row-counts',
    says: /pg_catalog\.pg_largeobject has 1 rows, 2 were recorded/,
  },
  {
    name: 'a dump of a large object that was emptied',
    policy: 'base',
    make: rewritten('base', 'SELECT lo_truncate(lo_open(4711, 131072), 0)', `SELECT lo_put(4711, 0, 'un plan')`),
    found: 'content-hash',
    says: /pg_catalog\.pg_largeobject/,
  },
  {
    name: 'a physical backup without most large objects',
    policy: 'physical',
    make: rewritten(
      'physical',
      'SELECT lo_unlink(4711), lo_unlink(4712)',
      `SELECT lo_from_bytea(4711, 'un plan'), lo_from_bytea(4712, 'un autre')`,
    ),
    found: 'row-counts',
    says: /pg_catalog\.pg_largeobject is not there \(2 rows were recorded\)/,
  },
  {
    name: 'a physical backup without an extension',
    policy: 'physical',
    make: rewritten('physical', 'DROP EXTENSION citext', 'CREATE EXTENSION citext'),
    found: 'objects',
    says: /extension citext is missing/,
  },
  {
    name: 'a physical backup without the role that owns a table',
    policy: 'physical',
    make: rewritten(
      'physical',
      `CREATE ROLE perdu; CREATE TABLE metier.perdue (n int); ALTER TABLE metier.perdue OWNER TO perdu;
       DELETE FROM pg_authid WHERE rolname = 'perdu'`,
      'DROP TABLE metier.perdue',
    ),
    found: 'objects',
    says: /the role with OID \d+ owns objects or has rights on some, and is missing/,
  },
  {
    name: 'a physical backup without a tablespace',
    policy: 'physical',
    make: rewritten(
      'physical',
      `SET allow_in_place_tablespaces = on; CREATE TABLESPACE rapide LOCATION ''; CREATE TABLE metier.rapide (n int) TABLESPACE rapide;
       DELETE FROM pg_tablespace WHERE spcname = 'rapide'`,
      `DELETE FROM pg_class WHERE relname = 'rapide'`,
    ),
    found: 'objects',
    says: /the tablespace with OID \d+ has \d+ relations, and is missing/,
  },
  {
    name: 'a physical backup of a database whose DROP DATABASE was interrupted',
    policy: 'physical',
    make: async (ground) => {
      await ground.site.query('CREATE DATABASE ancienne');
      return rewritten(
        'physical',
        `UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'ancienne'`,
        'DROP DATABASE ancienne',
      )(ground);
    },
    found: 'row-counts',
    says: /database "ancienne" is invalid/,
  },
  {
    name: 'a truncated dump',
    policy: 'base',
    make: ofFiles('base', async (ground) => truncate(await dumpFile(ground), 3000)),
    found: 'planDrill',
    says: /base|dump|backup/,
  },
  {
    name: 'a dump with other rows of the same number',
    policy: 'base',
    make: rewritten(
      'base',
      `UPDATE metier.agents SET nom = 'autre' WHERE id = 7`,
      `UPDATE metier.agents SET nom = 'agent 7' WHERE id = 7`,
    ),
    found: 'content-hash',
    says: /metier\.agents/,
  },
  {
    name: 'a dump without a table',
    policy: 'base',
    make: rewritten('base', 'ALTER TABLE metier.agents RENAME TO others', 'ALTER TABLE metier.others RENAME TO agents'),
    found: 'row-counts',
    says: /metier\.agents is not there/,
  },
  {
    name: 'a dump of a sequence that is behind',
    policy: 'base',
    make: rewritten('base', `SELECT setval('metier.agents_id_seq', 3)`, `SELECT setval('metier.agents_id_seq', 9000)`),
    found: 'sequences',
    says: /metier\.agents\.id/,
  },
  {
    name: 'a dump without the newest canary',
    policy: 'base',
    make: rewritten('base', 'DELETE FROM reprise.canary', 'SELECT 1'),
    found: 'canary',
    says: /did not come back/,
  },
  {
    name: 'a dump with a changed canary',
    policy: 'base',
    make: rewritten('base', `UPDATE reprise.canary SET token = 'x'`, 'DELETE FROM reprise.canary'),
    found: 'canary',
    says: /came back changed/,
  },
  {
    name: 'an older dump in the place of a newer one',
    policy: 'base',
    make: async (ground) => {
      const [older, count] = [await ground.backUp('base'), await ground.site.commit(5)];
      await ground.rewrite(older.id, (made) => ({
        ...made,
        contents: (made.contents ?? []).map((one) => (one.table === 'demandes_rdv' ? { ...one, rows: count } : one)),
      }));
      return nothing;
    },
    found: 'row-counts',
    says: /metier\.demandes_rdv has/,
  },
  {
    name: 'a dump in another encoding than recorded',
    policy: 'base',
    make: async (ground) => {
      const { id } = await ground.backUp('base');
      await ground.rewrite(id, (made) => ({ ...made, server: { ...made.server!, encoding: 'SQL_ASCII' } }));
      return nothing;
    },
    found: 'target-reached',
    says: /has the encoding UTF8, and was dumped from SQL_ASCII/,
  },
  {
    name: 'a physical backup without a file of a relation',
    policy: 'physical',
    make: ofFiles('physical', async (ground) => {
      const files = await ground.files(
        join(backrest(ground), 'backup'),
        /pg_data\/base\/\d+\/\d+(\.gz)?$|bundle\/\d+$/,
      );
      await rm(newest(files));
    }),
    found: 'restoreStaging',
    says: /pgbackrest|missing|unable/i,
  },
  {
    name: 'a physical backup with a flipped bit',
    policy: 'physical',
    make: ofFiles('physical', async (ground) => {
      const files = await ground.files(
        join(backrest(ground), 'backup'),
        /pg_data\/base\/\d+\/\d+(\.gz)?$|bundle\/\d+$/,
      );
      await flip(newest(files));
    }),
    found: 'restoreStaging',
    says: /pgbackrest|checksum|error/i,
  },
  {
    name: 'a physical backup of a table that was emptied',
    policy: 'physical',
    make: rewritten(
      'physical',
      'CREATE TABLE metier.away AS SELECT * FROM metier.agents; DELETE FROM metier.agents',
      'INSERT INTO metier.agents SELECT * FROM metier.away; DROP TABLE metier.away',
    ),
    found: 'row-counts',
    says: /metier\.agents has 0 rows/,
  },
  {
    name: 'a physical backup without the canary',
    policy: 'physical',
    make: rewritten('physical', 'DROP TABLE reprise.canary', 'SELECT 1'),
    found: 'canary',
    says: /the table reprise\.canary is missing/,
  },
];
