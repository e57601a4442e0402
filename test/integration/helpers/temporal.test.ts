import { expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startTemporalServer } from '../../helpers/temporal-server.js';

failOnLeakedProcesses();

test('the shared server knows the search attributes', async () => {
  const connection = await Connection.connect({ address: process.env['REPRISE_TEST_TEMPORAL_ADDRESS'] as string });
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
    expect(Object.keys(customAttributes)).toEqual(
      expect.arrayContaining(['RepriseState', 'RepriseCluster', 'RepriseKind']),
    );
  } finally {
    await connection.close();
  }
});

test('a server of its own starts and stops', async () => {
  const server = await startTemporalServer();
  const connection = await Connection.connect({ address: server.address });
  const client = new Client({ connection });
  await expect(client.workflow.getHandle('nothing').describe()).rejects.toThrow('not found');
  await connection.close();
  await server.stop();
});
