import { describe, expect, it } from '@jest/globals';
import { complaint, parsed, valid, with_ } from './given.js';

const hooks = 'hooks: { stop: { argv: [a], undo: start }, start: { argv: [b] } }';
const tables = (text: string): string =>
  with_('    backups:', `    ${hooks}\n    tables:\n      ${text}\n    backups:`, valid);

describe('T4: how writes to a table are blocked is configured', () => {
  it('T4: by table, read as PostgreSQL reads its name', () => {
    const { clusters, warnings } = parsed(
      tables(`Metier.Rdv: { database: mairie, freeze: { by: revoke, roles: [app] }, hooks: [stop] }
      '"My Schema".x': { database: mairie, freeze: { by: trigger } }
      metier.plain: { database: mairie }`),
    );
    expect(Object.values(clusters['mairie']?.tables ?? {})).toEqual([
      {
        table: { schema: 'metier', table: 'rdv' },
        database: 'mairie',
        freeze: { by: 'revoke', roles: ['app'] },
        hooks: ['stop'],
      },
      { table: { schema: 'My Schema', table: 'x' }, database: 'mairie', freeze: { by: 'trigger' }, hooks: [] },
      { table: { schema: 'metier', table: 'plain' }, database: 'mairie', hooks: [] },
    ]);
    expect(warnings.filter(({ message }) => message.includes('never runs'))).toEqual([]);
  });

  it('T3: from which change on people are told of a table is configured, or that they are not', () => {
    const { clusters } = parsed(
      tables(
        `a.b: { database: mairie, suspect: { loss_percent: 10 } }
      a.c: { database: mairie, suspect: { enabled: false } }
      a.d: { database: mairie }`,
      ),
    );
    const of = (name: string) => clusters['mairie']?.tables?.[name];
    expect(of('a.b')?.suspect).toEqual({ loss: 0.1, growth: 2, least: 100 });
    expect(of('a.c')?.suspect).toBeNull();
    expect(of('a.d')).not.toHaveProperty('suspect');
    for (const wrong of ['loss_percent: 100', 'growth_percent: 0', 'min_rows: 0', 'loss: 0.5'])
      expect(complaint(tables(`a.b: { database: mairie, suspect: { ${wrong} } }`))).not.toEqual([]);
  });

  it('T7: who signs a repair off, and how long its rows are watched; durations in seconds', () => {
    const people = (text: string): string => `contacts: { qa: { mail: [qa@example.org] } }\n${tables(text)}`;
    const { clusters } = parsed(
      people(`a.b: { database: mairie, sign_off: { by: [qa] }, watch_after: 2h }
      a.c: { database: mairie, sign_off: { by: [qa], within: 30m } }`),
    );
    expect(Object.values(clusters['mairie']?.tables ?? {})).toMatchObject([
      { signOff: { by: ['qa'], withinSeconds: 4 * 3600 }, watchSeconds: 7200 },
      { signOff: { by: ['qa'], withinSeconds: 1800 } },
    ]);
    expect(complaint(people('a.b: { database: mairie, sign_off: { by: [nobody] } }')).join()).toContain('nobody');
  });

  it('T5: queries that are true of a coherent table are named, and have a time', () => {
    const { clusters } = parsed(
      tables(
        `a.b: { database: mairie, invariants: { enough: { query: "SELECT count(*) > 100000 FROM a.b" }, sane: { query: SELECT true, timeout: 90s } } }`,
      ),
    );
    expect(clusters['mairie']?.tables?.['a.b']?.invariants).toEqual({
      enough: { name: 'enough', query: 'SELECT count(*) > 100000 FROM a.b', timeoutSeconds: 300 },
      sane: { name: 'sane', query: 'SELECT true', timeoutSeconds: 90 },
    });
    for (const wrong of [
      'enough: { sql: SELECT true }',
      'enough: {}',
      '"a/b": { query: SELECT true }',
      'x: { query: "" }',
    ])
      expect(complaint(tables(`a.b: { database: mairie, invariants: { ${wrong} } }`))).not.toEqual([]);
  });

  it.each([
    ['rdv: { database: mairie }', '"rdv" is not the name of a table'],
    ['a.b: { database: mairie, freeze: { by: revoke } }', 'revoke needs roles'],
    ['a.b: { database: mairie, freeze: { by: trigger, roles: [app] } }', 'a trigger stops everybody'],
    ['a.b: { database: mairie, freeze: { by: lock } }', 'trigger'],
    ['a.b: { freeze: { by: trigger } }', 'database'],
    ['a.b: { database: mairie, hooks: [halt] }', 'unknown hook "halt"'],
    ['a.b: { database: mairie, hooks: [start] }', 'the hook start has no undo'],
    ['a.b: { database: mairie, hooks: [stop, stop] }', 'stop is named twice'],
    ['a.b: { database: mairie }\n      A.B: { database: mairie }', 'the same table as a.b'],
  ])('T4: refused: %s', (text, told) => {
    expect(complaint(tables(text)).join('\n')).toContain(told);
  });
});
