import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { canonicalJson } from '../../../src/domain/text/canonical-json.js';
import { planDigest } from '../../../src/records/digest.js';
import { openHostState } from '../../../src/records/host-state.js';
import { golden } from '../../helpers/golden.js';
import { section, shapeOf } from '../../helpers/shape.js';
import { tempDir } from '../../helpers/temp.js';
import { mediaPlanOf } from '../../workflows/well-behaved.js';
import { samplePlan } from '../records/samples.js';

const media = mediaPlanOf({
  cluster: 'mairie',
  operationId: 'op-media',
  requester: 'dba',
  order: { media: 'photos', task: { kind: 'recover', to: '2026-11-21T02:15:00.000Z', later: 'keep' } },
});

describe('the ledger of a host keeps its form', () => {
  it('plans, approvals, uses, endings and results of steps lie in the files, and have the fields, they have always had', async () => {
    const stateDir = await tempDir('golden-ledger');
    const state = openHostState(stateDir);
    const plan = samplePlan();
    await state.savePlan(plan);
    await state.savePlan(media);
    await state.saveApproval(plan.digest, {
      plan: plan.digest.slice(0, 12),
      by: 'dba',
      reason: 'test',
      signature: 's',
    });
    await state.markUsed(plan.digest, 'op-1');
    await state.closePlan(plan.digest);
    await state.recordDone('op-1', 'restore', { renamed: 2 });
    await state.recordDone('op/with a name', 'restore files', null);

    const files = (await readdir(stateDir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    const sections = await Promise.all(
      files.map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const headline = path
          .slice(stateDir.length + 1)
          .replaceAll(plan.digest, 'DIGEST')
          .replaceAll(media.digest, 'DIGEST-OF-MEDIA');
        return section(headline, shapeOf([JSON.parse(await readFile(path, 'utf8'))]));
      }),
    );
    const made = sections.toSorted().join('\n');
    expect(made).toBe(await golden(new URL('ledger.golden.txt', import.meta.url), made));
  });

  it('the same binding has the same digest as ever: what was approved before an upgrade is still that plan', async () => {
    const { binding, digest } = samplePlan();
    const lines = [
      `recovery: ${digest}`,
      `media: ${planDigest(media.binding)}`,
      canonicalJson(binding),
      canonicalJson(media.binding),
    ];
    const made = section('digests of the sample plans, and what is digested', lines);
    expect(made).toBe(await golden(new URL('digests.golden.txt', import.meta.url), made));
  });
});
