import type { RepairSentences } from './sentences.js';

const rows = (count: number): string => `${count} ${count === 1 ? 'row' : 'rows'}`;

export const en: RepairSentences = {
  language: 'en',
  title: (table, cluster) => `Repair of the table ${table} of ${cluster}`,
  verdicts: {
    good: 'repaired',
    failed: 'signed off as failed',
    checksFailed: 'a check failed',
    waiting: 'not signed off yet',
    unanswered: 'repaired, not signed off',
  },
  summary: ({ inserted, updated, deleted, conflicts, lasted }) => {
    const done = `${rows(inserted)} put back, ${updated} corrected, ${deleted} deleted.`;
    const left = conflicts === 0 ? '' : ` ${rows(conflicts)} left for people to decide on.`;
    return `${done}${left}${lasted === null ? '' : ` The damage lasted ${lasted}.`}`;
  },
  sections: {
    cause: 'What happened',
    times: 'Times (UTC)',
    rows: 'Rows lost and corrected',
    checks: 'Checks',
    signOff: 'Sign-off',
    counts: 'Rows on the way back into service',
    followUps: 'What is to be done next',
    takeBack: 'How to take the repair back',
  },
  words: {
    after: 'counted after',
    at: 'when',
    backups: 'rows from',
    cause: 'cause, as entered',
    change: 'change',
    check: 'check',
    cluster: 'cluster',
    database: 'database',
    found: 'found',
    incident: 'incident',
    operation: 'operation',
    plan: 'plan (SHA-256)',
    requester: 'requested by',
    result: 'result',
    rows: 'rows',
    source: 'what was asked for',
    table: 'table',
    transaction: 'transaction that did the damage',
    what: 'what',
    who: 'who',
  },
  times: {
    damaged: 'damaged',
    discovered: 'found',
    planned: 'repair planned',
    approved: 'approved',
    frozen: 'writes blocked',
    begun: 'rows changed, from',
    checked: 'rows changed and checked',
    signedOff: 'signed off',
    opened: 'open for writes again',
    watched: 'last look at the rows',
  },
  counted: {
    insert: 'put back: they had been lost',
    update: 'corrected',
    delete: 'deleted: they should not have been there',
    conflicts: 'left as they are: they had changed for another reason too',
    before: 'rows before the repair',
    after: 'rows after the repair',
  },
  statuses: { ok: 'passed', failed: 'failed', skipped: 'skipped' },
  noCause: 'not entered yet',
  notKnown: 'not known',
  asserted: (name) => `${name} (asserted)`,
  committed: (xid, at) => `${xid}, committed ${at}`,
  durations: ({ damage, blocked }) =>
    [
      ...(damage === null ? [] : [`From the damage to the repair: ${damage}.`]),
      ...(blocked === null ? [] : [`Nobody else could write to the table for ${blocked}.`]),
    ].join(' '),
  rowsFile: ({ path, host, until }) =>
    `Every row, as it was and as it is, stands in ${path} on host ${host}, for a spreadsheet (CSV, UTF-8). Only its owner reads it; it is removed at ${until}.`,
  noRowsFile: ({ path, host, until }) =>
    `The table of these rows could not be written. They stand in ${path} on host ${host}, one a line; only its owner reads it, and it is removed at ${until}.`,
  changed: (rowsChanged, since) => `${rowsChanged} since ${since}`,
  abnormal: (found) => `abnormal: ${found}`,
  signedOff: ({ by, verdict, at }) =>
    `${by} signed the repair off as ${verdict === 'pass' ? 'good' : 'failed'}, ${at}.`,
  noAnswer: (by) => `Nobody signed the repair off in time (asked: ${by}). The table was opened as it is.`,
  waitsFor: (by) => `The repair waits for the sign-off of ${by}.`,
  takeBack: (until) =>
    `It is a repair of its own, with its plan and approval, and can be made until ${until}. Rows that changed since stay as they are:`,
  followUps: {
    takeBackOrKeep: 'The repair was signed off as failed. Take it back, or repair what is still wrong:',
    failedCheck: (name) => `Examine the failed check "${name}".`,
    conflicts: (count, decided) =>
      `${rows(count)} had changed for another reason too and ${count === 1 ? 'stays as it is' : 'stay as they are'}. Look at them in the file of rows, with the people who work with them.${decided ? '' : ' To put them right as well:'}`,
    leftOut: (count) =>
      `${rows(count)} changed while the repair was made, and ${count === 1 ? 'was' : 'were'} left out. Plan the repair again to see them:`,
    abnormal: 'The number of rows changed more than usual after the repair. Find the transaction that did it:',
    backup: 'Make a backup, so that the newest one has the repaired rows:',
    affected: (from, to) =>
      `Tell the people who work with this table that rows were missing or wrong from ${from} to ${to}. What was decided on them then may have to be looked at again.`,
    restrict: (xid) =>
      `Find the program and the role that ran transaction ${xid}, and restrict them: a role of its own for the batch, without the right to change so many rows at once. Test the batch on a copy before it runs again.`,
    cause: 'Write down the probable cause, and what would prevent it.',
    noFreeze: 'Writes of others were not blocked during the repair. Say in reprise.yml how they are next time:',
    noSignOff: 'Nobody who works with the table was asked whether the rows are right. Name who is next time:',
    noWatch: 'The rows were not watched afterwards. Say for how long they are next time:',
    noInvariant:
      'Nothing says what a coherent table is. Add a query, so that the last good state is found faster next time:',
    file: (until) =>
      `The file with the rows holds people's data, and is removed by itself at ${until}. Copy it only where such data may lie.`,
  },
};
