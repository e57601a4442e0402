import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { repriseHere } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';

let file = '';
beforeAll(async () => {
  file = join(await tempDir('notify'), 'reprise.yml');
  await writeFile(
    file,
    `version: 1
clusters: { mairie: { connection: { user: reprise }, databases: [mairie], backups: { dump: { engine: logical } } } }
notifiers:
  mail: { type: mail, host: smtp.example.org, from: reprise@example.org, user: u, password: { env: NOT_SET } }
  chat: { type: webhook, url: "https://chat.example.org/", secret: { env: NOT_SET } }
contacts: { ops: { mail: [ops@example.org, night@example.org] }, dba: { phone: "1" } }
`,
  );
});
const run = (...argv: string[]) => repriseHere(['notify', 'test', ...argv, '--config', file]);

describe('reprise notify test', () => {
  it('--dry-run shows what would be sent to whom, without Temporal and without a secret', async () => {
    const { code, stdout, stderr } = await run('ops', '--dry-run', '--by', 'dba');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(
      /^would send:\nNOTIFIER {2}TYPE {5}TO\nmail {6}mail {5}ops@example\.org, night@example\.org\nchat {6}webhook {2}its one address\n\n\[reprise\] test for ops\n/,
    );
    const json = await run('ops', '--dry-run', '--notifier', 'mail', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      schemaVersion: 1,
      dryRun: true,
      contact: 'ops',
      deliveries: [{ notifier: 'mail', addresses: ['ops@example.org', 'night@example.org'] }],
      subject: '[reprise] test for ops',
    });
  });

  it.each([
    [['opps'], 'there is no contact "opps"', 'did you mean "ops"?'],
    [['ops', '--notifier', 'mial'], 'there is no notifier "mial"', 'did you mean "mail"?'],
    [['dba', '--notifier', 'mail'], 'dba has no address for mail', 'add it: contacts: { dba: { mail: [ADDRESS] } }'],
  ])('%j is not found (exit 6), with the next step', async (argv, message, hint) => {
    const { code, stdout, stderr } = await run(...argv, '--json');
    expect([code, stdout]).toEqual([6, '']);
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'not-found', message: expect.stringContaining(message), hint: expect.stringContaining(hint) },
    });
  });
});
