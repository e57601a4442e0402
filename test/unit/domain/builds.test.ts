import { describe, expect, it } from '@jest/globals';
import { buildIdOf, takesOver } from '../../../src/domain/operation/builds.js';
import { buildsWithWorker } from '../../../src/domain/operation/pollers.js';

const build = (version: string, digit = 'a'): string => buildIdOf(version, digit.repeat(64));

describe('L14: which build runs new workflows', () => {
  it('is named by the version and the digest of the bundle', () => {
    expect(build('0.1.0')).toBe('0.1.0-aaaaaaaaaaaa');
  });

  it.each([
    ['the first one', build('0.1.0'), null, [], true],
    ['a newer one', build('0.10.0'), build('0.9.9'), [build('0.9.9')], true],
    ['an older one beside a newer one', build('0.9.9'), build('0.10.0'), [build('0.10.0')], false],
    ['an older one where no worker of the newer one is left', build('0.9.9'), build('0.10.0'), [build('0.9.9')], true],
    ['another one of the same version, beside it', build('0.1.0', 'b'), build('0.1.0'), [build('0.1.0')], false],
    ['the current one', build('0.1.0'), build('0.1.0'), [], false],
  ])('%s', (_what, own, current, living, expected) => {
    expect(takesOver(own, current, living)).toBe(expected);
  });

  it('a build whose pollers are gone for more than a minute has no worker', () => {
    const poller = (buildId: string, seconds: number) => ({
      identity: '1@db1',
      deploymentOptions: { buildId },
      lastAccessTime: { seconds, nanos: 0 },
    });
    expect(buildsWithWorker([poller('old', 100), poller('new', 190)], 200_000)).toEqual(['new']);
  });
});
