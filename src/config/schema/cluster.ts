import { z } from 'zod';
import { EXPLORE, sslModes } from '../../domain/config.js';
import type { ApprovalPolicy, ClusterConfig, ExploreConfig, OldDataConfig } from '../../domain/config.js';
import { holdsNoNul, noNulRule, duration, path } from '../../domain/fields.js';
import {
  argv,
  atLeastOne,
  databaseName,
  dictionary,
  filledIn,
  mapValues,
  named,
  port,
  positive,
  present,
  reference,
  refused,
} from './fields.js';
import type { KnownNames } from '../known-names.js';
import { withHint } from '../problem.js';
import { canarySchema, drillSchema } from './drill.js';
import { checkSchema, policySchema } from './kinds.js';
import { tablesSchema } from './tables.js';

export const recoverySteps = [
  'stop-applications',
  'safety-backup',
  'restore',
  'run-checks',
  'start-applications',
] as const;

const connection = z
  .strictObject({
    host: z
      .string()
      .min(1)
      .regex(
        /^[^@,=\s\p{Cc}]+$/u,
        withHint(
          'this is no host name',
          'give a name, an address or the directory of a socket; user and port have their own keys',
        ),
      )
      .default('127.0.0.1')
      .describe('Host name, address, or directory of the Unix socket.'),
    port: port().default(5432).describe('Port.'),
    user: z.string().min(1).refine(holdsNoNul, noNulRule).describe('Role that Reprise connects as.'),
    passfile: path().optional().describe('Password file as libpq reads it (PGPASSFILE), mode 0600.'),
    sslmode: z
      .enum(sslModes, { error: `expected one of ${sslModes.join(', ')}` })
      .optional()
      .describe("libpq's sslmode; absent: TLS where a server elsewhere offers it, unchecked."),
    sslrootcert: path()
      .optional()
      .describe("Certificates of authorities that sign the server's; for `verify-ca`, `verify-full`."),
    sslcert: path().optional().describe('Certificate of the role, where the server asks for one.'),
    sslkey: path().optional().describe('Its private key, mode 0600.'),
    maintenance_database: databaseName
      .default('postgres')
      .describe('Database for statements that concern the whole cluster.'),
    password: refused(
      'a password must not be written in this file',
      'put it into a file of mode 0600 and name that under passfile:',
    ),
  })
  .superRefine(({ sslmode, sslrootcert, sslcert, sslkey }, context) => {
    const refuse = (key: string, message: string): void => context.addIssue({ code: 'custom', path: [key], message });
    if (sslmode?.startsWith('verify-') === true && sslrootcert === undefined)
      refuse('sslmode', `${sslmode} needs sslrootcert: the authority that signs the server's certificate`);
    if (sslrootcert !== undefined && !['require', 'verify-ca', 'verify-full'].includes(sslmode ?? ''))
      refuse(
        'sslrootcert',
        'without sslmode: require, verify-ca or verify-full the certificate of the server is not checked',
      );
    if ((sslcert === undefined) !== (sslkey === undefined))
      refuse(sslcert === undefined ? 'sslkey' : 'sslcert', 'sslcert and sslkey belong together');
    if (sslcert !== undefined && sslmode === undefined) refuse('sslcert', 'it is used only with sslmode');
  })
  .transform(
    ({
      host,
      port,
      user,
      passfile,
      sslmode,
      sslrootcert,
      sslcert,
      sslkey,
      maintenance_database: maintenanceDatabase,
    }) => ({
      host,
      port,
      user,
      passfile,
      tls: sslmode === undefined ? undefined : { mode: sslmode, rootCert: sslrootcert, cert: sslcert, key: sslkey },
      maintenanceDatabase,
    }),
  );

const versionRule = "expected PostgreSQL's major version, e.g. 15";
const service = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('pg_ctl') }),
    z.strictObject({
      kind: z.literal('pg_ctlcluster'),
      version: z
        .union([z.int(), z.string().regex(/^\d+(\.\d+)?$/, versionRule)], { error: versionRule })
        .transform(String),
      name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, 'expected a name as pg_lsclusters shows it'),
    }),
    z.strictObject({ kind: z.literal('hook'), start: argv(), stop: argv() }),
  ],
  {
    error: ({ input }) =>
      typeof input === 'object' && input !== null && 'kind' in input && input.kind === 'systemd'
        ? withHint(
            'service kind "systemd" is not available yet in this version',
            'use pg_ctlcluster, pg_ctl, or hook with start: and stop:',
          )
        : undefined,
  },
);

