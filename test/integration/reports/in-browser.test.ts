import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from '@jest/globals';
import { type Browser, chromium } from 'playwright-core';
import { drillReport } from '../../../src/reports/drill/report.js';
import { en } from '../../../src/reports/drill/sentences/en.js';
import { repairReport } from '../../../src/reports/repair/report.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { hostileDrill, sampleDrill } from '../../helpers/drill-sample.js';
import { hostileRepair, sampleRepair } from '../../helpers/repair-sample.js';
import { tempDir } from '../../helpers/temp.js';

/** Nothing here takes long; the limit only ends a failing test. */
const LIMIT_MS = 300_000;

let browser: Browser | undefined;

/** The report in Chromium, as a file of a folder. `REPRISE_REPORTS=DIRECTORY` keeps screen and PDF, to be looked at. */
async function opened(name: string, html: string) {
  // Chromium's own sandbox refuses to run as root. Only our own file is opened.
  if (browser === undefined) {
    const started = await chromium.launch({
      ...{ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'], timeout: LIMIT_MS },
    });
    browser = started;
    onCleanup(() => started.close());
  }
  const folder = process.env['REPRISE_REPORTS'] ?? (await tempDir('report'));
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${name}.html`);
  await writeFile(file, html);
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
  page.setDefaultTimeout(LIMIT_MS);
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  const pdf = await page.pdf({ format: 'A4', path: join(folder, `${name}.pdf`), preferCSSPageSize: true });
  return { page, pdf, asked: asked.filter((url) => !url.startsWith('file:')) };
}

it('V3: the report is readable as screen and on A4: nothing is loaded, nothing is wider than the page, and what was not tested stands first', async () => {
  const { page, pdf, asked } = await opened('drill', drillReport(sampleDrill, en).html);
  expect(asked).toEqual([]);
  const sections = await page.locator('h2').allInnerTexts();
  expect(sections[0]).toBe('What was not tested');
  expect(await page.locator('section.prominent').innerText()).toContain('statistics');
  expect(await page.locator('svg').count()).toBe(3);
  // Each chart has its bars, its words and, for screen readers, its name.
  expect(await page.getByRole('img', { name: 'Recovery time by phase' }).innerHTML()).toContain('objective 1 h 00 min');
  for (const width of [1100, 794, 420]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
  }
  const pages = pdf.toString('latin1').match(/\/Type \/Page\b/g)?.length ?? 0;
  expect(pages).toBeGreaterThanOrEqual(2);
  expect(pages).toBeLessThanOrEqual(6);
  await page.close();
});

it('F39, V3: names and texts of others stay text: no element, link or script is made of them', async () => {
  const { page } = await opened('hostile', drillReport(hostileDrill, en).html);
  expect(await page.title()).toBe('Restore drill: mairie');
  expect(await page.locator('script').count()).toBe(0);
  expect(await page.locator('a').count()).toBe(0);
  expect(await page.locator('body').innerText()).toContain('</td></table><script>');
  expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
  await page.close();
});

it('T8: the report of a repair is readable as screen and on A4, what is to be done stands first, and texts of others stay text', async () => {
  const { page, pdf, asked } = await opened('repair', repairReport(sampleRepair, 'en').html);
  expect(asked).toEqual([]);
  expect((await page.locator('h2').allInnerTexts())[0]).toBe('What is to be done next');
  expect(await page.locator('.verdict').innerText()).toMatch(/repaired/i);
  for (const width of [1100, 794, 420]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
  }
  expect(pdf.toString('latin1').match(/\/Type \/Page\b/g)?.length ?? 0).toBeLessThanOrEqual(4);
  await page.close();
  const hostile = await opened('hostile-repair', repairReport(hostileRepair, 'en').html);
  expect(hostile.asked).toEqual([]);
  expect(await hostile.page.locator('script, a[href^="javascript"]').count()).toBe(0);
  await hostile.page.close();
});
