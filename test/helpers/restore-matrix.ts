/** A kind of object, with the statements that make one in a database of a superuser's. */
export interface MatrixRow {
  readonly what: string;
  readonly sql: readonly string[];
  /** What PostgreSQL says to a role without rights that makes it; absent: it makes one. */
  readonly refused?: RegExp;
  /** The reason in the plan and in docs/logical.md. */
  readonly because?: string;
  /** PostgreSQL's contrib is needed, or another part that not every build has. */
  readonly extensions?: readonly string[];
  readonly from?: number;
  readonly icu?: boolean;
  /** Its source has it from a superuser, as it has extensions. */
  readonly bySuperuser?: boolean;
  /** Of the statements, the one that is refused; the ones before it are a superuser's. Default: the last. */
  readonly refusedAt?: number;
}

/** As every owner of a schema makes them. `app` owns the schema `app`; extensions are a superuser's. */
export const RESTORED: readonly MatrixRow[] = [
  {
    what: 'tables with identity, serial, generated and default columns, and constraints of every kind',
    sql: [
      'CREATE TABLE app.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial UNIQUE, g int GENERATED ALWAYS AS (1 + 1) STORED, n text DEFAULT now() NOT NULL, CHECK (id > 0))',
      'CREATE TABLE app.f (t int REFERENCES app.t DEFERRABLE INITIALLY DEFERRED)',
      'ALTER TABLE app.f ADD CONSTRAINT late CHECK (t > 0) NOT VALID',
      'CREATE TABLE app.x (r int4range, EXCLUDE USING gist (r WITH &&))',
      "INSERT INTO app.t (n) VALUES ('a'), ('b')",
      'INSERT INTO app.f SELECT id FROM app.t',
    ],
  },
  {
    what: 'inheritance, partitions by range, list and hash, default partitions',
    sql: [
      'CREATE TABLE app.parent (a int)',
      'CREATE TABLE app.child (b int) INHERITS (app.parent)',
      'CREATE TABLE app.part (k int, v text) PARTITION BY RANGE (k)',
      'CREATE TABLE app.part1 PARTITION OF app.part FOR VALUES FROM (0) TO (10)',
      'CREATE TABLE app.partd PARTITION OF app.part DEFAULT',
      'CREATE INDEX ON app.part (k)',
      'CREATE TABLE app.hashed (k text) PARTITION BY HASH (k)',
      'CREATE TABLE app.hashed0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 1, REMAINDER 0)',
      "INSERT INTO app.part VALUES (1, 'a'), (99, 'b')",
    ],
  },
  {
    what: 'functions, procedures and aggregates in SQL and PL/pgSQL; SECURITY DEFINER; SET search_path',
    sql: [
      'CREATE FUNCTION app.plus(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 + 1; END $$',
      'CREATE FUNCTION app.atomic(int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT $1 + 2; END',
      "CREATE FUNCTION app.definer() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = app, pg_temp SET work_mem = '1MB' AS $$ SELECT 'x'::text $$",
      'CREATE PROCEDURE app.run(a int DEFAULT 1) LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$',
      "CREATE AGGREGATE app.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0')",
      'CREATE TABLE app.checked (a int CHECK (app.plus(a) > 0))',
      'CREATE INDEX ON app.checked (app.plus(a))',
      'INSERT INTO app.checked VALUES (1)',
    ],
  },
  {
    what: 'enums, composite types, ranges, domains, and casts from and to them',
    sql: [
      "CREATE TYPE app.mood AS ENUM ('good', 'bad')",
      'CREATE TYPE app.pair AS (a int, b text)',
      'CREATE TYPE app.span AS RANGE (subtype = float8, subtype_diff = float8mi)',
      'CREATE DOMAIN app.positive AS int CHECK (VALUE > 0)',
      'CREATE FUNCTION app.mood(text) RETURNS app.mood LANGUAGE sql IMMUTABLE AS $$ SELECT $1::app.mood $$',
      'CREATE CAST (text AS app.mood) WITH FUNCTION app.mood(text) AS ASSIGNMENT',
    ],
  },
  {
    what: 'views, rules, materialized views, triggers, row security with policies',
    sql: [
      'CREATE TABLE app.base (id int PRIMARY KEY, a int)',
      'CREATE VIEW app.v WITH (security_barrier) AS SELECT * FROM app.base',
      'CREATE RULE nothing AS ON INSERT TO app.v DO INSTEAD NOTHING',
      'CREATE MATERIALIZED VIEW app.mv AS SELECT count(*) FROM app.base',
      'CREATE UNIQUE INDEX ON app.mv (count)',
      'CREATE FUNCTION app.tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
      'CREATE TRIGGER tg BEFORE INSERT ON app.base FOR EACH ROW EXECUTE FUNCTION app.tg()',
      'ALTER TABLE app.base ENABLE ALWAYS TRIGGER tg',
      'ALTER TABLE app.base ENABLE ROW LEVEL SECURITY',
      'CREATE POLICY few ON app.base USING (id < 5)',
      'INSERT INTO app.base VALUES (1, 1)',
    ],
  },
  {
    what: 'operators, conversions, collations, extended statistics, text search configurations and dictionaries',
    sql: [
      'CREATE OPERATOR app.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, RESTRICT = eqsel)',
      "CREATE CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
      'CREATE COLLATION app.c FROM "C"',
      'CREATE TABLE app.stat (a int, b int)',
      'CREATE STATISTICS app.st (ndistinct) ON a, b FROM app.stat',
      'CREATE TEXT SEARCH DICTIONARY app.dict (TEMPLATE = pg_catalog.simple)',
      'CREATE TEXT SEARCH CONFIGURATION app.conf (COPY = pg_catalog.french)',
      'ALTER TEXT SEARCH CONFIGURATION app.conf ALTER MAPPING FOR word WITH app.dict',
    ],
  },
  {
    what: 'ICU and nondeterministic collations',
    icu: true,
    sql: ["CREATE COLLATION app.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"],
  },
  {
    what: 'large objects, comments, default privileges, grants',
    sql: [
      "SELECT lo_from_bytea(4711, 'content')",
      "CREATE TABLE app.said (a int); COMMENT ON TABLE app.said IS 'a'; COMMENT ON COLUMN app.said.a IS 'b'",
      'ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC',
      'GRANT SELECT (a) ON app.said TO PUBLIC',
    ],
  },
  {
    what: 'virtual generated columns, constraints that are not enforced',
    from: 18,
    sql: [
      'CREATE TABLE app.v18 (a int CONSTRAINT there NOT NULL, b int GENERATED ALWAYS AS (a + 1) VIRTUAL, CONSTRAINT no CHECK (a > 0) NOT ENFORCED)',
    ],
  },
  {
    what: 'what uses the types, operator classes, functions and triggers of contrib',
    extensions: [
      'uuid-ossp',
      'hstore',
      'citext',
      'ltree',
      'cube',
      'seg',
      'isn',
      'pg_trgm',
      'btree_gist',
      'btree_gin',
      'intarray',
      'bloom',
      'unaccent',
      'insert_username',
      'pgcrypto',
      'tablefunc',
      'earthdistance',
      'fuzzystrmatch',
      'lo',
      'dblink',
      'pg_stat_statements',
    ],
    sql: [
      'CREATE TABLE app.ext (id uuid DEFAULT public.uuid_generate_v4() PRIMARY KEY, h hstore, c citext UNIQUE, l ltree, q cube, s seg, i isbn, a int[], t text, ip inet, EXCLUDE USING gist (ip inet_ops WITH =))',
      'CREATE INDEX ON app.ext USING gin (t gin_trgm_ops)',
      'CREATE INDEX ON app.ext USING gist (l)',
      'CREATE INDEX ON app.ext USING gin (a gin__int_ops)',
      'CREATE INDEX ON app.ext USING gin (h)',
      'CREATE TABLE app.bl (a int); CREATE INDEX ON app.bl USING bloom (a)',
      'CREATE TRIGGER who BEFORE UPDATE ON app.ext FOR EACH ROW EXECUTE FUNCTION insert_username(t)',
      'CREATE VIEW app.statements AS SELECT query FROM pg_stat_statements',
      "INSERT INTO app.ext (h, c, l, q, s, i, a, t) VALUES ('a=>1', 'X', 'a.b', '(1,2)', '1..2', '0-393-04002-X', '{1}', 'hello')",
    ],
  },
  {
    what: 'servers and foreign tables of postgres_fdw, with user mappings',
    bySuperuser: true,
    extensions: ['postgres_fdw'],
    sql: [
      "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'localhost')",
      "CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'x', password 'y')",
      'CREATE FOREIGN TABLE app.far (a int) SERVER elsewhere',
    ],
  },
  {
    what: 'publications and subscriptions',
    bySuperuser: true,
    sql: [
      'CREATE TABLE app.pub (a int PRIMARY KEY)',
      'CREATE PUBLICATION few FOR TABLE app.pub',
      'CREATE PUBLICATION everything FOR ALL TABLES',
      "CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
    ],
  },
  {
    what: 'event triggers',
    bySuperuser: true,
    sql: [
      'CREATE FUNCTION app.ev() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$',
      'CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION app.ev()',
    ],
  },
];

