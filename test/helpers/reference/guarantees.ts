import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** What is promised, in the order that matters to a new user; each promise with the codes that its tests name. */
const guarantees: readonly (readonly [
  title: string,
  promises: readonly (readonly [rows: string, promise: string])[],
])[] = [
  [
    'Kill anything, lose nothing',
    [
      [
        'D2 F1',
        'A worker that is killed costs seconds: the tool it watched goes on, and the next worker attaches to it. Nothing runs twice.',
      ],
      [
        'F2',
        'After a restart of the machine an unfinished restore is marked incomplete, is never started, and is resumed in its own directory only.',
      ],
      [
        'F3',
        'A tool that is killed, or that reports success although it failed, leaves nothing that is listed as a backup.',
      ],
      [
        'F8',
        'The Temporal server may stop, lose a completion or be lost with its database, and a workflow may be reset: what is done is found done.',
      ],
      ['F9', 'A tool that makes no progress is detected, reported, and ended after the configured time.'],
    ],
  ],
  [
    'A backup counts once it was verified or restore-tested',
    [
      ['B1 B4', 'Dumps are named by database and instant (UTC) and come with roles and tablespaces.'],
      [
        'B5 P1',
        'WAL is archived and used in recoveries; with pgBackRest the type of backup (full, differential, incremental) is chosen automatically.',
      ],
      ['F7', 'A physical backup does not count before the WAL of its end is archived.'],
      [
        'F15',
        'A truncated, empty or changed backup is found before anything is restored, is quarantined, and is not offered again.',
      ],
      [
        'F18 F19 F20 F21 F22',
        'Exit code 0 is not enough: encodings, row security, unreadable large objects, ignored errors and missing objects are checked.',
      ],
      [
        'V1',
        'Two engines are restored to one position in the WAL and compared table by table: a disagreement fails the drill.',
      ],
      [
        'V2',
        'A canary row, written at an interval, comes back from a restore as it was, and bounds what a loss would have cost.',
      ],
      [
        'V3 V4',
        'The report of a drill says first what was not tested. Its evidence is verified offline, from its files and a public key: a changed byte, a file or a drill that is missing, and another order are found.',
      ],
      ['F5 F6', 'A full disk changes neither older backups, nor the source, nor the old data.'],
    ],
  ],
  [
    'Rotation never removes the last verified backup',
    [
      [
        'B3 F30',
        'The newest verified backup, held backups, backups in use and those that others depend on stay; where nothing is verified, nothing is removed.',
      ],
      ['F27', 'A jump of the clock, a long outage or late starts of a schedule remove nothing.'],
      ['B2', 'A disabled policy is skipped with a message, never silently.'],
    ],
  ],
  [
    'A drill shows that backups can be restored',
    [
      ['P4', 'A drill restores with each engine onto staging, by the calendar, and changes nothing of production.'],
      [
        'P5',
        'People sign it off, told, reminded and escalated; a drill that does not pass stays in the quality register until a later one passes.',
      ],
      ['K7', 'A drill that did not take place is told, whatever became of its schedule.'],
    ],
  ],
  [
    'One table is put right',
    [
      [
        'T6',
        'Rows become exactly what was approved, or nothing changes: a row that somebody changed meanwhile is never overwritten, and code of the table gets no rights by it. It can be taken back.',
      ],
      [
        'T8',
        'An incident of a table is one workflow, from the hour of discovery to its document: people confirm it and choose the repair; one that is rejected or fails leads back to the choice, and one that was approved goes on whatever becomes of the incident.',
      ],
      [
        'K5',
        'After a migration that went wrong, the state before it is compared with production, and a person chooses the whole database or single tables.',
      ],
      [
        'T4',
        'While it is repaired, or from the first suspicion on, nobody else writes to it, where the configuration says so: the plan shows how, and the table takes writes again however that ends, with the very rights that were there; hooks that stopped batches are taken back.',
      ],
      [
        'T7',
        'A repaired table comes back step by step: checked and signed off while nobody else writes to it, then opened, then one batch after the other, its rows counted after each and watched. A bad word, or none, undoes nothing by itself and keeps no table closed for ever.',
      ],
      [
        'M3',
        'Which transaction did the damage is read from archived WAL alone, and what each way back would lose is said before anybody decides.',
      ],
      [
        'M4',
        'What one transaction did is undone, and what came later is kept: a row that changed again is a conflict for people.',
      ],
    ],
  ],
  [
    'A human decides, on a plan',
    [
      [
        'D3 F31 F32',
        'An approval is for one plan. One that is late, revoked, given twice, for another plan, or by a person whom the policy does not allow is refused with the reason; the workflow goes on waiting.',
      ],
      [
        'F33',
        'The host itself checks plan, approvals and ledger before anything is destroyed: a workflow or an activity that is started by hand is refused.',
      ],
      [
        'G1',
        'What is restored are the very bytes that were approved: a plan holds the hashes of everything that decides what is restored, and what has another hash, or none, is refused.',
      ],
      [
        'G5',
        'Dropping old data, releasing a hold, changing a storage and adopting need an approval, or a confirmation on the host itself. A forged record in a repository names nothing that is dropped.',
      ],
      [
        'G8',
        'An adopted dump is never taken for one of our own: it comes from a folder of the configuration, counts for no promise, and is used only by its name or after a restore test.',
      ],
      ['G2 F55', 'Names that a recovery derives never collide, and what has one is taken for its own only by a mark.'],
      [
        'L16 G9',
        'Who sent a decision is recorded as Temporal knows it. A policy may require that the server knows the sender as the person named, and one that no approval can meet, or that binds nobody, is named.',
      ],
      ['D4 D6', 'The Web UI and the command line show what happens, what is waited for and what to type.'],
    ],
  ],
  [
    "Recovery in PostgreSQL's terms",
    [
      [
        'S1 S2',
        'The loss of an instance is detected together with the layer that failed; an incident is opened as suspected and waits for a person.',
      ],
      ['S3 F17', 'Version, identity, disk and WAL are checked before anything is changed.'],
      [
        'S4 K2',
        'A recovery uses the newest good backup and all WAL that is left anywhere, or stops at a point in time where the data can be inspected before promotion.',
      ],
      [
        'F23 F24 F25 F26',
        "A gap in the WAL, a target before the backup's end, after the last WAL or with an ambiguous time is refused.",
      ],
      ['F28', "A restored copy never archives into production's repository."],
      ['S5', 'Every action and every warning is in the incident document.'],
    ],
  ],
  [
    'Concurrency and bad input',
    [
      [
        'F29',
        'Each cluster has one lock: two backups of a policy do not run at once, nor does rotation during a recovery.',
      ],
      [
        'F46 L1 L2',
        'Only the end of an execution frees its lock: paused work keeps it, and a later run with the same workflow id is another holder.',
      ],
      ['L4', 'An approved recovery is next: while it waits for the cluster lock, nothing that it excludes is begun.'],
      [
        'F46 L3',
        'A holder that lost the cluster lock (lock workflow terminated, operation reset) does not go on: the host knows the later grant and refuses the step.',
      ],
      [
        'L5',
        'Nobody holds a cluster while it waits for a slot of the host: an approved recovery does not wait for the backup of another cluster. Who waits for a person has no slot.',
      ],
      [
        'L8',
        "No step is given up because its host's worker was away, and what fails after the approval waits for people.",
      ],
      [
        'L9',
        'A step that fails for a reason that passes is repeated for hours, people are told early, and no scheduled run is left out untold.',
      ],
      [
        'L10',
        'A step that hangs, or that loses its worker again and again, pauses and is told instead of going on for ever.',
      ],
      [
        'L14 F53',
        'An upgrade stops nothing: workflows stay with the build that began them while a worker of it runs; then the current build continues them. Mixed versions and configurations are shown.',
      ],
      [
        'L15 F52',
        'A message that cannot be decoded, or has the wrong shape, fails no workflow task: it is recorded, and the workflow goes on.',
      ],
      [
        'L6',
        'Recoveries have slots of their own on each host, recoveries of media have others, and a recovery goes before a backup.',
      ],
      [
        'L7',
        'A watch that cannot look says so, tells people once, and looks again by itself; nothing but stopping it ends a watch.',
      ],
      [
        'L12',
        'A wait for a host is told after a minute, costs a few actions of Temporal Cloud however long it takes, and ends when somebody rejects; a watch costs at most 2,000 actions a day.',
      ],
      [
        'L13',
        'Without its search attributes a worker does not start, and says what an administrator types; long answers of a host are read in pages.',
      ],
      [
        'F35 F36 F37',
        'Names with quotes, newlines, dashes or connection strings in them, and paths that lead elsewhere, are used as they are, or refused.',
      ],
      [
        'W1 F47',
        'What is in the place of a repository without its identity, such as the mount point of a disk that is not mounted, is neither read nor written, and told.',
      ],
      [
        'W5 F49',
        'Where WAL of a timeline is archived and its history file is not, no older timeline is taken for the latest.',
      ],
      ['W11', "pgBackRest's configuration may be where pgBackRest looks for it, in an include directory too."],
      [
        'W3 F48',
        'A recovery to a time before a DROP DATABASE brings the database back: it stops at the last commit before the time.',
      ],
      [
        'W4 F49',
        'A timeline that an earlier recovery left can be recovered to; a target that may mean two timelines is refused with both.',
      ],
      [
        'W6 W7',
        'Transaction ids, restore points and positions are found on the timeline that has them, with their instant, or refused; leftover recovery targets have no effect.',
      ],
      [
        'W12',
        'After an upgrade, backups of the cluster as it was before are named as such, and recovered beside with the programs of their version.',
      ],
      ['W14', 'A damaged page of the cluster fails a backup at once, named by file and page, and `check` reports it.'],
      [
        'W9 F51',
        'An invalid database, which an interrupted DROP DATABASE leaves, and a prepared transaction hold up nothing: they are skipped and told.',
      ],
      [
        'W10',
        'Unlogged, temporary and foreign relations are counted apart, and plans name the unlogged tables that come back empty.',
      ],
      [
        'W8 F50 W2',
        'A recovery in place keeps symbolic links, a WAL disk, tablespaces and the archive_command that were there, or is refused before anything stops; the plan shows them.',
      ],
      ['W13', 'A new, empty cluster where the old one was is recognised, named in the plan and put aside.'],
      [
        'R1',
        'A dump that is only a part of its database is listed as such, counts for nothing and is never recovered from.',
      ],
      ['R5', 'Dumps of databases in any encoding are verified and restored, whatever bytes their names are.'],
      ['R3', 'A connection pooler is refused before anything is set: sessions of applications stay as they are.'],
      [
        'R2',
        'A database that a subscriber or publisher depends on is not replaced by a dump of it; a kept one is dropped with what its plan names.',
      ],
      [
        'R12',
        'One database that cannot be backed up, and one proof that fails, leave the others backed up and verified.',
      ],
      [
        'R4',
        'A good dump is not quarantined, nor its recovery refused, for what every correct dump and restore changes.',
      ],
      [
        'R6',
        'A row of any width is verified as fast as a narrow one, and no recovery of another cluster waits for a verification.',
      ],
      [
        'R8',
        'What needs the search_path of its database is restored with it; what a restore cannot make is shown, and swapped in only where people accept these very errors. Missing rows are never accepted.',
      ],
      [
        'R10',
        'A role that may make databases and is no superuser, as managed services give it, backs up, restores and swaps in.',
      ],
      [
        'R9',
        'Data in the maintenance database or in `template1` is recovered in place like any other, also where that database is lost.',
      ],
      [
        'R11',
        'A library, label provider or locale that a server lacks is no damage of a backup; restore tests preload what the source preloads, and plans name pg_cron.',
      ],
      [
        'R14',
        'TLS settings of a connection hold for every session and every tool; what a database has of its own comes back; copied sets hold up nothing.',
      ],
      [
        'R7',
        'Time-outs of roles, databases and servers end nothing of ours, and what a finished job made is believed only while it is there.',
      ],
      [
        'W17',
        'A full disk in replay, a wrong clock and a missing version are said as such, and doctor advises nothing that config check refuses.',
      ],
      [
        'W15 W16',
        'Copies of media have what describes their objects, a key that lacks a right recovers what it can, and the plan says what is missing.',
      ],
      [
        'O1 O9',
        'What answers again ends its plan, no plan changes its method by itself, and a server that refuses a login is no loss.',
      ],
      [
        'O2 O3',
        'Every plan says what may be lost, and the RPO in the report is an upper bound, to the last write that what was replaced may have taken.',
      ],
      ['O10', 'A dry run prints no command that would decide on its plan.'],
      [
        'O12',
        'A recovery ends with where it is and what to do next; copies that it left beside are listed, stopped and dropped by their names.',
      ],
      ['O13', 'A recovered server that dies while it is paused is started again, and promoted.'],
      [
        'O4 O5',
        'The state, server and worker of `reprise up` belong to the owner of the data, also when root starts them; no command asks another Temporal server while that one is down.',
      ],
      [
        'O6',
        'A renamed policy keeps its backups, and backups that no policy has are named by doctor and by each rotation.',
      ],
      ['O7', 'Whoever may not approve is told before the plan is shown, and a plan that nobody can approve says so.'],
      ['O11', 'What the command line asks leaves no workflow in the list, answered or refused.'],
      [
        'O19',
        'A command that waits names the worker that is missing, and a dry run that nobody waits for any more ends.',
      ],
      ['O14', 'Links open the text of an operation in the Web UI, and a query finds what waits for a person.'],
      ['O17', 'Schedules have time zones, and every option takes the same forms of a time, local ones too.'],
      ['R13 O16', 'Commands answer at once, and what they print goes through a pipe whole.'],
      [
        'O8 O18',
        'doctor finds what the next command would stumble over, by the file that it reads: directories, databases that are not there, and databases that no policy backs up; recover list shows past recoveries.',
      ],
      [
        'O15',
        '`reprise init` writes a first configuration of the clusters that it finds and overwrites nothing; doctor prints what pgbackrest.conf and the server lack.',
      ],
      ['F38', 'A wrong configuration is an error with file, line and column; nothing starts.'],
      [
        'U1',
        'Code of whoever owned something in a database runs with nobody’s rights when its dump is restored, tested or compared, and changes nothing of others unseen.',
      ],
      [
        'U4 U5 U7',
        'Text and listings of others are read in bounded time and memory, and what cannot be seen in them is shown.',
      ],
      ['F39', 'No secret and no row value appears in arguments, environments, logs, errors, histories or reports.'],
      ['F42', 'Files are written for their owner only.'],
      [
        'F54 U2 U3',
        'Other users of the host cannot have their links followed: directories in which they may write are refused, files are created exclusively under random names, and what is removed is known by its inode.',
      ],
      ['D5', "Cron work is Temporal Schedules from the configuration; an operator's pause survives."],
      ['D1 D7', 'All long work is Temporal workflows, replayed against recorded histories; on one machine or many.'],
    ],
  ],
];

