// The folders of src/ and what each may import. A folder is named whole, or by the one file that is its contract.
const may = {
  domain: [],
  files: ['domain'],
  workflows: ['domain'],
  process: ['domain'],
  notifiers: ['domain'],
  storage: ['domain'],
  media: ['storage/storage.ts', 'storage/keys.ts', 'domain'],
  postgres: ['process', 'domain'],
  engines: ['process', 'postgres', 'storage/storage.ts', 'domain'],
  checks: ['postgres', 'process', 'domain'],
  records: ['storage/storage.ts', 'domain'],
  reports: ['storage/storage.ts', 'domain'],
  activities: [
    'engines/engine.ts',
    'storage/storage.ts',
    'checks/check.ts',
    'notifiers/notifier.ts',
    'media',
    'records',
    'reports',
    'postgres',
    'process',
    'domain',
  ],
  config: ['engines/registry.ts', 'storage/registry.ts', 'checks/registry.ts', 'notifiers/registry.ts', 'domain'],
  client: ['config', 'domain'],
  cli: ['client', 'config', 'domain'],
  worker: [
    'domain',
    'process',
    'notifiers',
    'storage',
    'media',
    'postgres',
    'engines',
    'checks',
    'records',
    'reports',
    'activities',
    'config',
    'doctor',
  ],
  embedded: ['process', 'config', 'domain'],
  doctor: [
    'process',
    'postgres',
    'records',
    'config',
    'engines/registry.ts',
    'engines/loaded-engines.ts',
    'storage/registry.ts',
    'storage/open-storage.ts',
    'domain',
  ],
  demo: ['client', 'embedded', 'config', 'process', 'postgres', 'domain'],
};

// Folders that are imported as types only: nothing of theirs is loaded.
const mayAsTypes = { workflows: ['activities'], client: ['workflows'], cli: ['workflows'], demo: ['workflows'] };

// How a file is written safely is known to all but these, which do no I/O.
const withoutFiles = ['domain', 'files', 'workflows'];

// Modules of domain that load zod.
const domainWithZod = ['domain/fields.ts', 'domain/operation/orders.ts'];

// Where one folder is one adapter, which must be removable without touching another.
const adapterFolders = ['engines', 'storage', 'checks', 'notifiers'];

const folders = Object.keys(may);
const literal = (text) => text.replaceAll('.', '\\.');
const place = (name) => `^src/${literal(name)}${name.endsWith('.ts') ? '$' : '/'}`;

/** Refuses the imports of a folder that are not in the table. */
function folderRules(folder) {
  const asTypes = mayAsTypes[folder] ?? [];
  const floor = withoutFiles.includes(folder) ? [] : ['files'];
  const allowed = [folder, ...floor, ...may[folder], ...asTypes].map(place);
  const rules = [
    {
      name: `${folder}-imports-only-what-it-may`,
      severity: 'error',
      comment: `${folder} may import: ${may[folder].join(', ') || 'nothing'}`,
      from: { path: place(folder) },
      to: { path: '^src/', pathNot: allowed },
    },
  ];
  for (const other of asTypes) {
    rules.push({
      name: `${folder}-knows-${other}-as-types`,
      severity: 'error',
      comment: `use: import type ... from ${other}`,
      from: { path: place(folder) },
      to: { path: place(other), dependencyTypesNot: ['type-only'] },
    });
  }
  return rules;
}

/** An adapter's folder reaches no other adapter's folder; what they share lies beside them. */
function adapterRule(folder) {
  return {
    name: `${folder}-know-no-other`,
    severity: 'error',
    from: { path: `^src/${folder}/([^/]+)/` },
    to: { path: `^src/${folder}/[^/]+/`, pathNot: `^src/${folder}/($1|shared)/` },
  };
}

module.exports = {
  forbidden: [
    ...folders.flatMap(folderRules),
    ...adapterFolders.map(adapterRule),
    {
      name: 'known-folders-only',
      severity: 'error',
      comment: 'a new folder is added to the table of .dependency-cruiser.cjs first',
      from: { path: '^src/', pathNot: [...folders.map(place), '^src/(main|command-line|compose)\\.ts$'] },
      to: {},
    },
    {
      name: 'nobody-imports-main',
      severity: 'error',
      from: { pathNot: '^src/(main|command-line)\\.ts$' },
      to: { path: '^src/(main|command-line|compose)\\.ts$' },
    },
    {
      name: 'domain-is-pure',
      severity: 'error',
      comment: 'no Node and no package but zod, which describes what is asked for',
      from: { path: place('domain') },
      to: { pathNot: ['^src/', 'node_modules/zod/'] },
    },
    {
      name: 'domain-has-few-schemas',
      severity: 'error',
      comment: 'a module of domain that loads zod is named in domainWithZod first: workflows know it as types only',
      from: { path: place('domain'), pathNot: domainWithZod.map(place) },
      to: { path: 'node_modules/zod/' },
    },
    {
      name: 'no-zod-in-workflows',
      severity: 'error',
      comment: 'zod would add a megabyte to the workflow bundle: use import type',
      from: { path: [place('workflows'), place('domain')], pathNot: domainWithZod.map(place) },
      to: { path: domainWithZod.map(place), dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'workflows-are-deterministic',
      severity: 'error',
      from: { path: place('workflows') },
      to: { pathNot: ['^src/', 'node_modules/@temporalio/(workflow|common)/'] },
    },
    {
      name: 'only-process-starts-programs',
      severity: 'error',
      comment: 'programs are started by src/process, where argv, secrets and cancellation are looked after',
      from: { path: '^src/', pathNot: place('process') },
      to: { path: ['^(node:)?child_process$', 'node_modules/execa/'] },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-development-packages',
      severity: 'error',
      comment: 'src/ runs where only dependencies are installed',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
