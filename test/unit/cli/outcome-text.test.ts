import { expect, test } from '@jest/globals';
import { recoveryEndText } from '../../../src/cli/terminal/outcome-text.js';
import type { ClusterConfig } from '../../../src/domain/config.js';
import type { RecoverOutput } from '../../../src/workflows/api.js';

const cli = { command: (...words: readonly string[]): string => ['reprise', ...words].join(' ') };

function endOf(host: string, clusterHost: string, address: string, hasConfig = true): string {
  const output = {
    state: 'completed',
    plan: { digest: 'ab'.repeat(32), binding: { cluster: 'mairie', replaces: [] } },
    outcome: {
      target: { requested: 'latest', reached: 'latest' },
      place: { into: 'beside', host, port: 5434, dataDir: '/data/beside' },
      rtoSeconds: 1,
      rpoSeconds: null,
      waitedForPeopleSeconds: 0,
      checks: [],
      report: null,
    },
  } as unknown as RecoverOutput;
  const cluster = {
    host: clusterHost,
    connection: { host: address, port: 5433, user: 'reprise', database: 'postgres' },
  } as unknown as ClusterConfig;
  return recoveryEndText(cli, 'recover/mairie/1', output, hasConfig ? { clusters: { mairie: cluster } } : null, {});
}

test('O12: after a recovery beside, what is to be typed names address, port and role of the copy and of the live server', () => {
  const text = endOf('db1', 'db1', '/run/postgresql');
  expect(text).toContain('psql -h /run/postgresql -p 5434 -U reprise DATABASE');
  expect(text).toContain(
    'pg_dump -h /run/postgresql -p 5434 -U reprise -t SCHEMA.TABLE DATABASE | psql -h /run/postgresql -p 5433 -U reprise DATABASE',
  );
});

test('O12: on another host the copy is asked there, and the live server at its address, or where that is not known at a name to fill in', () => {
  const reachable = endOf('staging1', 'db1', 'db1.example.org');
  expect(reachable).toContain('psql -h 127.0.0.1 -p 5434 -U reprise DATABASE');
  expect(reachable).toContain('| psql -h db1.example.org -p 5433 -U reprise DATABASE');
  expect(endOf('staging1', 'db1', '127.0.0.1')).toContain('| psql -h ADDRESS_OF_DB1 -p 5433 -U reprise DATABASE');
  expect(endOf('db1', 'db1', '127.0.0.1', false)).toContain('| psql -h HOST -p PORT -U USER DATABASE');
});
