/** Page of one workflow in Temporal's Web UI. */
export function webUiLink(
  { webUi, namespace }: { readonly webUi: string; readonly namespace: string },
  workflowId: string,
): string {
  const base = webUi.replace(/\/+$/, '');
  return `${base}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}`;
}
