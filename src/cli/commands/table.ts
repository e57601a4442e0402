import type { Command } from 'commander';
import type { Cli } from '../cli-context.js';
import { group } from '../define-command.js';
import { defineTableCompare } from './table-compare.js';
import { defineTableHistory } from './table-history.js';
import { defineTableLocate } from './table-locate.js';

/** `reprise table ...` */
export function registerTable(program: Command, cli: Cli): void {
  const table = group(program, 'table', 'one table: compare it with what it was, its history, what broke it');
  defineTableCompare(table, cli);
  defineTableHistory(table, cli);
  defineTableLocate(table, cli);
}
