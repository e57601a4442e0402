import { formatTarget } from '../target/target.js';
import { markdownCode, markdownText } from '../text/markdown.js';
import { sizeInWords } from '../text/text.js';
import { connectionText, type OpenedInstance, type PlannedInstance, psqlCommand, sourceText } from './instance.js';

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n');

/** What is going to be restored, for the Web UI's details (Markdown). */
export function plannedDetails({ cluster, host, restore, neededBytes, freeBytes, warnings }: PlannedInstance): string {
  return [
    `**${markdownText(cluster)} at ${markdownText(formatTarget(restore.target))}**, on host ${markdownText(host)}; production is not touched`,
    list([
      markdownText(`from ${sourceText(restore)}`),
      `${sizeInWords(neededBytes)} are needed, ${sizeInWords(freeBytes)} are free`,
      ...warnings.map((warning) => markdownText(warning)),
    ]),
  ].join('\n\n');
}

/** Where people find it, until when, and what they can send (Markdown). */
export function openedDetails(instance: OpenedInstance, until: string): string {
  const { cluster, host, restore, reached, login } = instance;
  return [
    `**${markdownText(cluster)} at ${markdownText(formatTarget(restore.target))}**, read-only, until ${until}`,
    list([
      markdownText(`reached: ${reached.reached}`),
      markdownText(`from ${sourceText(restore)}`),
      `on host ${markdownText(host)}, as the user ${markdownText(login?.osUser ?? 'of the server')} or root: ${markdownCode(psqlCommand(connectionText(instance)))}`,
      ...(login?.note == null ? [] : [markdownText(login.note)]),
    ]),
    `Send the update ${markdownCode('extend')} ${markdownCode('{"by":"<your name>","ttl":"2h"}')} (it stays for so long from now), ${markdownCode('retarget')} ${markdownCode('{"by":"<your name>","to":"<a later target>"}')}, or ${markdownCode('drop')} ${markdownCode('{"by":"<your name>"}')}.`,
  ].join('\n\n');
}
