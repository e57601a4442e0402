import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tempDir } from './temp.js';

const run = promisify(execFile);
const request = (keyFile: string, certFile: string, ...more: string[]): Promise<unknown> =>
  run('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', keyFile, '-out', certFile],
    ...more,
  ]);
const LOCAL = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];

interface Certificate {
  readonly key: string;
  readonly cert: string;
  readonly keyFile: string;
  readonly certFile: string;
}

/** A certificate of one day for 127.0.0.1 and localhost, signed by itself: `certFile` is its own authority. */
export async function certificate(): Promise<Certificate> {
  const directory = await tempDir('tls');
  const [keyFile, certFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  await request(keyFile, certFile, ...LOCAL);
  return read(keyFile, certFile);
}

/** The same, signed by an authority of its own, `authorityFile`. */
export async function signedCertificate(): Promise<Certificate & { readonly authorityFile: string }> {
  const directory = await tempDir('tls');
  const [authorityKey, authorityFile] = [join(directory, 'ca.key'), join(directory, 'ca.pem')];
  const [keyFile, certFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  await request(authorityKey, authorityFile, '-subj', '/CN=authority of a test');
  const signed = ['-CA', authorityFile, '-CAkey', authorityKey, '-addext', 'basicConstraints=critical,CA:FALSE'];
  await request(keyFile, certFile, ...LOCAL, ...signed);
  return { ...(await read(keyFile, certFile)), authorityFile };
}

async function read(keyFile: string, certFile: string): Promise<Certificate> {
  return { key: await readFile(keyFile, 'utf8'), cert: await readFile(certFile, 'utf8'), keyFile, certFile };
}
