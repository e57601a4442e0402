import type { Command } from 'commander';
import type { Cli } from '../cli-context.js';
import { group } from '../define-command.js';
import { defineBlastRadius } from './table-blast-radius.js';
import { defineTableCompare } from './table-compare.js';
import { defineTableHistory } from './table-history.js';
import { defineTableFreeze } from './table-freeze.js';
import { defineTableLocate } from './table-locate.js';
import { defineTableRepair } from './table-repair.js';

/** `reprise table ...` */
export function registerTable(program: Command, cli: Cli): void {
  const table = group(program, 'table', 'compare one table with what it was, find what broke it, put its rows right');
  defineBlastRadius(table, cli);
  defineTableCompare(table, cli);
  defineTableHistory(table, cli);
  defineTableFreeze(table, cli);
  defineTableLocate(table, cli);
  defineTableRepair(table, cli);
}
