import { beforeAll, describe, expect, it } from '@jest/globals';
import { masked } from '../../../src/config/show.js';
import { makeAgeKey } from '../../helpers/age.js';
import type { AgeKey } from '../../helpers/age.js';
import { complaint, parsed, valid, with_ } from './given.js';

let key: AgeKey;
let escrow: AgeKey;
beforeAll(async () => {
  [key, escrow] = await Promise.all([makeAgeKey(), makeAgeKey()]);
});

const policy = (lines: string, text = valid): string =>
  with_('engine: logical', `engine: logical\n${lines}`.replaceAll('\n', '\n        '), text);
const physical = '      physical: { engine: pgbackrest, options: { stanza: a, config: b } }\n';
const repository = (encryption: string, text = valid): string =>
  with_(
    'clusters:',
    `repositories: { local: { type: directory, path: ./repo, encryption: ${encryption} } }\nclusters:`,
    text,
  );

describe('S1: encryption of what a policy writes', () => {
  it('a policy names recipients and a key, paths count from the folder of the file', () => {
    const text = policy(
      `encryption:\n  recipients: [${key.recipient}, ${escrow.recipient}]\n  recipients_file: more.txt\n  identity: { file: keys/host.txt }`,
    );
    expect(parsed(text).clusters['mairie']?.policies['dump']?.encryption).toEqual({
      recipients: [key.recipient, escrow.recipient],
      recipientsFile: '/etc/reprise/more.txt',
      identity: { file: '/etc/reprise/keys/host.txt' },
    });
    expect(parsed(valid).clusters['mairie']?.policies['dump']).not.toHaveProperty('encryption');
    expect(parsed(text).digest).not.toBe(parsed(valid).digest);
  });

  it("that of a repository is its policies', their own goes before it, and an engine that encrypts by itself is left alone", () => {
    const ofRepository = `{ recipients: [${key.recipient}], identity: { command: [pass, show, age] } }`;
    const config = parsed(repository(ofRepository, `${valid}${physical}`));
    expect(config.clusters['mairie']?.policies['dump']?.encryption).toEqual({
      recipients: [key.recipient],
      identity: { command: ['pass', 'show', 'age'] },
    });
    expect(config.clusters['mairie']?.policies['physical']).not.toHaveProperty('encryption');
    expect(config.repositories['local']?.options).toEqual({ path: '/etc/reprise/repo' });
    const own = policy(`proof: none\nencryption: { recipients: [${escrow.recipient}] }`);
    expect(parsed(repository(ofRepository, own)).clusters['mairie']?.policies['dump']?.encryption).toEqual({
      recipients: [escrow.recipient],
    });
  });

  it('F38: each mistake is told with its place and what to write', () => {
    const slip = `${key.recipient.slice(0, -1)}${key.recipient.endsWith('q') ? 'p' : 'q'}`;
    const notAKey = 'this is no public key of age';
    expect(complaint(policy(`encryption: { recipients: [${slip}], identity: { file: k } }`))[0]).toBe(
      `reprise.yml:10:36: ${notAKey}`,
    );
    expect(complaint(policy('encryption: { recipients: [] , identity: { file: k } }'))[0]).toContain(
      'reprise.yml:10:9: encryption names no recipient',
    );
    expect(complaint(policy(`encryption: { recipients: [${key.recipient}], identity: {} }`))[0]).toContain(
      'expected file: or command:, one of them',
    );
    expect(
      complaint(policy(`encryption: { recipients: [${key.recipient}], identity: { file: k, command: [c] } }`))[0],
    ).toContain('expected file: or command:');
    expect(
      complaint(policy(`encryption: { recipients: [${key.recipient}], identity: { command: pass show age } }`))[0],
    ).toContain('expected a list, found text');
    expect(complaint(policy(`encryption: { recipients: [${key.recipient}], identty: { file: k } }`))).toContain(
      'HINT did you mean "identity"?',
    );
  });

  it('a proof that would need a key which the host has not is refused, and proof: none is not', () => {
    const lines = `encryption: { recipients: [${key.recipient}] }`;
    expect(complaint(policy(lines))).toEqual([
      expect.stringContaining('proof: verify reads every backup, and encryption names no identity'),
      expect.stringContaining('HINT add encryption.identity'),
    ]);
    expect(complaint(policy(`proof: restore\n${lines}`))[0]).toContain(
      'reprise.yml:10:16: proof: restore reads every backup',
    );
    expect(parsed(policy(`proof: none\n${lines}`)).clusters['mairie']?.policies['dump']?.proof).toBe('none');
  });

  it('S3: a policy whose engine encrypts by itself is told where', () => {
    const text = `${valid}${physical.replace('engine: pgbackrest,', `engine: pgbackrest, encryption: { recipients: [${key.recipient}], identity: { file: k } },`)}`;
    expect(complaint(text)).toEqual([
      'reprise.yml:10:39: what engine pgbackrest writes is not encrypted by Reprise',
      expect.stringContaining('repo1-cipher-type'),
    ]);
  });

  it('F39: a private key in the file is refused without being shown', () => {
    const told = complaint(policy(`encryption: { recipients: [${key.secret}], identity: { file: k } }`)).join('\n');
    expect(told).toContain('this is a private key');
    expect(told).not.toContain(key.secret);
    const inArgv = complaint(
      policy(`encryption: { recipients: [${key.recipient}], identity: { command: [echo, ${key.secret}] } }`),
    ).join('\n');
    expect(inArgv).toContain('this is a private key');
    expect(inArgv).not.toContain(key.secret);
    expect(JSON.stringify(masked({ argv: ['echo', key.secret], key: key.recipient }))).toBe(
      JSON.stringify({ argv: ['echo', '***'], key: key.recipient }),
    );
  });
});
