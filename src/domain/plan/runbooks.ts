/** What Temporal's Web UI shows of a workflow before and while it runs: one line, and the steps in plain words. */
export interface OperationRunbook {
  /** Up to 400 bytes. */
  readonly summary: string;
  /** Markdown, up to 20 kB. */
  readonly details: string;
}

export function backupRunbook(cluster: string, policy: string): OperationRunbook {
  return {
    summary: `Backup of ${cluster}, policy ${policy}`,
    details: steps([
      'Wait for a worker on the host of the cluster.',
      'Check before anything is written: versions, grants, archiving.',
      'Run the engine; the backup is published only when it is whole.',
      'Verify it as the policy demands (`proof`).',
      'Remove expired backups: never the newest verified one, a held one, or one in use.',
    ]),
  };
}

export function rotationRunbook(cluster: string, policy: string): OperationRunbook {
  return {
    summary: `Rotation of ${cluster}, policy ${policy}`,
    details: steps([
      'List the backups.',
      'Decide which are kept, and why.',
      'Remove the others, dependent backups first.',
    ]),
  };
}

export function verificationRunbook(backupId: string, restore: boolean): OperationRunbook {
  const how = restore
    ? 'Restore it into a scratch server and compare.'
    : 'Read the whole backup and compare it with its record.';
  return {
    summary: `Verification of ${backupId}${restore ? ' by a restore' : ''}`,
    details: steps([how, 'Record the result; a backup that fails is quarantined and not used any more.']),
  };
}

export function adoptionRunbook(cluster: string, from: string | undefined): OperationRunbook {
  return {
    summary: `Adoption of ${from === undefined ? 'backups the engines list' : 'a folder of dumps'} for ${cluster}`,
    details: steps([
      'List what is not recorded yet: names and headers, no data.',
      'Copy each dump into the repository and read it whole; originals are never moved or deleted.',
      'Record it, then verify it: an unverified backup does not count.',
      'List what was not adopted, each with its reason.',
    ]),
  };
}

export function actionRunbook(action: string, subject: string): OperationRunbook {
  return {
    summary: `${action} of ${subject}`,
    details: steps([
      'Make a plan: what exactly would be changed. Nothing is changed.',
      'Wait for the approval of this very plan or, where the cluster has no policy for it, for its confirmation on the host.',
      'Make the plan again: it must still be the same.',
      'Carry it out, and record who decided it.',
    ]),
  };
}

export function recoveryRunbook(cluster: string, into: string): OperationRunbook {
  return {
    summary: `Recovery of ${cluster} ${into === 'in-place' ? 'in place' : `into ${into}`}`,
    details: `Current Details show the current step, what it waits for and what to send; press R to refresh them.\n\n${steps(
      [
        'Make a plan: which backup, to which state, what is replaced. Nothing is changed.',
        'Wait for the approval of this plan.',
        'Make the plan again; if it differs from the approved one, ask again.',
        'Put the old data aside, restore, recover to the target.',
        'Check the result, promote the server, take and verify a fresh full backup.',
        'Write the incident document: timeline, RTO, RPO.',
      ],
    )}`,
  };
}

export function mediaRunbook(name: string, cluster: string, kind: 'recover' | 'sync'): OperationRunbook {
  const what =
    kind === 'recover'
      ? `Recovery of the media ${name} of ${cluster} to a point in time`
      : `Synchronization of the media ${name} of ${cluster}`;
  return {
    summary: what,
    details: steps([
      'Compare object by object; count what would be changed. Nothing is changed.',
      'Wait for the approval of this plan, where the policy asks for one.',
      'Make the plan again; if it differs, ask again.',
      'Change the objects that differ, in parallel; the others are not touched, no version is removed.',
      'Compare all objects again, and write the report.',
    ]),
  };
}

export function repairRunbook(cluster: string, table: string): OperationRunbook {
  return {
    summary: `Repair of the table ${table} of ${cluster}`,
    details: `Current Details show the current step, what it waits for and what to send; press R to refresh them.\n\n${steps(
      [
        'Find the damaged rows in a temporary instance. Production is not touched.',
        'Compare them with the table as it is: what is put right, and what people changed since and decide on.',
        'Wait for the approval of this very list of changes.',
        'Compare again, and change the rows, each only where it is still as the plan saw it.',
        'Check the result, and write the report.',
      ],
    )}`,
  };
}

export function holdRunbook(cluster: string, table: string): OperationRunbook {
  return {
    summary: `Freeze of the table ${table} of ${cluster}`,
    details: `Current Details show what it waits for and what to send; press R to refresh them.\n\n${steps([
      'Say by which means and hooks of the configuration writes are blocked. Nothing is changed.',
      'Wait for the approval of this plan.',
      'Run the hooks, then block the writes to the table.',
      'Keep it frozen until somebody releases it, or its time is over.',
      'Open the table for writes, then take the hooks back, the last first.',
    ])}`,
  };
}

export function locateRunbook(cluster: string, table: string): OperationRunbook {
  return {
    summary: `Search for what broke the table ${table} of ${cluster}`,
    details: `Nothing is changed. Current Details show how many states are left to look at; press R to refresh them.\n\n${steps(
      [
        'List the backups, and look at the table in production.',
        'Look at the table in the middle one of the backups that are left, in a temporary instance, until two neighbours are found.',
        'Replay the WAL between them once, stopped after the commits that touched the table.',
        'Name the transaction and the command to type next.',
      ],
    )}`,
  };
}

