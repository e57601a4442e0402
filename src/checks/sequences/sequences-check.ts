import { visible } from '../../domain/text/text.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { sequencesBehind } from '../../postgres/content/sequence-values.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, namedOf, ofRestored, passed } from '../outcomes.js';

/** Whether each sequence that belongs to a column is at or after the greatest value in it: behind it, the next row would be refused. */
export function runSequencesCheck(context: CheckContext): Promise<CheckOutcome> {
  return ofRestored(context, async (restored) => {
    const { databases } = await restored.tables();
    const behind: string[] = [];
    let sequences = 0;
    for (const database of databases) {
      context.signal.throwIfAborted();
      const found = await withClient(context.connection, database, (client) => sequencesBehind(client, context.signal));
      sequences += found.sequences;
      behind.push(...found.behind.map(({ column }) => `${visible(database)}: ${column}`));
    }
    return behind.length === 0
      ? passed(`${sequences} sequences are not behind their columns`)
      : failed(
          `sequences are behind the values in their columns: ${namedOf(behind)}`,
          'see whether it is so in production too: SELECT max(COLUMN), and last_value of the sequence; set it with setval()',
        );
  });
}
