/** What Temporal's Web UI shows of a workflow before and while it runs: one line, and the steps in plain words. */
export interface OperationRunbook {
  /** Up to 400 bytes. */
  readonly summary: string;
  /** Markdown, up to 20 kB. */
  readonly details: string;
}

export function backup(cluster: string, policy: string): OperationRunbook {
  return {
    summary: `Backup of ${cluster}, policy ${policy}`,
    details: steps([
      'Wait for a worker on the host of the cluster.',
      'Check before anything is written: versions, grants, archiving.',
      'Run the engine; the backup is published only when it is whole.',
      'Prove it, as far as the policy asks (`proof`).',
      'Remove what retention lets go: never the newest proven backup, a held one, or one in use.',
    ]),
  };
}

export function rotation(cluster: string, policy: string): OperationRunbook {
  return {
    summary: `Rotation of ${cluster}, policy ${policy}`,
    details: steps(['List what there is.', 'Decide what stays and why.', 'Remove the rest, dependants first.']),
  };
}

export function verification(backupId: string, restore: boolean): OperationRunbook {
  const how = restore
    ? 'Restore it into a scratch server and compare.'
    : 'Read the whole backup and compare it with its record.';
  return {
    summary: `Verification of ${backupId}${restore ? ' by a restore' : ''}`,
    details: steps([how, 'Record the proof; a backup that fails is quarantined, and never offered again.']),
  };
}

export function adoption(cluster: string, from: string | undefined): OperationRunbook {
  return {
    summary: `Adoption of ${from === undefined ? 'backups the engines list' : 'a folder of dumps'} for ${cluster}`,
    details: steps([
      'Look what there is and is not recorded: names, headers, no data.',
      'Copy each dump into the repository and read it whole; originals are never moved or deleted.',
      'Record it; then verify it: until that it counts as nothing.',
      'Name what was left out, each with its reason.',
    ]),
  };
}

export function recovery(cluster: string, into: string): OperationRunbook {
  return {
    summary: `Recovery of ${cluster} ${into === 'in-place' ? 'in place' : `into ${into}`}`,
    details: `Current Details say what is done now, what is waited for and what to send; the key R brings them up to date.\n\n${steps(
      [
        'Make a plan: which backup, to which state, what is replaced. Nothing is changed.',
        'Wait for the approval of that very plan.',
        'Make the plan again: where it differs from what was approved, ask again.',
        'Put the old data aside, restore, recover to the target.',
        'Check the result, open it for writes, take and verify a fresh full backup.',
        'Write the incident document: timeline, RTO, RPO.',
      ],
    )}`,
  };
}

export function media(name: string, cluster: string, kind: 'recover' | 'sync'): OperationRunbook {
  const what =
    kind === 'recover'
      ? `Media ${name} of ${cluster} back to a point in time`
      : `Media ${name} of ${cluster} made equal elsewhere`;
  return {
    summary: what,
    details: steps([
      'Compare object by object; count what would be changed. Nothing is changed.',
      'Wait for the approval of that very plan, where policy asks for one.',
      'Make the plan again: where it differs, ask again.',
      'Change what is not right, in parallel; what is right is not touched, no version is removed.',
      'Look at everything again, and write the report.',
    ]),
  };
}

export function mediaVerification(name: string): OperationRunbook {
  return {
    summary: `Verification of the media ${name}`,
    details: steps(['Read every object, compare size and checksum.', 'Decode a sample of the images for real.']),
  };
}

export function incident(cluster: string, scenario: string): OperationRunbook {
  return {
    summary: `Incident ${scenario} of ${cluster}`,
    details: steps([
      'Qualify: which layer fails (host, port, login, query), and in what state the data directory is.',
      'Wait for a person: `confirm`, `dismiss`, or the approval of the recovery plan.',
      'Recover (a child of its own, which takes the approval).',
      'Write the incident document: timeline, RTO, RPO, what was lost.',
    ]),
  };
}

function steps(lines: readonly string[]): string {
  return lines.map((line, index) => `${index + 1}. ${line}`).join('\n');
}
