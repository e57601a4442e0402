import { expect, it } from '@jest/globals';
import { plainFindings as ofTemporal } from '../../../src/client/checks/temporal-findings.js';
import type { TemporalSettings } from '../../../src/client/connect.js';
import { plainFindings as ofRepository } from '../../../src/doctor/repository.js';
import { readS3Options } from '../../../src/storage/s3/options.js';

it('U7: doctor warns of an S3 endpoint elsewhere without TLS', () => {
  const found = (endpoint?: string) =>
    ofRepository({
      name: 'offsite',
      type: 's3',
      options: readS3Options({ bucket: 'backups', ...(endpoint === undefined ? {} : { endpoint }) }),
    });
  expect(found('http://minio.example.org:9000')).toEqual([
    {
      check: 'repository/offsite',
      level: 'warning',
      message: expect.stringContaining('http://minio.example.org:9000 is reached without TLS'),
      fix: expect.stringContaining('https://'),
    },
  ]);
  expect(['https://minio.example.org', 'http://127.0.0.1:9000', undefined].flatMap(found)).toEqual([]);
  expect(ofRepository({ name: 'local', type: 'directory', options: { path: '/backups' } })).toEqual([]);
});

it('U7: and of a Temporal server elsewhere without TLS', () => {
  const found = (address: string, connection: TemporalSettings['connection'] = {}) =>
    ofTemporal({ address, namespace: 'default', webUi: '', origin: 'flag', connection });
  expect(found('temporal.example.org:7233')).toMatchObject([{ check: 'connection/temporal', level: 'warning' }]);
  expect(found('10.0.0.7:7233', { tls: false })).toHaveLength(1);
  expect(found('temporal.example.org:7233', { tls: true })).toEqual([]);
  expect(found('x.tmprl.cloud:7233', { apiKey: 'k' })).toEqual([]);
  expect([...found('127.0.0.1:7233'), ...found('localhost:7233'), ...found('[::1]:7233')]).toEqual([]);
});
