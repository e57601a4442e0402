import { durationInWords } from '../../domain/text/text.js';
import type { BarChart, Chart, ChartLimit, RangeChart, TrendChart } from './document.js';
import { escapeHtml } from './escape-html.js';

/** All charts are as wide; the page scales them. */
const WIDTH = 720;
const LEFT = 150;
const RIGHT = 120;
const SPAN = WIDTH - LEFT - RIGHT;
const LONGEST_LABEL = 22;
/** An objective so many times beyond what was measured would leave nothing to see. */
const FURTHEST_LIMIT = 3;

/** Told apart also in grey, on paper: from dark to light, each with a border. */
const FILLS = ['#1f4e79', '#6fa8dc', '#b45f06', '#f6b26b', '#38761d', '#a6d08e', '#741b47', '#d5a6bd', '#666666'];

/** A chart as inline SVG, readable without colours and without a script. */
export function chartSvg(chart: Chart): string {
  switch (chart.kind) {
    case 'bars':
      return bars(chart);
    case 'trend':
      return columns(chart);
    case 'ranges':
      return ranges(chart);
  }
}

function bars({ label, bars: rows, limit }: BarChart): string {
  const totals = rows.map(({ parts }) => sum(parts.map(({ seconds }) => seconds)));
  const { most, isShown } = scaleOf(Math.max(...totals, 0), limit);
  const names = [...new Set(rows.flatMap(({ parts }) => parts.map(({ name }) => name)))];
  const fillOf = (name: string) => FILLS[names.indexOf(name) % FILLS.length] ?? '#666666';
  const top = limit === null ? 8 : 26;
  const shapes = rows.flatMap(({ label: name, parts }, row) => {
    const y = top + row * 38;
    let x = LEFT;
    const drawn = parts.map(({ name: part, seconds }) => {
      const width = (SPAN * seconds) / most;
      const title = `<title>${escapeHtml(`${part}: ${durationInWords(seconds)}`)}</title>`;
      const shape = `<rect x="${n(x)}" y="${y}" width="${n(width)}" height="24" fill="${fillOf(part)}" stroke="#ffffff" stroke-width="1">${title}</rect>`;
      x += width;
      return shape;
    });
    return [
      text(LEFT - 8, y + 17, short(name), 'end'),
      ...drawn,
      text(x + 6, y + 17, durationInWords(totals[row] ?? 0), 'start', 'bold'),
    ];
  });
  const end = top + rows.length * 38;
  if (limit !== null) shapes.push(...limitLine(limit, isShown, LEFT + (SPAN * limit.seconds) / most, top - 6, end - 8));
  const legend = names.map((name, index) => {
    const [x, y] = [LEFT + (index % 3) * 190, end + 8 + Math.floor(index / 3) * 20];
    return `<rect x="${x}" y="${y}" width="12" height="12" fill="${fillOf(name)}"/>${text(x + 18, y + 11, short(name), 'start')}`;
  });
  return svg(label, end + 14 + Math.ceil(names.length / 3) * 20, [...shapes, ...legend]);
}

function columns({ label, points, limit }: TrendChart): string {
  const { most, isShown } = scaleOf(Math.max(...points.map(({ seconds }) => seconds), 0), limit);
  const [left, top, height] = [100, 30, 170];
  const span = WIDTH - left - 20;
  const step = span / points.length;
  const width = Math.min(46, step * 0.6);
  const every = Math.ceil(points.length / 8);
  const shapes = points.flatMap(({ label: name, seconds, failed }, index) => {
    const tall = (height * seconds) / most;
    const x = left + index * step + (step - width) / 2;
    const middle = x + width / 2;
    const look = failed ? 'fill="#ffffff" stroke="#a61c00" stroke-width="2" stroke-dasharray="4 3"' : 'fill="#1f4e79"';
    return [
      `<rect x="${n(x)}" y="${n(top + height - tall)}" width="${n(width)}" height="${n(tall)}" ${look}/>`,
      text(middle, top + height - tall - 5, points.length > 10 ? '' : durationInWords(seconds), 'middle', 'bold'),
      index % every === 0 || index === points.length - 1 ? text(middle, top + height + 18, name, 'middle') : '',
    ];
  });
  const axis = `<line x1="${left}" y1="${top + height}" x2="${WIDTH - 20}" y2="${top + height}" stroke="#444444"/>`;
  const scale = text(left - 8, top + 4, durationInWords(most), 'end');
  if (limit !== null && isShown) {
    const y = n(top + height - (height * limit.seconds) / most);
    shapes.push(
      `<line x1="${left}" y1="${y}" x2="${WIDTH - 20}" y2="${y}" stroke="#a61c00" stroke-width="1.5" stroke-dasharray="6 4"/>`,
      text(WIDTH - 20, Number(y) - 6, limit.text, 'end', 'limit'),
    );
  } else if (limit !== null) shapes.push(text(WIDTH - 20, 14, limit.beyond, 'end', 'limit'));
  return svg(label, top + height + 30, [axis, scale, ...shapes]);
}

