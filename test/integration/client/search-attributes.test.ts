import { beforeAll, describe, expect, it } from '@jest/globals';
import { NativeConnection } from '@temporalio/worker';
import { registerSearchAttributes } from '../../../src/worker/search-attributes.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { startTemporalServer } from '../../helpers/temporal-server.js';
import { until } from '../../helpers/until.js';

const KEYWORD = 2;
const INT = 3;

let connection: NativeConnection;
beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  connection = await NativeConnection.connect({ address: server.address });
  onCleanup(() => connection.close());
});

async function namespace(name: string, types: Readonly<Record<string, number>>): Promise<string> {
  await connection.workflowService.registerNamespace({
    namespace: name,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as unknown as Long },
  });
  const { operatorService } = connection;
  await until(async () => {
    await operatorService.addSearchAttributes({ namespace: name, searchAttributes: types });
    return true;
  }, 'the new namespace takes search attributes');
  await until(async () => {
    const { customAttributes } = await operatorService.listSearchAttributes({ namespace: name });
    return Object.keys(types).every((type) => type in (customAttributes ?? {}));
  }, 'they are listed');
  return name;
}
type Long = never;

/** A server that keeps these calls to its administrators, as Temporal Cloud does. */
function administered(answers: () => Promise<never>): Parameters<typeof registerSearchAttributes>[0] {
  const operatorService = { listSearchAttributes: answers, addSearchAttributes: answers };
  return {
    operatorService: operatorService as unknown as NativeConnection['operatorService'],
    workflowService: connection.workflowService,
    withDeadline: (deadline, call) => connection.withDeadline(deadline, call),
  };
}
const denied = (): Promise<never> => Promise.reject(Object.assign(new Error('7 PERMISSION_DENIED'), { code: 7 }));

describe('L13: search attributes that cannot be added', () => {
  it('a worker does not start in a namespace that has no room for them, and says what to type', async () => {
    const full = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`Other${index}`, KEYWORD]));
    const name = await namespace('full', full);
    await expect(registerSearchAttributes(connection, name)).rejects.toMatchObject({
      code: 'privilege-missing',
      message: expect.stringContaining('lacks the search attributes RepriseState, RepriseCluster, RepriseKind'),
      hint: expect.stringContaining(
        'temporal operator search-attribute create --namespace full --name RepriseState --type Keyword --name RepriseCluster --type Keyword --name RepriseKind --type Keyword',
      ),
    });
  });

  it('one of another type is no use', async () => {
    const name = await namespace('typed', { RepriseState: INT });
    await expect(registerSearchAttributes(connection, name)).rejects.toMatchObject({
      code: 'privilege-missing',
      message: expect.stringContaining('RepriseState'),
    });
  });

  it('a server that keeps this to its administrators: there they are, and the worker starts', async () => {
    const Reprise = { RepriseState: KEYWORD, RepriseCluster: KEYWORD, RepriseKind: KEYWORD };
    const name = await namespace('prepared', Reprise);
    await until(async () => {
      await registerSearchAttributes(administered(denied), name);
      return true;
    }, 'the worker may start');
  });

  it('the same without them: the worker fails with the command of Temporal Cloud', async () => {
    const name = await namespace('unprepared', { Other: KEYWORD });
    await expect(registerSearchAttributes(administered(denied), name)).rejects.toMatchObject({
      code: 'privilege-missing',
      message: expect.stringContaining('PERMISSION_DENIED'),
      hint: expect.stringContaining(
        'tcld namespace search-attributes add --namespace unprepared --search-attribute "RepriseState=Keyword"',
      ),
    });
  });
});
