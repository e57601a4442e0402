import { visible } from '../../domain/text/text.js';
import { markdownBlock, markdownCode, markdownTable, markdownText } from '../../domain/text/markdown.js';
import type { Block, Inline, ReportDocument } from './document.js';

/** A report in Markdown. Charts are left out: the tables beside them hold the same figures. */
export function documentMarkdown(document: ReportDocument): string {
  const facts = document.facts.map(([name, value]) => `- ${markdownText(name)}: ${inline(value)}`).join('\n');
  const sections = document.sections.map(({ title, blocks }) => {
    const body = blocks.map(blockText).filter((text) => text !== '');
    return [`## ${markdownText(title)}`, ...body].join('\n\n');
  });
  return `${[
    `# ${markdownText(document.title)}`,
    `**${markdownText(document.verdict.text)}**. ${markdownText(document.summary)}`,
    facts,
    ...sections,
  ].join('\n\n')}\n`;
}

function blockText(block: Block): string {
  switch (block.kind) {
    case 'text':
      return inline(block.text);
    case 'note':
      return markdownText(block.text);
    case 'command':
      return markdownBlock(block.text.split('\n').map(visible).join('\n'), 'sh');
    case 'table':
      return markdownTable(
        block.head.map(markdownText),
        block.rows.map((cells) => cells.map(inline)),
      );
    case 'chart':
      return '';
    case 'fields':
      return block.names.map((name) => `${markdownText(name)}: \\_\\_\\_\\_\\_\\_\\_\\_\\_\\_\\_\\_`).join('  ');
  }
}

function inline(parts: readonly Inline[]): string {
  return parts.map(partText).join('');
}

function partText(part: Inline): string {
  if (typeof part === 'string') return markdownText(part);
  if ('code' in part) return markdownCode(part.code);
  if ('strong' in part) return `**${markdownText(part.strong)}**`;
  // Names of files of the evidence are plain: nothing in them has to be escaped.
  if ('file' in part) return `[${markdownText(part.file)}](${encodeURI(part.file)})`;
  return part.status === 'failed' ? `**${markdownText(part.text)}**` : markdownText(part.text);
}
