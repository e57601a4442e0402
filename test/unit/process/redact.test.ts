import { describe, expect, it } from '@jest/globals';
import { tailOfText, errorLine } from '../../../src/files/tail.js';
import { redact } from '../../../src/domain/text/redact.js';
import { cpuMs } from '../../helpers/cpu-time.js';

describe('F39: secrets do not leave a tool’s output', () => {
  it.each([
    ['postgres://u:s3cret@db.example.org:5432/x', 'postgres://u:***@db.example.org:5432/x'],
    ['postgres://u:s3/c@ret@db/x', 'postgres://u:***@db/x'],
    ['host=db password=s3cret user=u', 'host=db password=*** user=u'],
    [`password='s3 \\' cret' user=u`, 'password=*** user=u'],
    ['PGPASSWORD=s3cret pg_dump', 'PGPASSWORD=*** pg_dump'],
    ['{"password": "s3cret", "user": "u"}', '{"password": ***, "user": "u"}'],
    [`CREATE ROLE u PASSWORD 's3''cret' LOGIN`, 'CREATE ROLE u PASSWORD *** LOGIN'],
    ['SCRAM-SHA-256$4096:c2FsdA==$a+b/c=:d', '***'],
    ['md50123456789abcdef0123456789abcdef', '***'],
    ['key AKIAABCDEFGHIJKLMNOP here', 'key *** here'],
    ['aws_secret_access_key = s3cret/+=', 'aws_secret_access_key = ***'],
    ['repo1-s3-key-secret=s3cret', 'repo1-s3-key-secret=***'],
    ['--repo1-cipher-pass=s3cret', '--repo1-cipher-pass=***'],
    ['Authorization: AWS4-HMAC-SHA256 Credential=x', 'Authorization: ***'],
    ['sent Bearer abc.def-g', 'sent Bearer ***'],
    ['?X-Amz-Signature=abcd&X-Amz-Date=1', '?X-Amz-Signature=***&X-Amz-Date=1'],
    ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----', '***'],
  ])('%s', (text, expected) => {
    expect(redact(text)).toBe(expected);
  });

  it.each([
    ['DETAIL:  Key (email)=(a@b.org) already exists.', 'DETAIL:  Key (email)=(***) already exists.'],
    ['DETAIL:  Failing row contains (1, Dupont,\n 0612).', 'DETAIL:  Failing row contains (***)'],
    [
      'CONTEXT:  COPY demandes_rdv, line 3, column nom: "Dupont"',
      'CONTEXT:  COPY demandes_rdv, line 3, column nom: "***"',
    ],
    ['ERROR:  invalid input syntax for type integer: "Dupont"', 'ERROR:  invalid input syntax for type integer: "***"'],
  ])('nor row values: %s', (text, expected) => {
    expect(redact(text)).toBe(expected);
  });

  it.each([
    'pg_dump: error: connection to server at "db" (10.0.0.1), port 5432 failed: FATAL:  password authentication failed for user "u"',
    'ERROR:  relation "metier.demandes_rdv" does not exist',
    'https://db.example.org:8080/path',
  ])('what is no secret stays: %s', (text) => {
    expect(redact(text)).toBe(text);
  });

  it('long hostile lines cost no time', () => {
    const began = cpuMs();
    redact('password'.repeat(2_000) + 'a://b:'.repeat(2_000) + 'Key ('.repeat(2_000));
    expect(cpuMs() - began).toBeLessThan(5_000);
  });
});

it('the telling line is the last one that speaks of an error', () => {
  expect(errorLine(tailOfText('a\npg_dump: error: query failed\npg_dump: detail: Query was: SELECT 1\n'))).toBe(
    'pg_dump: error: query failed',
  );
  expect(errorLine('one\ntwo\n\n')).toBe('two');
  expect(errorLine('')).toBe('');
});
