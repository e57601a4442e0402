import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** What is promised, in the order of somebody who wonders whether to rely on it; each with the rows its tests name. */
const guarantees: readonly (readonly [
  title: string,
  promises: readonly (readonly [rows: string, promise: string])[],
])[] = [
  [
    'Kill anything, lose nothing',
    [
      [
        'D2 F1',
        'A worker killed at any instant costs seconds: the tool it watched goes on, and the next worker takes it up. Nothing runs twice.',
      ],
      [
        'F2',
        'After a restart of the machine a half-made restore is marked incomplete, never started, and resumed in its own directory only.',
      ],
      [
        'F3',
        'A tool that is killed, or that says it succeeded and did not, leaves nothing that is listed as a backup.',
      ],
      [
        'F8',
        'The Temporal server may die, forget a completion, be Reset or be lost with its database: what was done is found done.',
      ],
      ['F9', 'A tool that lives and makes no progress is noticed, said, and ended after the configured time.'],
    ],
  ],
  [
    'A backup counts once it was proven',
    [
      ['B1 B4', 'Dumps are named by database and instant (UTC) and come with roles and tablespaces.'],
      ['B5 P1', 'WAL is archived for real; pgBackRest chooses full, differential or incremental by itself.'],
      ['F7', 'A physical backup is not good before the WAL it ends with is archived.'],
      [
        'F15',
        'A truncated, empty or bit-flipped backup fails its check before anything is restored, is quarantined and never offered.',
      ],
      [
        'F18 F19 F20 F21 F22',
        'Exit code 0 is not believed: encodings, row security, denied large objects, ignored errors and missing objects are looked for.',
      ],
      ['F5 F6', 'A full disk leaves older backups, the source and the old data as they were.'],
    ],
  ],
  [
    'Rotation never takes the last proof',
    [
      [
        'B3 F30',
        'The newest proven backup, a held one, one in use and what others rest on stay; with nothing verified, nothing goes.',
      ],
      ['F27', 'A jump of the clock, a long outage or a catch-up of schedules deletes nothing.'],
      ['B2', 'A disabled policy is skipped with a clear line, never silently.'],
    ],
  ],
  [
    'A human decides, on a plan',
    [
      [
        'D3 F31 F32',
        'An approval binds to one plan. Late, revoked, unlisted, given twice, by the requester or for another plan: refused with its reason, and still waiting.',
      ],
      [
        'F33',
        'The host itself checks plan, approvals and ledger before anything is destroyed: a workflow or an activity started by hand does not pass.',
      ],
      ['D4 D6', 'The Web UI and the command line say what happens, what is waited for and what to type.'],
    ],
  ],
  [
    "Recovery in PostgreSQL's terms",
    [
      [
        'S1 S2',
        'A loss is detected with the layer that failed, opens an incident as suspected, and waits for a person.',
      ],
      ['S3 F17', 'Version, identity, disk and WAL are checked before anything is changed.'],
      [
        'S4 K2',
        'The newest good backup and every commit that exists anywhere, or an instant of your choice with a look before it is opened for writes.',
      ],
      [
        'F23 F24 F25 F26',
        "A gap in the WAL, a target before the backup's end, after the last WAL or with an ambiguous time is refused, not approached.",
      ],
      ['F28', "A restored copy never archives into production's repository."],
      ['S5', 'Every action and point of attention stands in the incident document.'],
    ],
  ],
  [
    'Beside others, and against bad input',
    [
      ['F29', 'One holder per cluster: two backups of a policy, or a rotation during a restore, do not meet.'],
      [
        'F35 F36 F37',
        'Names with quotes, newlines, dashes or connection strings in them, and paths that lead elsewhere, are taken for what they are or refused.',
      ],
      ['F38', 'A wrong configuration is an error with file, line and column; nothing starts.'],
      ['F39', 'No secret and no row value stands in arguments, environment, logs, errors, histories or reports.'],
      ['F42', 'What is written is owner-only.'],
      ['D5', "Cron work is Temporal Schedules from the configuration; an operator's pause survives."],
      ['D1 D7', 'All of it is Temporal workflows, replayed against recorded histories; one machine or many.'],
    ],
  ],
];

interface Test {
  readonly file: string;
  readonly title: string;
}

/** `docs/guarantees.md`: each promise with the tests whose names cite its rows. Throws where a promise has no test. */
export async function guaranteesPage(root: string): Promise<string> {
  const tests = await testsIn(root);
  const lines = [
    '# Guarantees, and the test behind each',
    '',
    "Made from the tests (`npm run docs`): a promise without a test does not get onto this page. Rows and faults are those of the project's",
    'requirements. `npm test` runs all but the full chaos suite (`npm run chaos`), of which it runs a sample.',
  ];
  for (const [title, promises] of guarantees) {
    lines.push('', `## ${title}`);
    for (const [rows, promise] of promises) {
      lines.push('', `**${promise}**`, '');
      for (const row of rows.split(' ')) {
        const found = tests.filter((test) => new RegExp(`\\b${row}\\b`).test(test.title));
        if (found.length === 0) throw new Error(`no test names ${row}: ${promise}`);
        lines.push(
          `- ${row}: ${[...new Set(found.map(({ file }) => `[${file.replace(/^test\//, '').replace(/\.test\.ts$/, '')}](../${file})`))].join(', ')}`,
        );
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

async function testsIn(root: string): Promise<readonly Test[]> {
  const names = (await readdir(join(root, 'test'), { recursive: true }))
    .filter((name) => name.endsWith('.test.ts'))
    .toSorted();
  const found = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(root, 'test', name), 'utf8');
      // Titles, those of tables of cases too: a string that begins with a row, alone or in a list.
      const titles = [...text.matchAll(/['`]((?:[A-Z]\d+[, ]*)+:? [^'`\n]*)/g)].map((match) => match[1] ?? '');
      return titles.map((title) => ({ file: `test/${name}`, title: title.split(':')[0] ?? title }));
    }),
  );
  return found.flat();
}