const oldData = z
  .strictObject({
    mode: z
      .enum(['aside', 'aside-on', 'overwrite-delta'])
      .default('aside')
      .describe(
        'How old data is kept. aside: renamed beside the data directory; aside-on: copied to path; overwrite-delta: not kept, it is lost. Old data is removed only by `reprise kept drop`.',
      ),
    path: path()
      .optional()
      .describe('Directory, on a file system with enough free space, to which aside-on copies old data.'),
  })
  .superRefine(({ mode, path: given }, context) => {
    if (mode === 'aside-on' && given === undefined)
      context.addIssue(
        withHint('mode aside-on needs a path', 'add path: and a directory on a file system with room for the old data'),
      );
    if (mode !== 'aside-on' && given !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['path'],
        message: withHint(`mode ${mode} takes no path`, 'remove it, or use mode: aside-on'),
      });
  })
  .transform(({ mode, path: given }): OldDataConfig => (mode === 'aside-on' ? { mode, path: given ?? '' } : { mode }));

const recoveryTarget = (names: KnownNames) =>
  z
    .strictObject({
      host: filledIn(reference('host', 'hosts', names.hosts)).describe('Host; absent: the host of the cluster.'),
      data_dir: path().describe('Data directory of the recovered server.'),
      port: port().describe('Port of the recovered server.'),
    })
    .transform(({ host, data_dir: dataDir, port }) => ({ host, dataDir, port }));

const recovery = (names: KnownNames) =>
  z
    .strictObject({
      old_data: oldData.prefault({}),
      targets: named('target', recoveryTarget(names)).prefault({}).describe('Names for --into, besides in-place.'),
      steps: filledIn(z.array(z.enum(recoverySteps)).min(1)).describe(
        'Steps of a recovery, in the order of the runbook.',
      ),
    })
    .transform(({ old_data: oldData, targets, steps }) => ({ oldData, targets, steps }));

const approval = (names: KnownNames) =>
  z
    .strictObject({
      approvers: positive().default(1).describe('Number of different people who must approve.'),
      from: z
        .array(reference('contact', 'contacts', names.contacts))
        .min(1)
        .describe('Contacts who may approve.'),
      requester_may_approve: z.boolean().default(false).describe('Whether the requester may approve.'),
      approve_within: duration().prefault('4h').describe('A plan that is not approved within this time expires.'),
      execute_within: duration()
        .prefault('1h')
        .describe('An approved plan whose execution does not begin within this time expires.'),
      signatures: z
        .enum(['none'], {
          error: ({ input }) =>
            input === 'required'
              ? withHint(
                  'signatures are not available yet: approvals are asserted in this version',
                  'use signatures: none',
                )
              : undefined,
        })
        .default('none')
        .describe('none: the name of an approver is asserted, not verified.'),
      match_principal: z
        .boolean()
        .optional()
        .describe(
          'Whether the principal that the Temporal server records for the sender must be that of the person named (`principal` of the contact, else its name). Needs a server with an authorizer.',
        ),
    })
    .transform((policy): ApprovalPolicy => ({
      approvers: policy.approvers,
      from: policy.from,
      requesterMayApprove: policy.requester_may_approve,
      approveWithinSeconds: policy.approve_within,
      executeWithinSeconds: policy.execute_within,
      signatures: policy.signatures,
      ...(policy.match_principal === undefined ? {} : { matchPrincipal: policy.match_principal }),
    }));

const approvals = (names: KnownNames) =>
  z
    .strictObject({
      recover: approval(names).optional(),
      'media-recover': approval(names).optional(),
      'media-sync': approval(names).optional(),
      'kept-drop': approval(names).optional(),
      release: approval(names).optional(),
      'storage-apply': approval(names).optional(),
      adopt: approval(names).optional(),
      'table-repair': approval(names).optional(),
    })
    .transform((policies) => present<ApprovalPolicy>(policies));

const hook = (names: KnownNames) =>
  z
    .strictObject({
      argv: argv().describe('Program and arguments, run without a shell. They must not contain a secret.'),
      host: filledIn(reference('host', 'hosts', names.hosts)).describe(
        'Has no effect: hooks run on the host of the cluster.',
      ),
      timeout: duration().prefault('60s').describe('Stopped after this time.'),
      undo: z
        .string()
        .optional()
        .describe(
          'Hook that undoes this one. It runs however the recovery ends, except if the recovery failed or was rejected after live data was changed.',
        ),
    })
    .transform(({ argv, host, timeout: timeoutSeconds, undo }) => ({ argv, host, timeoutSeconds, undo }));

const objectives = z
  .strictObject({
    rto: duration().optional().describe('RTO: maximum time that a recovery may take.'),
    rpo: duration().optional().describe('RPO: maximum time whose changes may be lost.'),
  })
  .transform(({ rto: rtoSeconds, rpo: rpoSeconds }) => ({ rtoSeconds, rpoSeconds }));

/** What the watch of a cluster is where the file gives a data directory and says nothing of it. */
export const watchPresets = { every: '10s', failures: 3 };
const watch = z
  .strictObject({
    every: duration().prefault(watchPresets.every).describe('Time between two checks of the cluster.'),
    failures: positive()
      .default(watchPresets.failures)
      .describe('This number of failed checks in a row opens an incident.'),
  })
  .transform(({ every: everySeconds, failures }) => ({ everySeconds, failures }));

