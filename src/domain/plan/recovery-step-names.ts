/** Steps of a recovery, as the journal, the Web UI and `reprise status` name them. */
export const stepNames = {
  startServer: 'start the server',
  stopServer: 'stop the old server',
  salvage: 'salvage WAL that was not archived',
  moveOldData: 'move the old data',
  restoreFiles: 'restore files',
  replay: 'replay WAL',
  media: 'restore media',
  runChecks: 'run checks',
  promote: 'promote',
  rearm: 'start archiving again',
  restoreBeside: 'restore beside the live databases',
  safetyBackup: 'safety backup of the databases to be replaced',
  swap: 'swap the databases',
  freshBackup: 'take and verify a fresh backup',
  document: 'write the incident document',
} as const;
