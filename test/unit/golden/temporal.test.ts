import { describe, expect, it } from '@jest/globals';
import { createControlActivities } from '../../../src/activities/control/control.js';
import { createHostActivities } from '../../../src/activities/index.js';
import * as names from '../../../src/domain/operation/names.js';
import * as workflows from '../../../src/workflows/index.js';
import { golden } from '../../helpers/golden.js';
import { section } from '../../helpers/shape.js';

/** Whatever is read of it is there, and can be called: activities are made, never run. */
const anything: never = new Proxy(() => undefined, {
  get: (_target, name) => (typeof name === 'symbol' ? undefined : anything),
  apply: () => anything,
}) as never;

/** What the code calls them is its own affair. */
const valuesOf = (table: Readonly<Record<string, string>>): string[] => Object.values(table).toSorted();

describe('names in Temporal are public API', () => {
  it('queues, workflow types, signals, updates, queries, search attributes and ids are what histories and schedules hold', async () => {
    const made = [
      section('queues', [
        names.CONTROL_QUEUE,
        names.lightQueue('HOST'),
        names.heavyQueue('HOST'),
        names.recoveryQueue('HOST'),
        names.mediaQueue('HOST'),
        names.watchQueue('HOST'),
      ]),
      section('workflow types', valuesOf(names.workflowTypes)),
      section('signals', valuesOf(names.signalNames)),
      section('updates', valuesOf(names.updateNames)),
      section('queries', valuesOf(names.queryNames)),
      section('search attributes', valuesOf(names.searchAttributes)),
      section('workflow ids', [
        names.backupWorkflowId('CLUSTER', 'POLICY'),
        names.rotateWorkflowId('CLUSTER', 'POLICY'),
        names.adoptWorkflowId('CLUSTER'),
        names.recoverWorkflowId('CLUSTER', 'OPERATION'),
        names.mediaWorkflowId('CLUSTER', 'OPERATION'),
        names.verifyMediaWorkflowId('CLUSTER', 'MEDIA'),
        names.incidentWorkflowId('CLUSTER', 'SCENARIO', 'OPERATION'),
        names.archiveWorkflowId('CLUSTER', 'POLICY'),
        names.blastRadiusWorkflowId('CLUSTER', 'OPERATION'),
        names.watchWorkflowId('CLUSTER'),
        names.lockWorkflowId('CLUSTER'),
        names.slotsWorkflowId('HOST', 'heavy'),
        names.notifyWorkflowId('CLUSTER', 'OPERATION', 'KEY'),
        names.notifyWorkflowId(null, 'OPERATION', 'KEY'),
      ]),
      section('schedule ids', [names.scheduleId('CLUSTER', 'POLICY')]),
    ].join('\n');
    expect(made).toBe(await golden(new URL('temporal-names.golden.txt', import.meta.url), made));
  });

  it('workers offer the activities and workflows that histories name', async () => {
    const made = [
      section('activities of the queue reprise', Object.keys(createControlActivities(anything)).toSorted()),
      section('activities of the queues of a host', Object.keys(createHostActivities(anything)).toSorted()),
      section('workflows', Object.keys(workflows).toSorted()),
    ].join('\n');
    expect(made).toBe(await golden(new URL('temporal-offered.golden.txt', import.meta.url), made));
  });
});
