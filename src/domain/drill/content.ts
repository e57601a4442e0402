import type { TableCount } from '../backup/backup.js';

/** What a table holds, read whole. */
export interface TableContent extends TableCount {
  /** Of its rows, whatever their order; decimal. Equal rows count as often as they are there. */
  readonly hash: string;
  /** The partitioned table to which its rows belong. */
  readonly root?: { readonly schema: string; readonly table: string };
}
