import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { tempDir } from '../../helpers/temp.js';

/** Where in reprise.yml the lines of an advice go; each is filled in as a person would. */
interface Place {
  readonly top?: string;
  readonly cluster?: string;
  readonly policy?: string;
  readonly engine?: string;
  readonly options?: string;
  readonly repositories?: string;
  readonly policies?: string;
}

const mail = (more: string): Place => ({
  top: `notifiers: { mail: { type: mail, host: smtp.example.org, from: a@example.org, ${more} } }`,
});
const approval = (more: string): Place => ({
  cluster: `approvals: { recover: { approvers: 1, from: [dba], ${more} } }`,
  top: 'contacts: { dba: { mail: [dba@example.org], principal: dba } }',
});
const s3 = (more: string): Place => ({
  repositories: `offsite: { type: s3, bucket: asso-backups, region: eu-west-3, ${more} }`,
});
const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';

/** Every key that a hint or a fix tells people to write, as the source has it, and the configuration that follows it. */
const ADVICE: Readonly<Record<string, Place>> = {
  'enabled: true': { policy: 'enabled: true' },
  'enabled: false': { policy: 'enabled: false' },
  'proof: verify': { policy: 'proof: verify' },
  'proof: none': { policy: 'proof: none' },
  'retention: {': { policy: 'retention: { days: 14 }' },
  'encryption: {': { policy: `encryption: { recipients: [${RECIPIENT}], identity: { file: /etc/reprise/key } }` },
  'encryption.identity: { file: PATH }': {
    policy: `encryption: { recipients: [${RECIPIENT}], identity: { file: /etc/reprise/key } }`,
  },
  'calendar: { day_of_week: SUNDAY, day_of_month: "1-7", hour: 2 }': {
    policy: 'schedule: { calendar: { day_of_week: SUNDAY, day_of_month: "1-7", hour: 2 } }',
  },
  'engine: pgbackrest': { engine: 'pgbackrest', options: '{ stanza: main }' },
  'options: { page_errors: accept }': { engine: 'basebackup', options: '{ page_errors: accept }' },
  'options: { wal: receivewal }': { engine: 'basebackup', options: '{ wal: receivewal }' },
  'restore_as: superuser': { cluster: 'restore_as: superuser' },
  'checks_role: ': { cluster: 'checks_role: reprise_checks' },
  'data_dir: ': {},
  'service: ': { cluster: 'service: { kind: pg_ctl }' },
  'watch: ': { cluster: 'watch: { every: 10s, failures: 3 }' },
  'objectives: { rpo: ... }': { cluster: 'objectives: { rpo: 25h }' },
  'objectives: { rto: ... }': { cluster: 'objectives: { rto: 4h }' },
  'old_data: { mode: aside-on, path: ... }': { cluster: 'recovery: { old_data: { mode: aside-on, path: /mnt/old } }' },
  'mode: aside-on': { cluster: 'recovery: { old_data: { mode: aside-on, path: /mnt/old } }' },
  'old_data: { mode: aside }': { cluster: 'recovery: { old_data: { mode: aside } }' },
  'hooks: { ': {
    cluster:
      'hooks: { stop-applications: { argv: [sudo, systemctl, stop, rdv.service], undo: start-applications }, start-applications: { argv: [sudo, systemctl, start, rdv.service] } }',
  },
  'options: { content_hashes: true }': { options: '{ content_hashes: true }' },
  'allow_same_host: true': {
    cluster: 'drill: { allow_same_host: true, data_dir: /srv/staging, port: 5499 }',
  },
  'canary: { database: NAME }': { cluster: 'canary: { database: mairie }' },
  'watch: { every: 10s }': { cluster: 'watch: { every: 10s }' },
  'compare: recorded': {
    cluster: 'checks: { n: { type: sql, database: mairie, query: SELECT 1, compare: recorded } }',
  },
  'approvals: { recover': approval('approve_within: 4h'),
  'match_principal: true': approval('match_principal: true'),
  'requester_may_approve: true': approval('requester_may_approve: true'),
  'signatures: none': approval('signatures: none'),
  'import_folders: { NAME: PATH }': { cluster: 'import_folders: { old: /srv/dumps }' },
  'backups: { nightly-dump: { engine: logical': { policies: 'nightly-dump: { engine: logical }' },
  'repositories: { offsite: {': { repositories: 'offsite: { type: directory, path: /mnt/offsite/reprise }' },
  'contacts: { NAME: { ${': {
    ...mail('port: 25'),
    top: `${mail('port: 25').top}\ncontacts: { NAME: { mail: [a@example.org] } }`,
  },
  'contacts: { dba: {': { top: 'contacts: { dba: { mail: [dba@example.org] } }' },
  'contacts: { ${contact}': { top: 'contacts: { ops: { mail: [ops@example.org] } }' },
  'notifiers: { ${kind}: { type: webhook, ... } }': {
    top: 'notifiers: { ops: { type: webhook, url: { file: /etc/reprise/url }, secret: { file: /etc/reprise/secret } } }',
  },
  'allow_private: true': {
    top: 'notifiers: { ops: { type: webhook, url: { file: /etc/reprise/url }, secret: { file: /etc/reprise/secret }, allow_private: true } }',
  },
  'password_in_clear: true': mail('port: 25, tls: none, user: a, password: { env: P }, password_in_clear: true'),
  'tls: required': mail('port: 587, tls: required, user: a, password: { env: P }'),
  'url: { file: PATH }': {
    top: 'notifiers: { ops: { type: webhook, url: { file: /etc/reprise/url }, secret: { file: /etc/reprise/secret } } }',
  },
  'temporal: { address: ... }': { top: 'temporal: { address: "temporal.example.org:7233" }' },
  'language: en': { top: 'language: en' },
  'noncurrent_expire_days: ${days}': s3('versioning: true, lifecycle: { noncurrent_expire_days: 30 }'),
  'prices: { per_gb_month: { ... } }': s3('prices: { per_gb_month: { STANDARD: 0.024 } }'),
};

