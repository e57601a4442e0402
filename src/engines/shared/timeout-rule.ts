import type { ToolRule } from '../../process/exec/tool-rules.js';

/** Of a tool whose session a time-out of role, database or server has ended: another try ends the same way. */
export const TIMEOUT_RULE: ToolRule = {
  pattern:
    /canceling statement due to (?:statement|lock) timeout|terminating connection due to (?:idle[- ]|transaction timeout)/i,
  code: 'config-invalid',
  message: 'a time-out that the role, the database or the server sets for every session ended that of the tool',
  hint: 'switch it off for the role of the backups, e.g. ALTER ROLE reprise IN DATABASE postgres SET statement_timeout = 0; idle_session_timeout likewise',
};
