import { describe, expect, it } from '@jest/globals';
import type { ConnectionConfig } from '../../../src/domain/config.js';
import { databaseError } from '../../../src/postgres/connection/database-errors.js';

const connection: ConnectionConfig = { host: '/run', port: 5432, user: 'reprise', maintenanceDatabase: 'postgres' };

function hintFor(message: string): string | undefined {
  return databaseError(Object.assign(new Error(message), { code: '42501' }), connection, 'postgres').hint;
}

describe('a missing right', () => {
  it('is told with the statement that gives it', () => {
    expect(hintFor('permission denied for function pg_switch_wal')).toBe(
      'As a superuser, in the database "postgres": GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal TO "reprise";',
    );
    expect(hintFor('permission denied for table app')).toContain('reprise, the user of the connection');
  });
});
