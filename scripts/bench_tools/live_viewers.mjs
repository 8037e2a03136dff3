// Watches cameras in Chromium as an operator would, and reads the time that is burnt into the pictures from what is on
// the screen. Settings come by environment; prints one JSON object: milliseconds from picture to screen.
import { createRequire } from 'node:module';

const { GTV_PAGE, GTV_SETUP_CODE, GTV_E2E, GTV_TRANSPORT, GTV_VIEWERS, GTV_SECONDS, GTV_SETTLE, GTV_USER, GTV_PASSWORD, GTV_SHOT } = process.env;
const { chromium } = createRequire(`${GTV_E2E}/`)('playwright-core');
const browser = await chromium.launch({
  executablePath: process.env.GTV_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required', '--disable-background-timer-throttling', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows'],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-US' });
const post = (path, data) => context.request.post(`${GTV_PAGE}${path}`, { data, headers: { 'X-GTV-Request': '1' } });
if (GTV_SETUP_CODE) await post('/api/admin/setup', { code: GTV_SETUP_CODE, username: GTV_USER, password: GTV_PASSWORD });
await post('/api/admin/login', { username: GTV_USER, password: GTV_PASSWORD });
await context.addInitScript((transport) => localStorage.setItem('gtv.transport', transport), GTV_TRANSPORT);

/** In the page: each picture as it is shown, with the time read from its cells. */
function measure() {
  const columns = 14;
  const rows = 4;
  const canvas = document.createElement('canvas');
  canvas.width = columns * 4;
  canvas.height = rows * 4;
  const paper = canvas.getContext('2d', { willReadFrequently: true });
  window.shown = [];
  const read = (video) => {
    const cell = Math.floor(video.videoWidth / columns) * columns;
    paper.drawImage(video, 0, 0, cell, Math.floor(video.videoHeight / 2 / rows) * rows, 0, 0, canvas.width, canvas.height);
    const { data } = paper.getImageData(0, 0, canvas.width, canvas.height);
    let value = 0n;
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const at = ((row * 4 + 2) * canvas.width + column * 4 + 2) * 4;
        value = (value << 1n) | (data[at] > 127 ? 1n : 0n);
      }
    }
    const millis = value >> 8n;
    let check = 0n;
    for (let shift = 0n; shift < 48n; shift += 8n) check += (millis >> shift) & 0xffn;
    return (check & 0xffn) === (value & 0xffn) ? Number(millis) : null;
  };
  const next = (_, info) => {
    const video = document.querySelector('.live-frame video');
    const at = performance.timeOrigin + Math.max(performance.now(), info.expectedDisplayTime);
    const taken = read(video);
    const said = Number(document.querySelector('.latency')?.dataset.delay ?? NaN);
    window.shown.push({ at, late: taken === null ? null : at - taken, said: Number.isNaN(said) ? null : said * 1000 });
    video.requestVideoFrameCallback(next);
  };
  document.querySelector('.live-frame video').requestVideoFrameCallback(next);
}

const pages = [];
for (let n = 0; n < Number(GTV_VIEWERS); n += 1) {
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && console.error(message.text()));
  await page.goto(`${GTV_PAGE}/cameras/stamp`);
  await page.waitForSelector('.live-frame .video.playing', { timeout: 30_000 }).catch(async (error) => {
    if (GTV_SHOT) await page.screenshot({ path: GTV_SHOT });
    throw new Error(`no picture: ${await page.innerText('body')}`, { cause: error });
  });
  pages.push(page);
}
await pages[0].waitForTimeout(Number(GTV_SETTLE) * 1000);
for (const page of pages) await page.evaluate(measure);
await pages[0].waitForTimeout(Number(GTV_SECONDS) * 1000);
const shown = [];
const transports = new Set();
for (const page of pages) {
  shown.push(...(await page.evaluate(() => window.shown)));
  transports.add(await page.$eval('.live-frame .video', (video) => video.dataset.transport));
}
if (GTV_SHOT) await pages[0].screenshot({ path: GTV_SHOT });
await browser.close();
console.log(JSON.stringify({ transports: [...transports], shown }));
