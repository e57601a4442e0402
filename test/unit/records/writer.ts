// A process of its own that adds records to a catalogue: node --import …/typescript.mjs writer.ts ROOT CLUSTER NAME COUNT
import { openCatalogue } from '../../../src/records/catalogue.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';

const [path = '', cluster = '', name = '', count = '0'] = process.argv.slice(2);
const catalogue = openCatalogue(openDirectory({ path }), cluster);
for (let index = 0; index < Number(count); index++) {
  const own = { id: `${name}:${index}`, at: new Date().toISOString(), operationId: name, by: name };
  await catalogue.append({ ...own, kind: 'journal', workflowId: name, step: 'write', text: `line ${index}` });
  // The same fact from every writer: only one of them may leave a record.
  await catalogue.append({
    ...own,
    id: `shared:${index}`,
    kind: 'journal',
    workflowId: name,
    step: 'share',
    text: name,
  });
}
