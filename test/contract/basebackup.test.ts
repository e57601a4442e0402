import { startBaseCluster } from '../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { baseFixture } from './basebackup-fixture.js';
import { SEEDED_DATABASES } from './engine-fixture.js';
import { engineContract } from './engine-suite.js';

failOnLeakedProcesses();

// B4: roles and tablespaces are in every physical backup: the content that is compared has their owners and settings.
engineContract({
  name: 'basebackup',
  makeFixture: async () => baseFixture(await startBaseCluster({}, SEEDED_DATABASES)),
  recovers: true,
});