/** Words before a key by which a sentence tells somebody to write it. */
const TELLS =
  /\b(?:set|add|add e\.g\.|use|write|with|or set|instead:|one:|it:|recovery:|e\.g\.|fewer backups:|nevertheless:) ([a-z_]+(?:\.[a-z_]+)?: (?!(?:to|and|or|of|with|the|a)\b)(?:\{|[a-z]))/g;

let source = '';
let keys: ReadonlySet<string>;

beforeAll(async () => {
  const files = (await readdir('src', { recursive: true })).filter((name) => name.endsWith('.ts')).sort();
  const texts = await Promise.all(files.map((name) => readFile(join('src', name), 'utf8')));
  source = texts
    .flatMap((text) => text.split('\n').filter((line) => !/^\s*(?:\*|\/\/|\/\*\*|import)/.test(line)))
    .join('\n');
  const schema = await readFile('docs/reference/reprise.schema.json', 'utf8');
  keys = new Set([...schema.matchAll(/"([a-z_]+)": \{/g)].map(([, key = '']) => key));
});

it.each(Object.entries(ADVICE))(
  'W17: `%s`, which people are told to write, is accepted by config check',
  async (advice, place) => {
    expect(source).toContain(advice);
    const root = await tempDir('advice');
    const { engine = 'logical', options, policy = '', cluster = '', top = '', repositories, policies } = place;
    const yaml = `version: 1
hosts: { db1: { state_dir: ${root} } }
repositories:
  local: { type: directory, path: ${root}/b, host: db1 }
${repositories === undefined ? '' : `  ${repositories}\n`}clusters:
  mairie:
    host: db1
    connection: { host: ${root}, user: reprise }
    data_dir: ${root}/data
    databases: [mairie]
    catalogue: local
    backups:
${policies === undefined ? '' : `      ${policies}\n`}      nightly:
        engine: ${engine}
        repository: local
${options === undefined ? '' : `        options: ${options}\n`}${policy === '' ? '' : `        ${policy}\n`}${cluster === '' ? '' : `    ${cluster}\n`}${top}
`;
    expect(() => parseConfig(yaml, `${root}/reprise.yml`)).not.toThrow();
  },
);

// A new hint with a key of reprise.yml gets its line above.
it('W17: nothing that people are told to write is missing in this table', () => {
  const told = [...source.matchAll(TELLS)].filter(([, what = '']) => keys.has(what.split(/[.:]/)[0] ?? ''));
  expect(told.length).toBeGreaterThan(20);
  const isKnown = (at: number): boolean =>
    Object.keys(ADVICE).some((advice) => {
      const found = source.indexOf(advice, at);
      return found >= at && found - at < 30;
    });
  expect(told.filter((match) => !isKnown(match.index)).map(([text]) => text)).toEqual([]);
});
