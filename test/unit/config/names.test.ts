import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { complaint, parsed, valid, with_ } from './given.js';

const quoted = (text: string) => JSON.stringify(text);
const nameHint = 'HINT use letters, digits, "_", "-" and single dots, 63 at most, with a letter or a digit first';

describe('O6: the previous names of a policy', () => {
  const renamed = (names: string) => with_('engine: logical', `engine: logical\n        previous_names: ${names}`);

  it('are its own', () => {
    expect(parsed(renamed('[nightly, weekly]')).clusters['mairie']?.policies['dump']?.previousNames).toEqual([
      'nightly',
      'weekly',
    ]);
    expect(parsed(valid).clusters['mairie']?.policies['dump']).not.toHaveProperty('previousNames');
  });

  it.each([
    ['[dump]', 'dump is the name of a policy that there is'],
    ['[a, a]', 'a is named twice'],
    ['["../x"]', '"../x" is no name for a policy'],
    ['[]', 'reprise.yml:10:9: previous_names may not be empty'],
  ])('%s is refused', (names, said) => {
    expect(complaint(renamed(names)).join()).toContain(said);
  });
});

describe('F37: names become paths, workflow ids and queues', () => {
  const hostile = [
    'a/b',
    '../x',
    '..',
    'a..b',
    '.hidden',
    'a:b',
    '-rf',
    'a b',
    'a\nb',
    'a\u0000b',
    'a\u202eb',
    'a\\b',
    '$(id)',
    '',
    'x'.repeat(64),
    'e\u0301',
  ];

  test.each<[string, (name: string) => string, string]>([
    ['cluster', (name) => with_('mairie:', `${quoted(name)}:`), 'reprise.yml:3:3'],
    ['policy', (name) => with_('dump:', `${quoted(name)}:`), 'reprise.yml:8:7'],
    ['host', (name) => with_('version: 1', `version: 1\nhosts: { ${quoted(name)}: {} }`), 'reprise.yml:2:10'],
    [
      'repository',
      (name) => with_('version: 1', `version: 1\nrepositories: { ${quoted(name)}: { type: directory, path: x } }`),
      'reprise.yml:2:17',
    ],
    [
      'hook',
      (name) => with_('    databases', `    hooks: { ${quoted(name)}: { argv: [x] } }\n    databases`),
      'reprise.yml:6:14',
    ],
    ['contact', (name) => `${valid}contacts: { ${quoted(name)}: {} }\n`, 'reprise.yml:10:13'],
  ])('a hostile name of a %s is refused', (what, text, place) => {
    for (const name of hostile) {
      expect(complaint(text(name))).toEqual([`${place}: ${quoted(name)} is no name for a ${what}`, nameHint]);
    }
    for (const name of ['a', 'préfecture', 'mairie-2.prod', '15', 'constructor'])
      expect(() => parsed(text(name))).not.toThrow();
  });

  it('a name that every object has finds nothing that the file does not hold', () => {
    const { clusters, hosts } = parsed(valid);
    expect([clusters['constructor'], hosts['toString'], clusters['mairie']?.policies['valueOf']]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('no name that is taken leaves the folder <cluster>/<policy>', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 8 }), (name) => {
        let taken: string[];
        try {
          taken = Object.keys(parsed(with_('dump:', `${quoted(name)}:`)).clusters['mairie']?.policies ?? {});
        } catch {
          return true;
        }
        return (
          taken.length === 1 &&
          taken[0] === name &&
          new URL(`file:///r/c/${encodeURIComponent(name)}/f`).pathname.split('/').length === 5 &&
          !/[/\\:\s]|\.\.|^[.-]/.test(name)
        );
      }),
      { numRuns: 60 },
    );
  });
});

describe('F35: a database may be called anything', () => {
  const databases = (...names: string[]) => with_('[mairie]', JSON.stringify(names));

  it('quotes, blanks, newlines, unicode, dashes, shell and SQL are kept as they are', () => {
    const names = [
      'a"b',
      "it's",
      'a b',
      'a\nb',
      'préfecture',
      '-d',
      '$(reboot)',
      '"; DROP TABLE x; --',
      'host=evil user=x',
      '../x',
      '😀',
    ];
    expect(parsed(databases(...names)).clusters['mairie']?.databases).toEqual(names);
  });

  it('but for a NUL, nothing at all, or more than PostgreSQL keeps', () => {
    expect(complaint(databases('a\u0000b'))[0]).toBe('reprise.yml:6:17: the name of a database may not hold a NUL');
    expect(complaint(databases(''))[0]).toBe('reprise.yml:6:17: the name of a database may not be empty');
    expect(complaint(databases('é'.repeat(32)))[0]).toBe(
      'reprise.yml:6:17: the name of a database may have 63 bytes at most',
    );
  });

  it('any other name comes through unchanged', () => {
    const name = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 15 })
      .filter((text) => !text.includes('\0') && text === Buffer.from(text).toString());
    fc.assert(
      fc.property(name, (text) => parsed(databases(text)).clusters['mairie']?.databases[0] === text),
      { numRuns: 60 },
    );
  });
});

describe('hostile values', () => {
  it('a NUL in an argument, a role, a query or a path is refused', () => {
    const line = (text: string) => complaint(with_('    databases', `    ${text}\n    databases`))[0];
    expect(line('hooks: { a: { argv: [x, "a\\0b"] } }')).toBe('reprise.yml:6:29: the text may not hold a NUL');
    expect(line('checks: { a: { type: sql, database: x, query: "a\\0b", min: 1 } }')).toBe(
      'reprise.yml:6:51: the text may not hold a NUL',
    );
    expect(complaint(with_('user: reprise', 'user: "a\\0b"'))[0]).toBe('reprise.yml:4:25: the text may not hold a NUL');
    expect(complaint(with_('/data', '"/da\\nta"'))[0]).toMatch(/^reprise\.yml:5:15: expected a path/);
  });

  it('F36: a connection string is no host', () => {
    for (const host of ['host=evil', 'postgres://u:hunter2@h/db', 'a,b', 'a b']) {
      const told = complaint(with_('user: reprise', `user: x, host: "${host}"`)).join();
      expect(told).toMatch(/^reprise\.yml:4:34: this is no host name/);
      expect(told).not.toContain('hunter2');
    }
    expect(
      parsed(with_('user: reprise', 'user: x, host: /var/run/postgresql')).clusters['mairie']?.connection.host,
    ).toBe('/var/run/postgresql');
  });

  it('whatever stands in the place of a value, the answer is a config or config-invalid', () => {
    const places = ['{ user: reprise }', '[mairie]', 'logical', '/data', 'reprise', '1'];
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.jsonValue({ maxDepth: 2 }), (place, value) => {
        const text = with_(place, JSON.stringify(value));
        try {
          parsed(text);
        } catch {
          expect(complaint(text)[0]).toMatch(/^reprise\.yml:\d+:\d+: [^A-Z]/);
        }
      }),
      { numRuns: 60 },
    );
  });
});
