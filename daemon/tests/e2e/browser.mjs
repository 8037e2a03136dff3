// Does in Chromium what a person does on a fresh box: setup, find and add the camera, watch live, draw a zone, import a
// watchlist, see plates and the alert come, search, play a clip, use the timeline of recordings, export evidence.
// Settings come by environment; prints one JSON object with what it saw.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

const { GTV_PAGE, GTV_SETUP_CODE, GTV_CAMERA_USER, GTV_CAMERA_PASSWORD, GTV_TRUTH, GTV_SHOTS, GTV_WATCH_SECONDS } = process.env;
const CHROMIUM = process.env.GTV_CHROMIUM ?? '/usr/bin/chromium';
const USER = 'operadora';
const PASSWORD = 'uma-frase-bem-longa';
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
/** A camera connects, sends a key frame and plays within this, on a machine that does everything else as well. */
const SLOW = 60_000;

mkdirSync(GTV_SHOTS, { recursive: true });
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
});
const context = await browser.newContext({ viewport: DESKTOP, locale: 'en-US' });
const page = await context.newPage();
const faults = [];
page.on('pageerror', (error) => faults.push(`page: ${error.message}`));
page.on('console', (message) => {
  // A refused login is answered with 401 on purpose; the browser logs it.
  if (message.type() === 'error' && !/status of (401|403)/.test(message.text())) faults.push(`console: ${message.text()}`);
});

async function shot(name) {
  await page.setViewportSize(DESKTOP);
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(GTV_SHOTS, `${name}-desktop.png`) });
  await page.setViewportSize(PHONE);
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(GTV_SHOTS, `${name}-phone.png`) });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overflow <= 0, `${name}: the phone page scrolls sideways by ${overflow} px`);
  await page.setViewportSize(DESKTOP);
}

/** Waits until the video shows moving pictures. */
async function plays(selector) {
  await page.waitForSelector(selector, { timeout: SLOW });
  await page.waitForFunction((s) => document.querySelector(s).readyState >= 2 && document.querySelector(s).videoWidth > 0, selector, { timeout: SLOW });
  const before = await page.$eval(selector, (video) => video.currentTime);
  await page.waitForFunction(([s, t]) => document.querySelector(s).currentTime > t + 1.5, [selector, before], { timeout: SLOW });
  return page.$eval(selector, (video) => ({ width: video.videoWidth, height: video.videoHeight }));
}

/** The plate that drives by next, with time left to put it on a list; the demo camera knows. */
async function nextPlate() {
  const truth = await (await fetch(GTV_TRUTH)).json();
  const into = (Date.now() / 1000 - truth.cameras[0].loop_start_unix_s) % truth.loop_s;
  const until = ({ t_enter_s: enter }) => (enter - into - 8 + 2 * truth.loop_s) % truth.loop_s;
  return truth.passages.toSorted((a, b) => until(a) - until(b))[0].plate;
}

/** A zone over the whole picture, so that every passage still counts, and back in the list of the camera. */
async function drawZone() {
  await page.goto(`${GTV_PAGE}/cameras/${seen.camera}/zones`);
  await page.waitForFunction(() => document.querySelector('.snapshot img')?.naturalWidth > 0, null, { timeout: SLOW });
  await page.getByRole('button', { name: 'Draw zone' }).click();
  const { x, y, width, height } = await page.locator('.zone-canvas').boundingBox();
  const corners = [[1, 1], [width - 1, 1], [width - 1, height - 1], [1, height - 1]];
  // The upper right corner of the picture has a button.
  for (const [left, top] of corners) await page.mouse.click(x + left, y + top);
  await shot('zone');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByLabel('Name').fill('Street');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved. In force now.').waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Street' }).waitFor();
}

