import { readFile } from 'node:fs/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import { startBlastRadius } from '../../client/start.js';
import type { BlastRadiusOrder } from '../../domain/operation/orders.js';
import { type DamagedRows, waysBack } from '../../domain/table/blast-radius.js';
import { parseTableName } from '../../domain/table/table-name.js';
import type { BlastRadiusOutput } from '../../workflows/api.js';
import type { Cli } from '../cli-context.js';
import { countBetween, policyOption, timeOption } from '../common-options.js';
import { type CommonOptions, define } from '../define-command.js';
import { detached, detachedText, waitFor } from '../long-operation.js';
import { parseXid, tableArguments } from '../table-options.js';
import { blastRadiusText } from '../terminal/blast-radius-text.js';

interface BlastRadiusOptions {
  readonly xid: string;
  readonly to?: string;
  readonly policy?: string;
  readonly samples: number;
}

/** `reprise table blast-radius` */
export function defineBlastRadius(table: Command, cli: Cli): void {
  define<BlastRadiusOptions>(table, cli, {
    usage: 'blast-radius <cluster> <database> <table>',
    summary: 'show what a transaction did, what came after it, and what each way back would lose',
    description: [
      'Reads the WAL from the transaction on, and its rows in a temporary instance stopped just before its commit and just after it. Nothing is changed.',
      'The rows themselves are kept in a file of the host, readable by its owner.',
    ].join('\n'),
    argumentHelp: tableArguments,
    examples: [
      'table blast-radius mairie mairie metier.demandes_rdv --xid 1234',
      'table blast-radius mairie mairie metier.demandes_rdv --xid 1234 --to 2026-11-21T09:00:00Z --json',
    ],
    options: [
      new Option('--xid <number>', 'the transaction (reprise wal transactions)')
        .argParser(parseXid)
        .makeOptionMandatory(),
      timeOption('--to <time>', 'count later changes until then (default: all that the WAL has)'),
      policyOption('the first that leads to the transaction'),
      new Option('--samples <count>', 'rows that are shown').argParser(countBetween(0, 10_000)).default(20),
    ],
    long: true,
    run: blastRadius,
  });
}

async function blastRadius(
  cli: Cli,
  [cluster = '', database = '', name = '']: readonly string[],
  options: BlastRadiusOptions & CommonOptions,
): Promise<void> {
  await cli.cluster(cluster);
  const { xid, to, policy, samples } = options;
  if (policy !== undefined) await cli.policy(cluster, policy);
  const order: BlastRadiusOrder = { database, table: parseTableName(name), xid, to, policy, samples };
  const request = { cluster, requester: cli.person(undefined), order };
  await cli.withTemporal(async (session) => {
    const operation = await startBlastRadius(session, request);
    const { workflowId, operationId } = operation;
    if (options.detach) return cli.print(await detached(cli, session, workflowId), detachedText);
    const { host, file, fileUntil, ...found } = await waitFor<BlastRadiusOutput>(cli, session, operation, options);
    const rows = await rowsHere(file, operationId);
    const view = {
      ...{ workflowId, cluster, ...found, ways: waysBack(cluster, found, policy) },
      ...{ key: rows?.key ?? [], samples: (rows?.samples ?? []).slice(0, samples) },
      conflicts: (rows?.conflicts ?? []).slice(0, samples),
      file: { host, path: file, until: fileUntil, shown: rows !== null },
    };
    await cli.print(view, blastRadiusText);
  });
}

/** Rows are never in Temporal's history: on the host itself, whoever may read its file sees them. */
async function rowsHere(file: string, operationId: string): Promise<DamagedRows | null> {
  try {
    const rows = JSON.parse(await readFile(file, 'utf8')) as DamagedRows;
    return rows.operationId === operationId ? rows : null;
  } catch {
    return null;
  }
}
