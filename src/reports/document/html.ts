import { chartSvg } from './charts.js';
import type { Block, Inline, ReportDocument } from './document.js';
import { escapeHtml } from './escape-html.js';

/** For the screen and for A4: nothing is cut in two that can be kept whole. */
const STYLE = `
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", Arial, sans-serif; color: #1a1a1a; background: #ffffff; max-width: 60rem; margin: 0 auto; padding: 2rem 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 2px solid #1f4e79; break-after: avoid; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.verdict { display: inline-block; font-weight: 700; padding: .15rem .7rem; border: 2px solid; border-radius: 4px; text-transform: uppercase; letter-spacing: .04em; }
.pass, .passed { color: #1d6b1d; }
.fail, .failed { color: #a61c00; font-weight: 700; }
.incomplete, .skipped { color: #7a4b00; }
.summary { font-size: 1.05rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 1rem 0; }
dt { color: #555555; }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .92rem; }
th, td { border: 1px solid #bbbbbb; padding: .3rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: #eef3f8; }
@media print, (min-width: 700px) { th, td.words, td.words code, td span { overflow-wrap: normal; } td { min-width: 5.8rem; } }
code { font: .88em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { background: #f4f4f4; border: 1px solid #cccccc; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.note { color: #555555; font-size: .88rem; }
.prominent { border: 2px solid #b45f06; border-left-width: 8px; padding: .2rem 1rem .6rem; margin: 1.2rem 0; background: #fff8ee; }
.prominent h2 { margin-top: .6rem; border: 0; }
figure { margin: .6rem 0; break-inside: avoid; }
svg { width: 100%; height: auto; font: 13px system-ui, "DejaVu Sans", Arial, sans-serif; fill: #1a1a1a; }
svg .bold { font-weight: 700; }
svg .limit { fill: #a61c00; font-weight: 700; }
.fields { display: flex; gap: 1.5rem; margin: 1.6rem 0 .4rem; }
.fields div { flex: 1; border-top: 1px solid #1a1a1a; margin-top: 2.2rem; padding-top: .2rem; font-size: .88rem; }
@page { size: A4; margin: 16mm 14mm; }
@media print {
  body { font-size: 10.5pt; max-width: none; padding: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
  tr, .fields, .prominent, pre { break-inside: avoid; }
  thead { display: table-header-group; }
}
`;

/** A report as one HTML file: no script, and nothing is loaded from anywhere. */
export function documentHtml(document: ReportDocument): string {
  const { language, title, verdict, summary, facts, sections } = document;
  const list = facts.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${inline(value)}</dd>`).join('\n');
  const body = sections.map(
    (section) =>
      `<section${section.prominent ? ' class="prominent"' : ''}>\n<h2>${escapeHtml(section.title)}</h2>\n${section.blocks
        .map(blockHtml)
        .join('\n')}\n</section>`,
  );
  return `<!DOCTYPE html>
<html lang="${escapeHtml(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<p class="verdict ${verdict.kind}">${escapeHtml(verdict.text)}</p>
<p class="summary">${escapeHtml(summary)}</p>
<dl>
${list}
</dl>
${body.join('\n')}
</body>
</html>
`;
}

function blockHtml(block: Block): string {
  switch (block.kind) {
    case 'text':
      return `<p>${inline(block.text)}</p>`;
    case 'note':
      return `<p class="note">${escapeHtml(block.text)}</p>`;
    case 'command':
      return `<pre>${escapeHtml(block.text)}</pre>`;
    case 'table': {
      const head = block.head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
      const rows = block.rows.map((cells) => `<tr>${cells.map(cellHtml).join('')}</tr>`);
      return `<table>\n<thead><tr>${head}</tr></thead>\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table>`;
    }
    case 'chart':
      return `<figure>${chartSvg(block.chart)}</figure>`;
    case 'fields':
      return `<div class="fields">${block.names.map((name) => `<div>${escapeHtml(name)}</div>`).join('')}</div>`;
  }
}

/** The longest word that a column of a page has room for: no such word is cut in two. */
const LONGEST_WORD = 14;

function cellHtml(cell: readonly Inline[]): string {
  const words = cell.flatMap((part) => textOf(part).split(/[\s-]/));
  const isShort = words.every((word) => word.length <= LONGEST_WORD);
  return `<td${isShort ? ' class="words"' : ''}>${inline(cell)}</td>`;
}

function textOf(part: Inline): string {
  if (typeof part === 'string') return part;
  if ('code' in part) return part.code;
  if ('strong' in part) return part.strong;
  return 'file' in part ? part.file : part.text;
}

function inline(parts: readonly Inline[]): string {
  return parts.map(partHtml).join('');
}

function partHtml(part: Inline): string {
  if (typeof part === 'string') return escapeHtml(part);
  if ('code' in part) return `<code>${escapeHtml(part.code)}</code>`;
  if ('strong' in part) return `<strong>${escapeHtml(part.strong)}</strong>`;
  // Below the folder, whatever the name: it never begins with a scheme.
  if ('file' in part) return `<a href="./${escapeHtml(encodeURI(part.file))}">${escapeHtml(part.file)}</a>`;
  return `<span class="${part.status}">${escapeHtml(part.text)}</span>`;
}
