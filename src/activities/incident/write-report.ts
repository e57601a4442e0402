import type { ClusterContext } from '../cluster-context.js';

/** Keeps a report in the catalogue, in both forms; returns the key of the Markdown. */
export async function writeReport(
  { catalogue }: ClusterContext,
  operationId: string,
  { markdown, html }: { readonly markdown: string; readonly html: string },
): Promise<string> {
  await catalogue.writeIncidentDocument(operationId, html, 'html');
  return catalogue.writeIncidentDocument(operationId, markdown);
}
