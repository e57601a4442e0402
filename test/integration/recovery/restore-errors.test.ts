import { beforeAll, describe, expect, it } from '@jest/globals';
import { queryNames } from '../../../src/domain/operation/names.js';
import type { KeptItem } from '../../../src/domain/backup/records.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, planned, reaches, refusal, statusOf } from '../../helpers/site-cli.js';
import type { Started } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;

beforeAll(async () => {
  site = await Site.create();
  await site.startWorker();
  // A function that its index was made with does otherwise now: PostgreSQL itself does not notice before the index is built again.
  await site.query(`
    CREATE FUNCTION metier.cle(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
    CREATE INDEX par_cle ON metier.demandes_rdv (metier.cle(id));
    CREATE OR REPLACE FUNCTION metier.cle(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'no key'; END $$`);
  await site.backUp('dump');
  await site.query('DELETE FROM metier.demandes_rdv WHERE id > 100');
});

const databases = async (): Promise<string[]> =>
  (
    (await site.query("SELECT datname FROM pg_database WHERE datname LIKE 'mairie%' ORDER BY 1", 'postgres')).rows as {
      datname: string;
    }[]
  ).map(({ datname }) => datname);
const rows = async (): Promise<unknown> =>
  (await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows;

/** The plan that asks for the acceptance of errors, once it waits. */
const asked = ({ workflowId, plan }: Started): Promise<Plan> =>
  site.waitFor(async () => {
    const handle = site.session.client.workflow.getHandle(workflowId);
    const waiting = await handle.query<Plan | null>(queryNames.plan);
    return waiting !== null && waiting.digest !== plan.digest && waiting;
  }, 'the errors are asked about');

describe('R8: what a restore left behind', () => {
  it('R8: the plan says that the dump was never restored', async () => {
    const { plan } = await answer<{ plan: Plan }>(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run');
    expect(plan.observed.warnings.join()).toMatch(
      /read whole and verified, and never restored.*backup verify .* --restore/,
    );
  });

  it('R8: is shown and kept; nobody accepts it in advance or under the first plan, and rejected it stays until it is dropped', async () => {
    const started = await planned(site, '--policy', 'dump');
    await approved(site, started);
    const accept = await asked(started);
    const [copy] = (await databases()).filter((name) => name.includes('_new_'));
    expect(accept.binding).toEqual({
      ...started.plan.binding,
      accepts: {
        plan: started.plan.digest,
        databases: [
          {
            database: 'mairie',
            copy,
            errors: expect.arrayContaining([expect.stringMatching(/INDEX par_cle.*no key/)]),
          },
        ],
      },
    });
    const { state, waitingFor, plan } = await statusOf(site, started.workflowId);
    expect([state, plan]).toEqual(['waiting-approval', accept.digest]);
    expect(waitingFor).toMatch(
      /acceptance of \d errors of the restore.*no key.*--plan .*accepts them.*keeps the live ones/,
    );
    // By its first plan, or by somebody whom the policy does not name, nothing is accepted.
    expect(
      await refusal(site, 'approve', started.workflowId, '--plan', started.plan.digest, '--by', 'dba', '--reason', 'x'),
    ).toMatchObject({ code: 'plan-stale' });
    expect(
      await refusal(site, 'approve', started.workflowId, '--plan', accept.digest, '--by', 'ops', '--reason', 'x'),
    ).toMatchObject({ code: 'approval-refused' });
    expect(await rows()).toEqual([{ n: 100 }]);
    await answer(site, 'reject', started.workflowId, '--by', 'dba', '--reason', 'the index is needed');
    await reaches(site, started.workflowId, 'failed');
    expect(await rows()).toEqual([{ n: 100 }]);
    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
    expect(kept).toMatchObject([{ where: copy, what: expect.stringContaining('not put in its place') }]);
    await answer(site, 'kept', 'drop', kept[0]?.id ?? '', '--yes');
    expect(await databases()).toEqual(['mairie']);
    expect(await site.leftovers()).toEqual({ processes: [], files: [], databases: [] });
  });

  it('R8: accepted by who may approve recoveries, the databases are swapped, and the report names it', async () => {
    // Not the safety backup that the recovery before has taken.
    const started = await planned(site, '--to', `backup:${(await site.backups())[0]?.id}`);
    await approved(site, started);
    const accept = await asked(started);
    await approved(site, { ...started, plan: accept });
    await reaches(site, started.workflowId, 'completed');
    expect(await rows()).toEqual([{ n: 3000 }]);
    expect((await site.query("SELECT to_regclass('metier.par_cle') AS index")).rows).toEqual([{ index: null }]);
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', started.workflowId);
    expect(markdown).toContain(`dba approved plan \`${accept.digest.slice(0, 12)}\``);
    expect(markdown).toMatch(/the restore left errors.*no key/);
    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
    expect(kept).toMatchObject([{ what: 'old database mairie' }]);
  });
});

describe('R2: a database with a live subscription', () => {
  const subscriptions = async (): Promise<unknown> =>
    (
      await site.query(
        'SELECT subname, subenabled, datname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid',
        'postgres',
      )
    ).rows;

  it('R2: is refused with the statements that detach it; by an order it stays with the old database, disabled, and goes with kept drop', async () => {
    for (const { id } of (await answer<{ kept: KeptItem[] }>(site, 'kept', 'list')).kept)
      await answer(site, 'kept', 'drop', id, '--yes');
    await site.backUp('dump');
    await site.query('DELETE FROM metier.demandes_rdv WHERE id > 100');
    // Nobody listens there: the worker tries again and again.
    await site.query(
      `CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 dbname=erp' PUBLICATION erp WITH (connect = false, slot_name = erp_feed)`,
    );
    await site.query('ALTER SUBSCRIPTION feed ENABLE');
    const command = ['recover', 'mairie', '--policy', 'dump'] as const;
    for (const how of ['--dry-run', '--detach']) {
      const { exit, code, message, hint } = await refusal(site, ...command, how);
      expect([exit, code]).toEqual([9, 'topology-refused']);
      expect(message).toContain('subscription feed of database mairie (slot erp_feed at its publisher)');
      expect(hint).toMatch(
        /--detach-replication.*ALTER SUBSCRIPTION feed DISABLE; ALTER SUBSCRIPTION feed SET \(slot_name = NONE\); DROP SUBSCRIPTION feed;.*reprise recover/s,
      );
    }
    expect(await subscriptions()).toEqual([{ subname: 'feed', subenabled: true, datname: 'mairie' }]);

    const started = await planned(site, '--policy', 'dump', '--detach-replication');
    const detaches = {
      logicalSlots: [],
      subscriptions: ['feed of database mairie (slot erp_feed at its publisher)'],
    };
    expect(started.plan.binding.detaches).toEqual(detaches);
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
    expect(await rows()).toEqual([{ n: 3000 }]);
    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
    const [old] = kept as [KeptItem];
    expect(await subscriptions()).toEqual([{ subname: 'feed', subenabled: false, datname: old.where }]);
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', started.workflowId);
    expect(markdown).toMatch(/subscription feed of database mairie .*is disabled and stays in the old database/);

    const { stdout } = await site.cli('kept', 'drop', old.id, '--dry-run');
    expect(stdout).toMatch(/drops first +subscription feed; its slot erp_feed stays at the publisher and holds WAL/);
    await answer(site, 'kept', 'drop', old.id, '--yes');
    expect(await subscriptions()).toEqual([]);
    expect(await databases()).toEqual(['mairie']);
  });
});