export function blastRadiusRunbook(cluster: string, table: string, xid: string): OperationRunbook {
  return {
    summary: `What transaction ${xid} did to ${table} of ${cluster}`,
    details: `Nothing is changed. Rows are kept on the host alone, and never in this history.\n\n${steps([
      'Find the transaction in the WAL, with the rows that it touched.',
      'Restore into a temporary instance, stopped just before its commit, and follow its rows through the WAL.',
      'Read the rows before and after it, and compare them with the table as it is.',
      'Name what each way back would lose, with the command to type.',
    ])}`,
  };
}

export function mediaVerificationRunbook(name: string): OperationRunbook {
  return {
    summary: `Verification of the media ${name}`,
    details: steps(['Read every object, compare size and checksum.', 'Decode a sample of the images.']),
  };
}

export function drillRunbook(cluster: string): OperationRunbook {
  return {
    summary: `Restore drill of ${cluster}`,
    details: `Current Details show the current step, what it waits for and what to send; press R to refresh them.\n\n${steps(
      [
        'Make a plan: which backups, to which instant, onto which staging place. Production is not touched.',
        'For each engine: empty staging, restore, start read-only, check.',
        'Compare what two engines restored to one instant.',
        'Mask the data, ask for the sign-off, remind, escalate.',
        'Seal the evidence: report, hashes, signature; record the verdict.',
        'Stop and empty staging.',
      ],
    )}`,
  };
}

export function drillOverdueRunbook(cluster: string): OperationRunbook {
  return {
    summary: `Is a restore drill of ${cluster} overdue?`,
    details: steps([
      'Look up when the last drill was due.',
      'Look for a drill that came to a verdict since; without one, open an entry of the quality register and tell people.',
    ]),
  };
}

export function exploreRunbook(cluster: string, target: string): OperationRunbook {
  return {
    summary: `Temporary instance of ${cluster} at ${target}`,
    details: `Current Details show where it is and until when; press R to refresh them.\n\n${steps([
      'Choose a backup that leads there, and see that there is room. Production is not touched.',
      'Restore it into a scratch directory; start it read-only, archiving and network off.',
      'Keep it until its time is over, or until somebody drops it; move it forward when asked.',
      'Stop it and remove its files.',
    ])}`,
  };
}

export function comparisonRunbook(table: string, cluster: string, target: string): OperationRunbook {
  return {
    summary: `Table ${table} of ${cluster}, compared with ${target}`,
    details: `Nothing is changed. Rows are kept on the host alone, and never in this history.\n\n${steps([
      'Restore into a temporary instance, read-only, archiving and network off.',
      'Compare the definitions, then the rows: both sides in one snapshot each.',
      'Keep samples of what differs in a file of the host, readable by its owner, with an end.',
      'Stop the temporary instance and remove its files.',
    ])}`,
  };
}

export function dailyCheckRunbook(cluster: string): OperationRunbook {
  return {
    summary: `Do the schedules of ${cluster} fire, and are its backups fresh?`,
    details: steps([
      'Look at the schedules on the Temporal server, and at the workflows that receive WAL or watch.',
      'Compare backups, their verification and restore tests, and the recoverable range with schedules and objectives.',
      'Tell people what is new, what still lasts, and what is over.',
    ]),
  };
}

/** `table`: with its database, of an incident of one table. */
export function incidentRunbook(cluster: string, scenario: string, table?: string): OperationRunbook {
  if (scenario === 'bad-migration')
    return {
      summary: `Incident ${scenario} of ${cluster}: ${table}`,
      details: `Current Details show the figures, what is waited for and what to type; press R to refresh them.\n\n${steps(
        [
          'Suspected: write down the hour of discovery, tell people, find when the migration was.',
          'Restore the state before it into a temporary instance, and compare its definitions and rows with production.',
          'Wait for a person: `confirm` or `dismiss`.',
          'Wait for what a person chooses: the database as before (`reprise recover ... --incident`), or single tables (`reprise table repair ... --incident`), each with an approval of its own.',
          'After a table, wait for the next choice, or for `close`. A recovery ends the incident.',
          'Write the incident document: times, cause, rows and definitions, what is left to do.',
        ],
      )}`,
    };
  if (table !== undefined)
    return {
      summary: `Incident ${scenario} of ${cluster}: ${table}`,
      details: `Current Details show the figures, what is waited for and what to type; press R to refresh them.\n\n${steps(
        [
          'Suspected: write down the hour of discovery, tell people, compare the rows with those of the backups, look for large transactions in the WAL.',
          'Wait for a person: `confirm` or `dismiss`.',
          'Block the writes to the table, where the configuration says how; that plan has an approval of its own.',
          'Wait for the repair that a person chooses: find what did the damage, compare, then `reprise table repair ... --incident`.',
          'Repair, in a child workflow that waits for the approval of the very changes. One that is rejected or fails leads back to the choice.',
          'Open the table again, and write the incident document: times, cause, rows, what is left to do.',
        ],
      )}`,
    };
  return {
    summary: `Incident ${scenario} of ${cluster}`,
    details: steps([
      'Diagnose: which layer fails (host, port, login, query), and in what state the data directory is.',
      'Wait for a person: `confirm`, `dismiss`, or the approval of the recovery plan.',
      'Recover, in a child workflow that waits for the approval.',
      'Write the incident document: timeline, RTO, RPO, what was lost.',
    ]),
  };
}

function steps(lines: readonly string[]): string {
  return lines.map((line, index) => `${index + 1}. ${line}`).join('\n');
}
