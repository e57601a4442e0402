import { expect, it } from '@jest/globals';
import { maskSecrets } from '../../../src/postgres/recovery/configuration-mask.js';

it.each([
  [
    "primary_conninfo = 'host=db1 user=rep password=s3cret sslmode=verify-full'",
    "primary_conninfo = 'host=db1 user=rep password=*** sslmode=verify-full'",
  ],
  [
    "primary_conninfo = 'host=db1 password=''it is s3cret'' sslmode=require'  # standby",
    "primary_conninfo = 'host=db1 password=***'  # standby",
  ],
  ["primary_conninfo='postgresql://rep:s3c@ret@db1/x'", "primary_conninfo='postgresql://rep:***@db1/x'"],
  [
    'host all all 10.0.0.0/8 ldap ldapserver=l ldapbindpasswd="s3cret x" ldapbasedn="dc=x"',
    'host all all 10.0.0.0/8 ldap ldapserver=l ldapbindpasswd=*** ldapbasedn="dc=x"',
  ],
  [
    'host all all 0/0 radius radiusservers=r radiussecrets="""s3cret"",""s3cret2"""',
    'host all all 0/0 radius radiusservers=r radiussecrets=***',
  ],
  [
    "archive_command = 'PGPASSWORD=s3cret AWS_SECRET_ACCESS_KEY=s3cret push %p'",
    "archive_command = 'PGPASSWORD=*** AWS_SECRET_ACCESS_KEY=*** push %p'",
  ],
  [
    "archive_command = 'WALG_LIBSODIUM_KEY=s3cret AZURE_STORAGE_KEY=s3cret PGBACKREST_REPO1_CIPHER_PASS=s3cret push %p'",
    "archive_command = 'WALG_LIBSODIUM_KEY=*** AZURE_STORAGE_KEY=*** PGBACKREST_REPO1_CIPHER_PASS=*** push %p'",
  ],
  ["ssl_passphrase_command = 'echo s3cret'", "ssl_passphrase_command = '***'"],
  ["  vault.token = 's3cret'", "  vault.token = '***'"],
])('F39: %s', (line, masked) => {
  const found = maskSecrets(`${line}\nport = 5432\n`);
  expect(found.text).toBe(`${masked}\nport = 5432\n`);
  expect(found.text).not.toContain('s3c');
  expect(found.masked).toBeGreaterThan(0);
});

it.each([
  'password_encryption = scram-sha-256',
  "ssl_key_file = '/etc/ssl/private/server.key'",
  'host all all 127.0.0.1/32 scram-sha-256',
  "krb_server_keyfile = 'x'",
  'local all all password',
  "#ssl_passphrase_command = ''\t\t# (change requires restart)",
  '#ssl_passphrase_command_supports_reload = off',
])('what contains no secret stays: %s', (line) => {
  expect(maskSecrets(line)).toEqual({ text: line, masked: 0 });
});
