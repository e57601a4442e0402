import { z } from 'zod';
import { duration, path } from '../../domain/fields.js';
import { languages } from '../../domain/text/languages.js';
import { atLeastOne, filledIn, later, mapValues, named, positive } from './fields.js';
import type { KnownNames } from '../known-names.js';
import { withHint } from '../problem.js';
import { clustersSchema } from './cluster.js';
import { evidenceSchema } from './drill.js';
import { notifierSchema, repositorySchema } from './kinds.js';
import { mediaSchema } from './media.js';
import { contactsSchema, notifySchema, raciSchema } from './people.js';

const host = z
  .strictObject({
    state_dir: path()
      .default('/var/lib/reprise')
      .describe('Directory of job records, plans and the ledger, mode 0700.'),
    scratch_dir: filledIn(path()).describe(
      'Directory for restore tests and temporary files; absent: scratch in state_dir.',
    ),
    heavy_slots: positive().max(64).default(1).describe('Backups and verifications that may run at once.'),
    recovery_slots: positive()
      .max(64)
      .default(1)
      .describe('Recoveries that may run at once on this host. One that waits for a person does not count.'),
    media_slots: positive().max(64).default(1).describe('Recoveries of media that may run at once on this host.'),
    timeouts: z
      .strictObject({
        heartbeat: duration()
          .optional()
          .describe(
            'A worker without a heartbeat for this time counts as lost, and another one continues its activities; default: 10s.',
          ),
        stall: duration()
          .optional()
          .describe(
            'A step that is no job and has made no progress for this time counts as stalled: people are told, and it is not repeated by itself; default: 30m.',
          ),
        lost_workers: positive()
          .optional()
          .describe(
            'A step that has lost its worker so many times in a row is not repeated by itself: people are told, and decide; default: 5.',
          ),
        retry_for: duration()
          .optional()
          .describe(
            'A step that fails for a reason that may pass (server restarting, storage unreachable) is tried again for this time, with pauses of up to 5 minutes; default: 6h.',
          ),
        watch_heartbeat: duration()
          .optional()
          .describe(
            'The same for activities that run all the time: the watch, and the receiving of WAL. Default: six times `heartbeat`, which is 60s. On Temporal Cloud each heartbeat is paid for.',
          ),
      })
      .optional()
      .describe('Time-outs of operations that use this host.'),
  })
  .transform((host) => ({
    stateDir: host.state_dir,
    scratchDir: host.scratch_dir,
    heavySlots: host.heavy_slots,
    recoverySlots: host.recovery_slots,
    mediaSlots: host.media_slots,
    heartbeatSeconds: host.timeouts?.heartbeat,
    stallSeconds: host.timeouts?.stall,
    lostWorkers: host.timeouts?.lost_workers,
    retryForSeconds: host.timeouts?.retry_for,
    watchHeartbeatSeconds: host.timeouts?.watch_heartbeat,
  }));

const webUi = z.string({ error: 'expected a URL' }).superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) context.addIssue('expected a URL that starts with http:// or https://');
  else if (url.username || url.password) context.addIssue('a URL may not hold a user or a password');
});

const temporal = z
  .strictObject({
    web_ui: webUi.default('http://127.0.0.1:8233').describe('Address of the Web UI, for links.'),
    address: z
      .string()
      .regex(/^[^\s/@]+:\d{1,5}$/, withHint('expected host:port', 'for example 127.0.0.1:7233'))
      .optional()
      .describe("Temporal's host:port; TEMPORAL_ADDRESS and its config file as its own CLI reads them."),
    namespace: z.string().min(1).optional().describe("Temporal's namespace."),
  })
  .transform(({ web_ui: webUi, address, namespace }) => ({ webUi, address, namespace }));

/** Schema of reprise.yml, composed from the registries; `names` are those other places of the file refer to. */
export function configSchema(names: KnownNames) {
  return z
    .strictObject({
      version: z.literal(1, { error: 'expected version: 1' }).describe('Version of this format.'),
      language: z
        .enum(languages)
        .default('en')
        .describe('Language of the reports of drills. Only en is available in this version; fr gives a warning.'),
      temporal: temporal.prefault({}),
      hosts: filledIn(named('host', host).superRefine(atLeastOne('host'))).describe('Machines with a worker.'),
      repositories: filledIn(
        named('repository', repositorySchema(names)).superRefine(atLeastOne('repository')),
      ).describe('Where backups go; absent: the directory ./backups/postgres.'),
      clusters: clustersSchema(names).describe('PostgreSQL instances.'),
      contacts: contactsSchema(names)
        .prefault({})
        .describe('People and teams, with their addresses for each notifier.'),
      notifiers: named('notifier', notifierSchema()).prefault({}).describe('Ways to notify people.'),
      notify: notifySchema(names).prefault({}).describe('Notifiers by event.'),
      raci: raciSchema(names).prefault({}).describe('Who is responsible for what: they are notified first.'),
      media: mediaSchema(names)
        .prefault({})
        .describe('Objects that belong to a cluster: recovered with `reprise media`.'),
      evidence: evidenceSchema.optional().describe('How the evidence of drills is signed; absent: it is not signed.'),
      signers: later('signers', 'signatures'),
    })
    .transform(({ version: _version, signers: _signers, ...config }) => ({
      ...config,
      clusters: mapValues(config.clusters, (cluster) => ({
        ...cluster,
        approvals: mapValues(cluster.approvals, (policy) =>
          policy.matchPrincipal ? { ...policy, principals: principalsOf(policy.from, config.contacts) } : policy,
        ),
      })),
    }));
}

/** What the contacts say about whom the Temporal server knows these people as. */
function principalsOf(
  people: readonly string[],
  contacts: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): Record<string, string> {
  const known = people.map((name) => [name, contacts[name]?.['principal']] as const);
  return Object.fromEntries(known.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** reprise.yml as it is written: snake_case, durations as text. */
export type ConfigText = z.input<ReturnType<typeof configSchema>>;
