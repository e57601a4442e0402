import { expect, test } from '@jest/globals';
import { commandWarnings } from '../../../../src/engines/pgbackrest/preflight.js';

const options = { stanza: 'mairie', config: '/etc/pgbackrest/pgbackrest.conf' } as never;
const without = { get: () => undefined } as never;

test('O15: a backup that notes the rights of WAL files says what to type, and nothing where they are the owner’s alone', () => {
  const told = commandWarnings("pgbackrest --stanza='mairie' archive-push %p", options, without);
  expect(told).toEqual([
    expect.stringContaining(
      "ALTER SYSTEM SET archive_command = 'pgbackrest --stanza=''mairie'' --no-neutral-umask archive-push %p'; SELECT pg_reload_conf();",
    ),
  ]);
  expect(commandWarnings('pgbackrest --no-neutral-umask archive-push %p', options, without)).toEqual([]);
  expect(commandWarnings('pgbackrest archive-push %p', options, { get: () => 'n' } as never)).toEqual([]);
});