/** A list with the next plate, from a file with one bad line. */
async function importList() {
  await page.goto(`${GTV_PAGE}/watchlists`);
  await page.getByRole('button', { name: 'New list' }).click();
  await page.getByLabel('Name').fill('Stolen');
  await page.getByLabel('What for').fill('Reported as stolen');
  await page.getByLabel('An alert is').selectOption('critical');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Import CSV' }).click();
  seen.watched = await nextPlate();
  const csv = `plate,reason,valid_from,valid_until\n${seen.watched},,,\n,no plate,,\n`;
  await page.locator('input[type="file"]').setInputFiles({ name: 'stolen.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await page.getByText('Line 3').waitFor();
  await page.locator(`li[data-plate="${seen.watched}"]`).waitFor();
  await shot('watchlist');
}

/** The message over the page with picture, list and reason; then no more of them, as they lie over the page. */
async function seeAlert() {
  const toast = page.locator('.toast[data-alert="watchlist-hit"]').first();
  // The plate comes round once in 64 s, and the list may be in force only after it has passed.
  await toast.waitFor({ timeout: 150_000 });
  await toast.getByText('Stolen', { exact: true }).waitFor();
  await toast.getByText('Reported as stolen').waitFor();
  await page.waitForFunction(() => document.querySelector('.toast img')?.naturalWidth > 0, null, { timeout: SLOW });
  await shot('alert');
  await toast.getByRole('button', { name: 'Acknowledge' }).click();
  await toast.waitFor({ state: 'detached' });
  await go('Lists');
  await page.getByLabel('In use').click();
  await page.waitForFunction(() => document.querySelector('.list-row.off') !== null);
}

/** Zooms with keys and wheel, sees passages and pictures along the line, seeks with a click, steps by frames. */
async function useTimeline() {
  const line = page.locator('.timeline-area');
  await page.locator('.timeline-area[data-loaded="true"]').waitFor({ timeout: SLOW });
  const shown = async () => Number(await line.getAttribute('data-end')) - Number(await line.getAttribute('data-start'));
  const before = await shown();
  await line.focus();
  await page.keyboard.press('+');
  await page.waitForFunction((limit) => {
    const { start, end } = document.querySelector('.timeline-area').dataset;
    return Number(end) - Number(start) < limit;
  }, before * 0.6);
  const { x, y, width, height } = await line.boundingBox();
  // What is under the pointer stays there: the moment that plays.
  const at = () => page.$eval('.recorded', (video) => Number(video.dataset.time));
  const start = async () => Number(await line.getAttribute('data-start'));
  await page.mouse.move(x + (width * ((await at()) - (await start()))) / (await shown()), y + height - 12);
  for (let turn = 0; turn < 20 && (await shown()) > 121e6; turn += 1) await page.mouse.wheel(0, -240);
  await page.waitForFunction(() => Number(document.querySelector('.timeline-area').dataset.passages) > 0, null, { timeout: SLOW });
  await page.waitForFunction(() => [...document.querySelectorAll('.strip img')].some((img) => img.complete && img.naturalWidth > 0), null, { timeout: SLOW });
  // Ten seconds back is recorded: the camera has sent for a minute.
  const target = (await at()) - 10e6;
  await page.mouse.click(x + (width * (target - (await start()))) / (await shown()), y + height - 12);
  await page.waitForFunction((wanted) => Math.abs(Number(document.querySelector('.recorded').dataset.time) - wanted) < 4e6, target, { timeout: SLOW });
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.waitForFunction(() => !document.querySelector('.recorded video').seeking, null, { timeout: SLOW });
  const still = await at();
  await page.getByRole('button', { name: 'One frame forward' }).click();
  // A press while a picture loads is made when it is there: one is enough.
  await page.waitForFunction((old) => Number(document.querySelector('.recorded').dataset.time) > old, still, { timeout: SLOW });
  assert.ok((await at()) - still < 500_000, 'one frame is less than half a second');
  assert.match(page.url(), /at=\d{16}/, 'the address holds the time');
  await shot('recordings');
}

/** A span with a reason becomes a file on disk; where it lies. */
async function exportEvidence() {
  await page.getByRole('button', { name: 'Span begins here' }).click();
  await page.getByLabel('Reason').fill('Police report 1/2026');
  await shot('export');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export', exact: true }).click()]);
  const path = join(GTV_SHOTS, 'evidence.zip');
  await download.saveAs(path);
  return path;
}

/** By the navigation: a page that is loaded anew would lose a message that is on the screen. */
async function go(name) {
  await page.getByRole('navigation').getByRole('link', { name }).click();
}

const seen = {};
try {
  // A wrong setup code is refused with a reason; the right one makes the administrator.
  await page.goto(GTV_PAGE);
  await page.getByLabel('Setup code').fill('AAAA-BBBB-CCCC');
  await page.getByLabel('User name').fill(USER);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create administrator' }).click();
  await page.locator('.bad').first().waitFor();
  await shot('setup');
  await page.getByLabel('Setup code').fill(GTV_SETUP_CODE);
  await page.getByRole('button', { name: 'Create administrator' }).click();

  // The camera is found by ONVIF and added with one try of its password.
  await page.getByRole('link', { name: 'Add camera' }).click();
  await page.getByRole('button', { name: 'Search the network' }).click();
  await page.getByRole('button', { name: 'Choose' }).first().click({ timeout: SLOW });
  await page.getByLabel('User', { exact: true }).fill(GTV_CAMERA_USER);
  await page.getByLabel('Password', { exact: true }).fill(GTV_CAMERA_PASSWORD);
  await page.getByRole('button', { name: 'Ask the camera' }).click();
  await page.getByLabel('Main stream (recorded)').waitFor({ timeout: SLOW });
  await shot('add-camera');
  await page.getByRole('button', { name: 'Add camera' }).click();

  // Live.
  await page.waitForURL(/\/cameras\/(?!add$)[a-z0-9-]+$/);
  seen.camera = new URL(page.url()).pathname.split('/').pop();
  seen.live = await plays('.video video');
  seen.added_at_ms = Date.now();
  // The fastest way by itself, each other way on request; the delay is told.
  await page.waitForSelector('.live-frame .video[data-transport="webrtc"] .latency[data-delay]', { timeout: SLOW });
  await shot('live');
  for (const [name, way] of [['MSE', 'mse'], ['HLS', 'hls'], ['Automatic', 'webrtc']]) {
    await page.getByLabel('How the picture comes').selectOption({ label: name });
    await page.waitForSelector(`.live-frame .video[data-transport="${way}"]`, { timeout: SLOW });
    await plays('.video video');
  }
  await page.goto(`${GTV_PAGE}/cameras`);
  await page.getByText('Streaming').first().waitFor({ timeout: SLOW });
  await page.locator('.tile-video[data-live="playing"]').waitFor({ timeout: SLOW });
  await shot('cameras');

  await drawZone();
  await importList();

  // Plates come by themselves, and one of them is on the list.
  await go('Plates');
  await seeAlert();
  await go('Plates');
  const rows = page.locator('li[data-plate]');
  await rows.first().waitFor({ timeout: SLOW });
  const until = Date.now() + Number(GTV_WATCH_SECONDS) * 1000;
  while (Date.now() < until) await page.waitForTimeout(500);
  seen.plates = await rows.evaluateAll((list) => list.map((row) => row.dataset.plate));
  await page.waitForFunction(() => [...document.querySelectorAll('li[data-plate] img')].every((img) => img.complete && img.naturalWidth > 0), null, { timeout: SLOW });
  await shot('plates');

  // Any part of a plate finds it again.
  const part = seen.plates.at(-1).slice(1, 5);
  await page.getByRole('searchbox').fill(part.toLowerCase());
  await page.waitForFunction((p) => {
    const list = [...document.querySelectorAll('li[data-plate]')];
    return list.length > 0 && list.every((row) => row.dataset.plate.includes(p));
  }, part, { timeout: SLOW });
  await rows.first().getByRole('link').click();
  await page.locator('.frame img').waitFor({ timeout: SLOW });
  await shot('plate');
  await page.getByRole('tab', { name: 'Clip' }).click();
  seen.clip = await plays('.clip video');

  // Recordings of the same moment.
  await page.getByRole('link', { name: 'Show in recordings' }).click();
  seen.recording = await plays('.recordings video');
  await useTimeline();
  seen.export = await exportEvidence();
  await page.goto(`${GTV_PAGE}/alerts`);
  await page.locator('li.alert.done').getByText('Stolen', { exact: true }).first().waitFor();
  await shot('alerts');
  await page.goto(`${GTV_PAGE}/system`);
  await page.getByRole('heading', { name: 'System' }).first().waitFor();
  await page.waitForTimeout(1000);
  await shot('system');

  // Portuguese, logout, a wrong password.
  const portuguese = await browser.newContext({ viewport: PHONE, locale: 'pt-BR' });
  const other = await portuguese.newPage();
  await other.goto(GTV_PAGE);
  await other.locator('input[autocomplete="username"]').fill(USER);
  await other.locator('input[type="password"]').fill('errada-de-proposito');
  await other.locator('button[type="submit"]').click();
  await other.locator('.bad').first().waitFor();
  await other.screenshot({ path: join(GTV_SHOTS, 'login-pt-phone.png') });
  assert.equal(await other.evaluate(() => document.documentElement.lang), 'pt-BR');
  await portuguese.close();

  assert.deepEqual(faults, []);
  console.log(JSON.stringify(seen));
} catch (error) {
  await page.screenshot({ path: join(GTV_SHOTS, 'failed.png') }).catch(() => {});
  console.error(`at ${page.url()}; faults: ${JSON.stringify(faults)}`);
  throw error;
} finally {
  await browser.close();
}