const migrationQuery = z
  .strictObject({
    query: z
      .string()
      .min(1)
      .refine(holdsNoNul, noNulRule)
      .describe('Query whose rows are the name of a migration and when it was applied, the last ones first.'),
    timeout: duration().prefault('1m').describe('How long the query may take.'),
  })
  .transform(({ query, timeout: timeoutSeconds }) => ({ query, timeoutSeconds }));

const explore = z
  .strictObject({
    ttl: duration().prefault('2h').describe('How long a temporary instance stays, unless --ttl says otherwise.'),
    max: positive().default(EXPLORE.max).describe('Most temporary instances that a host has at once for people.'),
    listen: z.enum(['socket']).default('socket').describe('How they are reached: by a Unix socket of their host.'),
  })
  .transform(({ ttl: ttlSeconds, max, listen }): ExploreConfig => ({ ttlSeconds, max, listen }));

/** An entry under `clusters`: a PostgreSQL instance. */
const cluster = (names: KnownNames) =>
  z
    .strictObject({
      host: filledIn(reference('host', 'hosts', names.hosts)).describe(
        'Host of its data directory; absent: the only one that is configured.',
      ),
      connection,
      data_dir: path()
        .optional()
        .describe('Data directory; needed for physical engines, the watch and in-place recovery.'),
      restore_as: z
        .enum(['unprivileged', 'superuser'])
        .optional()
        .describe(
          'As whom dumps are restored. unprivileged (default): by a login without rights, made for it; superuser: by the role of the connection, so that code of whoever owned something in the dump runs with its rights. Every plan says it.',
        ),
      checks_role: z
        .string()
        .min(1)
        .refine(holdsNoNul, noNulRule)
        .optional()
        .describe(
          'Login of SQL checks and of objects_query, which may only read; no superuser. Absent: the role of the connection, or, where that is a superuser, a role made for the query.',
        ),
      service: service.optional().describe('How the server is started and stopped.'),
      databases: z.array(databaseName).default([]).describe('Databases that logical policies back up.'),
      catalogue: filledIn(reference('repository', 'repositories', names.repositories)).describe(
        'Repository of the catalogue of this cluster; absent: that of its first policy.',
      ),
      objectives: objectives.prefault({}),
      watch: watch.optional().describe('Checks whether the cluster answers; on by default if data_dir is given.'),
      backups: named('policy', policySchema(names)).prefault({}).describe('Policies.'),
      recovery: recovery(names).prefault({}),
      hooks: named('hook', hook(names))
        .prefault({})
        .describe('Your programs that a recovery or a repair of a table runs, by name.'),
      checks: named('check', checkSchema()).prefault({}).describe('What is checked after a recovery.'),
      approvals: approvals(names)
        .prefault({})
        .describe(
          'Who may approve, by action. Without an entry, recover and media-recover are refused; media-sync, kept-drop, release, storage-apply and adopt are confirmed at a terminal of the host.',
        ),
      import_folders: dictionary('import folder', path())
        .optional()
        .describe('Folders on the host of the cluster from which `backup adopt --from NAME` takes dumps, by name.'),
      drill: drillSchema(names)
        .optional()
        .describe('Restore drills on a staging host; absent: none, which doctor says.'),
      explore: explore
        .optional()
        .describe('Temporary instances that people look at (`reprise explore`): they change nothing of production.'),
      tables: tablesSchema(names)
        .optional()
        .describe('Tables by `schema.table`: what a repair of one does beside changing its rows.'),
      migrations: z
        .record(databaseName, migrationQuery)
        .optional()
        .describe(
          'By database: where it is written down which migrations were applied; absent: in the table of Django, Flyway, Liquibase, Knex or Prisma.',
        ),
      canary: canarySchema
        .optional()
        .describe(
          'A row that Reprise writes into a table of its own, and that a restore must bring back; absent: none.',
        ),
    })
    .transform(({ data_dir, restore_as: restoreAs, checks_role, import_folders, ...rest }) => ({
      ...rest,
      dataDir: data_dir,
      ...(restoreAs === undefined ? {} : { restoreAs }),
      ...(checks_role === undefined ? {} : { checksRole: checks_role }),
      ...(import_folders === undefined ? {} : { importFolders: import_folders }),
    }));

/** Schema of `clusters`. */
export const clustersSchema = (names: KnownNames) =>
  dictionary('cluster', cluster(names))
    .superRefine(atLeastOne('cluster'))
    .transform((clusters) =>
      mapValues(clusters, ({ backups, ...cluster }, name): ClusterConfig => ({
        name,
        ...cluster,
        policies: mapValues(backups, (policy) => ({ ...policy, cluster: name })),
      })),
    );
