/**
 * Which differences are corrected. `undo`: those of a transaction, of two instants, or of a repair, three-way; `replace`: all, so that the
 * table becomes as it was; `upsert`: missing and changed rows; `insert-missing`; `delete-extra`.
 */
export const repairStrategies = ['undo', 'replace', 'upsert', 'insert-missing', 'delete-extra'] as const;
