import { join } from 'node:path';
import { stringify } from 'yaml';
import { DATABASE } from './data/schema.js';
import type { Scratch } from './scratch.js';

const HOST = 'demo';
export const CLUSTER = 'mairie';
export const LOGICAL_POLICY = 'nightly-dump';
export const PHYSICAL_POLICY = 'physical';
/** The table that a batch damages. */
export const APPOINTMENTS = 'metier.demandes_rdv';
/** Who answers `confirm-restore` in the demo. */
export const APPROVER = 'demo';

/** Private SSH key that the evidence of drills is signed with; its public half is beside it. */
export const evidenceKey = ({ root }: Scratch): string => join(root, 'evidence_key');

/** The repository of the records, in which the evidence of drills is archived too. */
export const recordsDirectory = ({ root }: Scratch): string => join(root, 'backups');

/** What makes the drills of the demo: on the same host, in a directory of their own, with both engines in turn. */
function drillSettings(scratch: Scratch) {
  return {
    host: HOST,
    allow_same_host: true,
    data_dir: scratch.staging.dataDir,
    port: scratch.staging.port,
    engines: [LOGICAL_POLICY, PHYSICAL_POLICY],
    at: 'latest',
    sign_off: { by: [APPROVER], within: '4h' },
  };
}

/** reprise.yml of the demo: what an operator would write for one host with one cluster. */
export function repriseYml(scratch: Scratch, { drills = false, tables = false } = {}): string {
  const { connection, temporal } = scratch;
  return stringify({
    version: 1,
    language: 'en',
    temporal: { web_ui: `http://127.0.0.1:${temporal.uiPort}`, address: `127.0.0.1:${temporal.port}` },
    hosts: { [HOST]: { state_dir: scratch.stateDir, scratch_dir: join(scratch.root, 'restores') } },
    repositories: {
      local: { type: 'directory', path: recordsDirectory(scratch), host: HOST },
      physical: { type: 'directory', path: join(scratch.root, 'pgbackrest'), host: HOST },
    },
    clusters: {
      [CLUSTER]: {
        host: HOST,
        connection: {
          host: connection.host,
          port: connection.port,
          user: connection.user,
          passfile: connection.passfile,
        },
        data_dir: scratch.dataDir,
        service: { kind: 'pg_ctl' },
        databases: [DATABASE],
        catalogue: 'local',
        objectives: { rto: '15m', rpo: '5m' },
        watch: { every: '1s', failures: 3 },
        backups: {
          [LOGICAL_POLICY]: {
            engine: 'logical',
            repository: 'local',
            schedule: { cron: '30 1 * * *' },
            retention: { days: 14 },
            proof: 'verify',
            ...(drills ? { options: { content_hashes: true } } : {}),
          },
          [PHYSICAL_POLICY]: {
            engine: 'pgbackrest',
            repository: 'physical',
            options: { stanza: scratch.stanza, config: scratch.pgbackrestConf },
            schedule: { cron: '15 2 * * *' },
            retention: { days: 30 },
            proof: 'verify',
          },
        },
        checks: {
          communes: {
            type: 'sql',
            database: DATABASE,
            query: 'SELECT count(*) FROM referentiel.communes',
            compare: 'recorded',
          },
          appointments: {
            type: 'sql',
            database: DATABASE,
            query: 'SELECT count(*) FROM metier.demandes_rdv',
            min: 190_000,
          },
        },
        approvals: {
          recover: {
            approvers: 1,
            from: [APPROVER],
            requester_may_approve: false,
            approve_within: '4h',
            execute_within: '1h',
          },
          'table-repair': { approvers: 1, from: [APPROVER] },
        },
        ...(tables ? { tables: { [APPOINTMENTS]: { database: DATABASE, freeze: { by: 'trigger' } } } } : {}),
        ...(drills ? { drill: drillSettings(scratch) } : {}),
      },
    },
    contacts: { [APPROVER]: { name: 'Whoever runs the demo' } },
    ...(drills ? { evidence: { signing_key: evidenceKey(scratch) } } : {}),
  });
}

/** pgbackrest.conf of the demo: repository, logs, locks and spool all below its own directory. */
export function pgbackrestConf(scratch: Scratch): string {
  const below = (name: string) => join(scratch.root, name);
  return `[global]
repo1-path=${below('pgbackrest')}
log-path=${below('pgbackrest-log')}
lock-path=${below('pgbackrest-lock')}
spool-path=${below('pgbackrest-spool')}
log-level-file=detail
compress-type=lz4
start-fast=y
process-max=2

[${scratch.stanza}]
pg1-path=${scratch.dataDir}
pg1-port=${scratch.connection.port}
pg1-socket-path=${scratch.socketDir}
pg1-user=${scratch.connection.user}
`;
}