interface Test {
  readonly file: string;
  readonly title: string;
}

/** `docs/guarantees.md`: each promise with the tests whose names cite its rows. Throws where a promise has no test, or its code no legend. */
export async function guaranteesPage(root: string): Promise<string> {
  const tests = await testsIn(root);
  const legend = await readFile(join(root, 'docs/faults.md'), 'utf8');
  const lines = [
    '# Guarantees, and the test behind each',
    '',
    'This page is made from the tests (`npm run docs`): a promise without a test is not on it. What a code such as F15 means, and which',
    'codes are only planned, is in [faults.md](faults.md). `npm test` runs all these tests but those of `npm run test:long` and of the full',
    'chaos suite (`npm run chaos`); it runs a sample of both.',
  ];
  for (const [title, promises] of guarantees) {
    lines.push('', `## ${title}`);
    for (const [rows, promise] of promises) {
      lines.push('', `**${promise}**`, '');
      for (const row of rows.split(' ')) {
        const found = tests.filter((test) => new RegExp(`\\b${row}\\b`).test(test.title));
        if (!legend.includes(`| ${row} | `)) throw new Error(`docs/faults.md does not say what ${row} means`);
        if (found.length === 0) throw new Error(`no test names ${row}: ${promise}`);
        lines.push(
          `- ${row}: ${[...new Set(found.map(({ file }) => `[${file.replace(/^test\//, '').replace(/(?:\.test)?\.ts$/, '')}](../${file})`))].join(', ')}`,
        );
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

async function testsIn(root: string): Promise<readonly Test[]> {
  const names = (await readdir(join(root, 'test'), { recursive: true }))
    .filter((name) => /(?:\.test|-suite)\.ts$/.test(name))
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
