import { afterAll, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { sweepCluster } from '../../../src/activities/sweep.js';
import { withQueryLogin } from '../../../src/postgres/connection/query-login.js';
import { identify } from '../../../src/process/exec/process-identity.js';
import { runQuery, sharedServer } from '../../helpers/postgres.js';
import { gateSite } from '../../unit/activities/gate-site.js';

const left = `reprise_query_${process.pid.toString(16).padStart(16, '0')}`;
const connection = () => {
  const { host, port, user } = sharedServer();
  return { host, port, user, maintenanceDatabase: 'postgres' };
};

async function roles(): Promise<ReadonlyMap<string, string>> {
  const { rows } = await runQuery(
    sharedServer(),
    'postgres',
    `SELECT rolname AS role, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname LIKE 'reprise\\_query\\_%'`,
  );
  return new Map((rows as { role: string; comment: string }[]).map(({ role, comment }) => [role, comment]));
}

afterAll(async () => {
  await runQuery(sharedServer(), 'postgres', `DROP ROLE IF EXISTS ${left}`);
});

it('L11: the role of a configured query whose worker was killed is dropped by the sweep, and that of a query that runs is not', async () => {
  const { session } = await gateSite();
  Object.assign(session.cluster, { connection: connection() });
  const child = execFile('sleep', ['600']);
  await once(child, 'spawn');
  const { pid, startTime } = (await identify(child.pid ?? 0)) ?? { pid: 0, startTime: 0 };
  await withQueryLogin(connection(), async ({ connection: { user } }) => {
    const comment = (await roles()).get(user) ?? '';
    expect(comment).toContain(` ${process.pid} `);
    const ofChild = comment.replace(/ \d+ \d+\]$/, ` ${pid} ${startTime}]`);
    await runQuery(
      sharedServer(),
      'postgres',
      `CREATE ROLE ${left} LOGIN VALID UNTIL '${new Date(Date.now() + 7_200_000).toISOString()}'; COMMENT ON ROLE ${left} IS '${ofChild}'`,
    );
    const sweep = () => sweepCluster(session, async () => true);
    await sweep();
    expect([...(await roles()).keys()]).toEqual(expect.arrayContaining([user, left]));
    child.kill('SIGKILL');
    await once(child, 'exit');
    await sweep();
    expect((await roles()).has(user)).toBe(true);
    expect((await roles()).has(left)).toBe(false);
    // Of another machine, which may be one that runs: only what has had no session for long was left.
    const elsewhere = comment.replace(/query \S+/, 'query 00000000-0000-0000-0000-000000000000/1');
    const made = (until: number): Promise<unknown> =>
      runQuery(
        sharedServer(),
        'postgres',
        `DROP ROLE IF EXISTS ${left}; CREATE ROLE ${left} LOGIN VALID UNTIL '${new Date(Date.now() + until).toISOString()}'; COMMENT ON ROLE ${left} IS '${elsewhere}'`,
      );
    await made(7_200_000);
    await sweep();
    expect((await roles()).has(left)).toBe(true);
    await made(6_000_000);
    await sweep();
    expect((await roles()).has(left)).toBe(false);
  });
  expect([...(await roles()).keys()].filter((role) => role === left)).toEqual([]);
});
