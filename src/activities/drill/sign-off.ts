import { openDrillFolder } from '../../records/drill-folder.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { DrillActivities } from '../api.js';
import { considerSignOff } from '../approval/sign-off.js';
import { openClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** A person's word on a drill is checked and kept on the staging host. */
export function signOffActivities(deps: HostDependencies): Pick<DrillActivities, 'recordSignOff'> {
  return {
    recordSignOff: wrapActivity('recordSignOff', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const { cluster, host } = clusterContext;
      const folder = openDrillFolder(host.stateDir, step.operationId);
      return considerSignOff(clusterContext, step, run, {
        ask: async () => ({
          ...{ one: 'drill', what: `drills of ${cluster.name}`, policy: cluster.drill?.signOff },
          isPlanned: (await folder.plan())?.digest === step.plan,
          earlier: await folder.signOff(),
          hints: {
            unknown: `see which there are: reprise drill list ${cluster.name}`,
            policy: `name them in reprise.yml: clusters.${cluster.name}.drill.sign_off: { by: [CONTACT] }`,
            used: 'what was said stays; run another drill where it was wrong',
          },
        }),
        save: (signOff) => folder.saveSignOff(signOff),
      });
    }),
  };
}