/** What PostgreSQL lets only a superuser make: `restore_as: superuser` restores it, and everything with it. */
export const REFUSED: readonly MatrixRow[] = [
  {
    what: 'functions in C, internal and untrusted languages (plpython3u, plperlu, ...)',
    sql: ["CREATE FUNCTION app.internal(int, int) RETURNS int LANGUAGE internal AS 'int4pl'"],
    refused: /permission denied for language internal/,
    because: 'language internal',
  },
  {
    what: 'functions marked LEAKPROOF',
    sql: ['CREATE FUNCTION app.leakproof() RETURNS int LANGUAGE sql LEAKPROOF AS $$ SELECT 1 $$'],
    refused: /only superuser can define a leakproof function/,
    because: 'leakproof',
  },
  {
    what: "functions with SET of a superuser's parameter (log_min_messages, session_replication_role, ...)",
    sql: ["CREATE FUNCTION app.quiet() RETURNS int LANGUAGE sql SET log_min_messages = 'error' AS $$ SELECT 1 $$"],
    refused: /permission denied to set parameter "log_min_messages"/,
    because: 'sets log_min_messages',
  },
  {
    what: 'aggregates whose state is of type internal',
    sql: [
      'CREATE AGGREGATE app.collected(anynonarray) (SFUNC = array_agg_transfn, STYPE = internal, FINALFUNC = array_agg_finalfn, FINALFUNC_EXTRA)',
    ],
    refused: /aggregate transition data type cannot be internal/,
    because: 'its state is of type internal',
  },
  {
    what: 'base types',
    sql: [
      'CREATE TYPE app.base',
      "CREATE FUNCTION app.base_in(cstring) RETURNS app.base LANGUAGE internal IMMUTABLE STRICT AS 'int4in'",
      "CREATE FUNCTION app.base_out(app.base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out'",
      'CREATE TYPE app.base (INPUT = app.base_in, OUTPUT = app.base_out, INTERNALLENGTH = 4, PASSEDBYVALUE)',
    ],
    refusedAt: 0,
    refused: /must be superuser to create a base type/,
    because: 'a base type',
  },
  {
    what: 'shell types',
    sql: ['CREATE TYPE app.shell'],
    refused: /must be superuser to create a base type/,
    because: 'a shell type',
  },
  {
    what: 'casts between types that are all built in or of an extension, and casts without a function',
    sql: ['CREATE CAST (int4range AS text) WITH INOUT'],
    refused: /must be owner of type/,
    because: 'a cast between types of others',
  },
  {
    what: 'operator classes and operator families',
    sql: ['CREATE OPERATOR CLASS app.ops FOR TYPE int USING btree AS OPERATOR 3 =, FUNCTION 1 btint4cmp(int, int)'],
    refused: /must be superuser to create an operator (?:family|class)/,
    because: 'only a superuser may make one',
  },
  {
    what: 'access methods',
    sql: ['CREATE ACCESS METHOD own TYPE TABLE HANDLER heap_tableam_handler'],
    refused: /permission denied to create access method/,
    because: 'only a superuser may make one',
  },
  {
    what: 'text search parsers and templates',
    sql: ['CREATE TEXT SEARCH TEMPLATE app.template (LEXIZE = dsimple_lexize)'],
    refused: /must be superuser to create text search templates/,
    because: 'only a superuser may make one',
  },
  {
    what: 'foreign-data wrappers of no extension',
    sql: ['CREATE FOREIGN DATA WRAPPER own'],
    refused: /permission denied to create foreign-data wrapper/,
    because: 'only a superuser may make one',
  },
  {
    what: 'foreign tables of file_fdw: they name files and programs of the host',
    extensions: ['file_fdw'],
    sql: [
      'CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; GRANT USAGE ON FOREIGN SERVER files TO PUBLIC',
      "CREATE FOREIGN TABLE app.passwd (a text) SERVER files OPTIONS (filename '/etc/passwd')",
    ],
    refused: /may specify the filename option of a file_fdw foreign table/,
    because: 'a file or program of the host',
  },
  {
    what: 'transforms',
    extensions: ['hstore'],
    sql: ['CREATE TRANSFORM FOR hstore LANGUAGE plpgsql (FROM SQL WITH FUNCTION prsd_lextype(internal))'],
    refused: /must be owner of type/,
    because: 'only a superuser may make one',
  },
];
