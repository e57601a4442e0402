import { describe, expect, it } from '@jest/globals';
import {
  approversInWords,
  cannotAsk,
  unboundActions,
  whyNobodyApproves,
} from '../../../src/domain/approval/approval-policy.js';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repriseHere } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';
import { complaint, parsed, valid } from './given.js';

const withPolicy = (policy: string, contacts: string): string =>
  `${valid}    approvals:\n      recover: ${policy}\ncontacts: ${contacts}\n`;

describe('G9: a policy that no approval can meet is refused', () => {
  it('two spellings of one person count once', () => {
    expect(complaint(withPolicy('{ from: [dba, DBA], approvers: 2 }', '{ dba: {}, DBA: {} }')).join('\n')).toMatch(
      /2 approvers are required, and from: names 1: different spellings count once/,
    );
    expect(parsed(withPolicy('{ from: [dba, DBA], approvers: 1 }', '{ dba: {}, DBA: {} }')).digest).toMatch(/./);
  });

  it('more approvers than people', () => {
    expect(complaint(withPolicy('{ from: [dba, ops], approvers: 3 }', '{ dba: {}, ops: {} }')).join('\n')).toMatch(
      /3 approvers are required, and from: names 2/,
    );
  });

  it('two contacts that the server knows as one principal, where the principal has to match', () => {
    const contacts = '{ dba: { principal: "jwt:x" }, ops: { principal: "jwt:x" } }';
    expect(complaint(withPolicy('{ from: [dba, ops], approvers: 2, match_principal: true }', contacts)).join()).toMatch(
      /names 1: the same principal/,
    );
    expect(parsed(withPolicy('{ from: [dba, ops], approvers: 2 }', contacts)).digest).toMatch(/./);
  });
});

describe('G9: requester_may_approve: false binds nobody where the requester is only asserted', () => {
  const unbound = (policy: string): readonly string[] =>
    unboundActions(parsed(withPolicy(policy, '{ dba: { principal: "jwt:x" } }')).clusters['mairie']?.approvals ?? {});

  it('without match_principal, whether it is written or the default', () => {
    expect(unbound('{ from: [dba], requester_may_approve: false }')).toEqual(['recover']);
    expect(unbound('{ from: [dba] }')).toEqual(['recover']);
  });

  it('with match_principal, or where the requester may approve, nothing is promised that is not held', () => {
    expect(unbound('{ from: [dba], match_principal: true }')).toEqual([]);
    expect(unbound('{ from: [dba], requester_may_approve: true }')).toEqual([]);
  });

  it('the principal of a contact is that of the person in the policy', () => {
    const { clusters } = parsed(
      withPolicy('{ from: [dba], match_principal: true }', '{ dba: { principal: "jwt:x" } }'),
    );
    expect(clusters['mairie']?.approvals['recover']).toMatchObject({
      matchPrincipal: true,
      principals: { dba: 'jwt:x' },
    });
  });
});

describe('O7: config check warns of requester_may_approve only where the file itself promises it', () => {
  const warned = async (policy: string): Promise<readonly string[]> => {
    const directory = await tempDir('approvals');
    const file = join(directory, 'reprise.yml');
    await writeFile(file, withPolicy(policy, '{ dba: {}, ops: {} }'));
    const { stdout } = await repriseHere(['config', 'check', '--config', file, '--json']);
    const { warnings = [] } = JSON.parse(stdout) as { warnings?: { key: string; place: string }[] };
    return warnings.map(({ key }) => key);
  };

  it('the default promises nothing; a written line is named', async () => {
    expect(await warned('{ from: [dba, ops] }')).toEqual([]);
    expect(await warned('{ from: [dba, ops], requester_may_approve: false }')).toEqual([
      'clusters.mairie.approvals.recover.requester_may_approve',
    ]);
  });
});

describe('O7: config check names whose plans nobody can approve', () => {
  const unheard = (policy: string): readonly string[] => {
    const { clusters } = parsed(withPolicy(policy, '{ dba: {}, ops: {} }'));
    const found = clusters['mairie']?.approvals['recover'];
    return found === undefined ? [] : cannotAsk(found);
  };

  it('the only one, and each of too few', () => {
    expect(unheard('{ from: [dba] }')).toEqual(['dba']);
    expect(unheard('{ from: [dba, ops], approvers: 2 }')).toEqual(['dba', 'ops']);
    expect(unheard('{ from: [dba, ops] }')).toEqual([]);
    expect(unheard('{ from: [dba], requester_may_approve: true }')).toEqual([]);
  });

  it('and a plan says who may, or that nobody may', () => {
    expect(approversInWords({ approvers: 1, from: ['dba', 'ops'] })).toBe('dba, ops');
    expect(approversInWords({ approvers: 2, from: ['dba', 'ops'] })).toBe('2 of dba, ops');
    expect(approversInWords({ approvers: 1, from: [] })).toContain('nobody');
  });
});

describe('G9: where the requester is one of too few approvers, the plan says that nobody can approve it', () => {
  const policy = parsed(withPolicy('{ from: [dba, ops], approvers: 2 }', '{ dba: {}, ops: {} }')).clusters['mairie']
    ?.approvals['recover'];

  it('and nothing where enough others are left, or the requester may approve', () => {
    if (!policy) throw new Error('no policy');
    expect(whyNobodyApproves(policy, ' DBA ')).toContain('of the 2 people who have to, 1 are left');
    expect(whyNobodyApproves(policy, 'watch')).toBeNull();
    expect(whyNobodyApproves({ ...policy, requesterMayApprove: true }, 'dba')).toBeNull();
    expect(whyNobodyApproves({ ...policy, approvers: 1 }, 'dba')).toBeNull();
  });
});
