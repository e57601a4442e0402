import { applyWatches } from '../client/schedules/apply-watches.js';
import { runPass } from './pass.js';
import type { LossResult, PassResult } from './result.js';
import { CLUSTER } from './settings.js';
import type { Stage } from './stage.js';

/** The scenario `instance-loss`: the cluster is lost twice, and recovered. */
export async function loseTwice(stage: Stage): Promise<LossResult> {
  const { narrator, session, config } = stage;
  await applyWatches(session, config);
  narrator.say(`a watch looks at ${CLUSTER} every second`);

  const passes: PassResult[] = [];
  narrator.chapter('First pass: a client writes, then the data files are lost; pg_wal is still readable');
  const first = await runPass(stage, 'data-files', passes);
  passes.push(first);
  narrator.chapter('Second pass: a client writes, then the whole directory is lost, its WAL too');
  passes.push(await runPass(stage, 'whole-directory', passes));
  return {
    ...first,
    scenario: 'instance-loss',
    recovered: passes.every(({ recovered }) => recovered),
    passes,
  };
}
