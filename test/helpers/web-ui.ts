import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import type { Locator, Page } from 'playwright-core';
import { onCleanup } from './cleanup.js';
import { until } from './until.js';

/** Nothing here takes long; the limit only ends a failing test. */
const LIMIT_MS = 300_000;
const WIDTH = 1280;
const HEIGHT = 900;

/** Temporal's Web UI in Debian's Chromium, used by what a person sees: roles and texts. Closed at the end of the test file. */
export class WebUi {
  private constructor(
    private readonly page: Page,
    private readonly namespaceUrl: string,
  ) {}

  static async open(url: string, namespace: string): Promise<WebUi> {
    // Chromium's own sandbox refuses to run as root. Only pages of our own server are opened.
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox'],
      timeout: LIMIT_MS,
    });
    const page = await browser.newPage({ viewport: { width: WIDTH, height: HEIGHT }, timezoneId: 'UTC' });
    page.setDefaultTimeout(LIMIT_MS);
    const ui = new WebUi(page, `${url}/namespaces/${encodeURIComponent(namespace)}`);
    onCleanup(() => browser.close());
    return ui;
  }

  /** The list of workflows under a query, as an operator's bookmark; returns the ids once `wanted` is among them. */
  async list(query: string, wanted: string): Promise<readonly string[]> {
    await this.page.goto(`${this.namespaceUrl}/workflows?query=${encodeURIComponent(query)}`);
    const found = this.page.getByRole('link', { name: wanted, exact: true });
    // The server's list lags by a moment.
    await until(async () => {
      await this.page.getByRole('button', { name: 'Refresh' }).click();
      return appears(found);
    }, `${wanted} is in the list`);
    const rows = this.page.getByRole('table', { name: 'Workflows' }).getByRole('row');
    const cells = await Promise.all((await rows.all()).slice(1).map((row) => row.getByRole('cell').nth(3).innerText()));
    return cells.map((cell) => cell.trim());
  }

  /** Follows the link of a workflow in the list. */
  async follow(workflowId: string): Promise<void> {
    await this.page.getByRole('link', { name: workflowId, exact: true }).click();
    await this.page.getByRole('heading', { level: 1, name: workflowId }).waitFor();
  }

  /** Opens a link, as one from a mail; returns the text of the frames of the page once `wanted` is in it. */
  async visit(link: string, wanted: string): Promise<string> {
    await this.page.goto(link);
    return this.framesWith(wanted, async () => undefined);
  }

  async tab(name: string): Promise<void> {
    await this.page.getByRole('tab', { name }).click();
  }

  /** Text of the tab User Metadata (summary, details, current details) once `wanted` is in it. */
  async metadata(wanted: string): Promise<string> {
    await this.tab('User Metadata');
    return this.framesWith(wanted, async () => {
      // The page says so itself: R brings the current details up to date.
      await this.page.getByRole('heading', { name: 'Current Details' }).click();
      await this.page.keyboard.press('r');
    });
  }

  private async framesWith(wanted: string, refresh: () => Promise<void>): Promise<string> {
    let text = '';
    await until(async () => {
      await refresh();
      await sleep(500);
      const frames = this.page.frames().slice(1);
      text = (await Promise.all(frames.map((frame) => frame.evaluate('document.body.innerText').catch(() => '')))).join(
        '\n',
      );
      return text.includes(wanted);
    }, `the page says "${wanted}"`);
    return text;
  }

  /** Texts of the page's frames that are wider than their place: a person sees their beginnings. */
  async cutTexts(): Promise<readonly string[]> {
    const script =
      '[...document.querySelectorAll("pre, table, p, li")].filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth || one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText)';
    const frames = this.page.frames().slice(1);
    return (await Promise.all(frames.map((frame) => frame.evaluate<string[]>(script)))).flat();
  }

  /** Opens the dialog of the menu and fills it in; {@link submit} sends it. */
  async prepareUpdate(name: string, data: object): Promise<Locator> {
    const dialog = await this.openUpdate(name);
    await this.fill(dialog, data);
    return dialog;
  }

  /** Opens the dialog, pastes a text and clicks Submit once. */
  async sendPasted(name: string, text: string): Promise<Locator> {
    const dialog = await this.openUpdate(name);
    await dialog.getByRole('textbox', { name: 'Data' }).fill(text);
    await this.submit(dialog);
    return dialog;
  }

  private async openUpdate(name: string): Promise<Locator> {
    await this.page.getByRole('button', { name: 'More Actions' }).click();
    await this.page.getByRole('menuitem', { name: 'Send an Update' }).click();
    const dialog = this.page.getByRole('dialog', { name: 'Send an Update' });
    await dialog.getByRole('button', { name: 'Select an Update' }).click();
    await dialog.getByRole('option', { name: new RegExp(`^${name} `) }).click();
    return dialog;
  }

  /** Puts the data of an open dialog in. */
  async fill(dialog: Locator, data: object): Promise<void> {
    const box = dialog.getByRole('textbox', { name: 'Data' });
    await box.fill(JSON.stringify(data));
    // Leaving the box formats it, which moves the buttons: not under the click.
    await box.press('Tab');
    await dialog.getByText(JSON.stringify(data, null, 2).split('\n')[1] ?? '').waitFor();
  }

  async closeDialog(dialog: Locator): Promise<void> {
    await dialog.getByTestId('cancel-modal-button').click();
    await dialog.waitFor({ state: 'hidden' });
  }

  async submit(dialog: Locator): Promise<void> {
    await dialog.getByRole('button', { name: 'Submit' }).click();
  }

  /** What a dialog shows in red. */
  async refusal(dialog: Locator, wanted: string): Promise<string> {
    const alert = dialog.getByRole('alert').filter({ hasText: wanted });
    await alert.waitFor();
    return alert.innerText();
  }

  /** Waits until the workflow's own badge says so, e.g. `Completed`. */
  async badge(state: string): Promise<void> {
    await this.page.getByRole('main').getByRole('status').getByText(state, { exact: true }).waitFor();
  }

  /** Words of the timeline, one entry a step, once `wanted` is among them. */
  async timeline(wanted: string): Promise<string> {
    // Entries out of sight are not drawn.
    await this.page.setViewportSize({ width: WIDTH, height: 3000 });
    await this.tab('Timeline');
    const list = this.page.getByRole('main').getByRole('list').filter({ hasText: wanted });
    await list.waitFor();
    const words = await list.ariaSnapshot();
    await this.page.setViewportSize({ width: WIDTH, height: HEIGHT });
    return words;
  }

  /** Where pictures are asked for (`npm run screenshots`): one of what is shown now, so high that all of it fits. */
  async picture(name: string, options: { height?: number } = {}): Promise<void> {
    const directory = process.env['REPRISE_SCREENSHOTS'];
    if (directory === undefined) return;
    await mkdir(directory, { recursive: true });
    await this.page.setViewportSize({ width: WIDTH, height: options.height ?? HEIGHT });
    // Frames and charts are laid out anew.
    await sleep(1500);
    // Without the navigation, which is the same everywhere.
    await this.page
      .getByRole('main')
      .screenshot({ path: join(resolve(directory), `${name}.png`), animations: 'disabled' });
    await this.page.setViewportSize({ width: WIDTH, height: HEIGHT });
  }
}

async function appears(locator: Locator): Promise<boolean> {
  return locator.waitFor({ timeout: 2000 }).then(
    () => true,
    () => false,
  );
}