function ranges({ label, rows, legend }: RangeChart): string {
  const most = Math.max(...rows.flatMap(({ p90, measured }) => [p90, measured]), 0.001) * 1.05;
  const at = (seconds: number) => LEFT + (SPAN * seconds) / most;
  const shapes = rows.flatMap(({ label: name, p50, p90, measured }, row) => {
    const y = 12 + row * 38;
    const x = n(at(measured));
    return [
      text(LEFT - 8, y + 17, short(name), 'end'),
      `<line x1="${LEFT}" y1="${y + 12}" x2="${LEFT + SPAN}" y2="${y + 12}" stroke="#dddddd"/>`,
      `<rect x="${n(at(p50))}" y="${y + 3}" width="${n(Math.max(2, at(p90) - at(p50)))}" height="18" fill="#b7cfe6" stroke="#1f4e79"/>`,
      `<line x1="${x}" y1="${y - 2}" x2="${x}" y2="${y + 26}" stroke="#a61c00" stroke-width="3"/>`,
      text(LEFT + SPAN + 8, y + 17, durationInWords(measured), 'start', 'bold'),
    ];
  });
  const y = 16 + rows.length * 38;
  const key = [
    `<rect x="${LEFT}" y="${y}" width="26" height="12" fill="#b7cfe6" stroke="#1f4e79"/>`,
    text(LEFT + 34, y + 11, legend.range, 'start'),
    `<line x1="${LEFT + 270}" y1="${y - 2}" x2="${LEFT + 270}" y2="${y + 14}" stroke="#a61c00" stroke-width="3"/>`,
    text(LEFT + 280, y + 11, legend.measured, 'start'),
  ];
  return svg(label, y + 22, [...shapes, ...key]);
}

/** Seconds that the chart is wide, and whether its limit is on it. */
function scaleOf(highest: number, limit: ChartLimit | null): { readonly most: number; readonly isShown: boolean } {
  const isShown = limit !== null && limit.seconds <= highest * FURTHEST_LIMIT;
  return { most: Math.max(highest, isShown ? limit.seconds : 0, 0.001) * 1.02, isShown };
}

function limitLine(limit: ChartLimit, isShown: boolean, x: number, top: number, bottom: number): string[] {
  if (!isShown) return [text(WIDTH - 8, top, limit.beyond, 'end', 'limit')];
  return [
    `<line x1="${n(x)}" y1="${top}" x2="${n(x)}" y2="${bottom}" stroke="#a61c00" stroke-width="1.5" stroke-dasharray="6 4"/>`,
    text(x, top - 4, limit.text, x > WIDTH - 140 ? 'end' : 'middle', 'limit'),
  ];
}

function svg(label: string, height: number, shapes: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${Math.ceil(height)}" role="img" aria-label="${escapeHtml(label)}">${shapes.join('')}</svg>`;
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', look = ''): string {
  const named = look === '' ? '' : ` class="${look}"`;
  return `<text x="${n(x)}" y="${n(y)}" text-anchor="${anchor}"${named}>${escapeHtml(content)}</text>`;
}

/** A name that fits beside its bar; the table below has the whole. */
function short(name: string): string {
  const characters = [...name];
  return characters.length <= LONGEST_LABEL ? name : `${characters.slice(0, LONGEST_LABEL - 1).join('')}…`;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
const n = (value: number): string => String(Math.round(value * 10) / 10);
