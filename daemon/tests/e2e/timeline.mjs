// Measures the timeline of recordings in Chromium: from the click on "Recordings" until a day of rows is drawn, and from
// the click on a time until its picture is on the screen. Settings come by environment; prints one JSON object.
import { chromium } from 'playwright-core';

const { GTV_PAGE, GTV_SETUP_CODE, GTV_ROUNDS } = process.env;
const CHROMIUM = process.env.GTV_CHROMIUM ?? '/usr/bin/chromium';
const USER = 'operadora';
const PASSWORD = 'uma-frase-bem-longa';
const SLOW = 30_000;

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required'] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-US' });
const page = await context.newPage();
await page.goto(GTV_PAGE);
await page.getByLabel('Setup code').fill(GTV_SETUP_CODE);
await page.getByLabel('User name').fill(USER);
await page.getByLabel('Password').fill(PASSWORD);
await page.getByRole('button', { name: 'Create administrator' }).click();
await page.getByRole('navigation').waitFor();

/** Within the page, so that the way to the browser does not count. */
async function open() {
  await page.getByRole('navigation').getByRole('link', { name: 'System' }).click();
  await page.locator('.timeline-area').waitFor({ state: 'detached' });
  await page.waitForTimeout(300);
  return page.evaluate(async () => {
    const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const before = performance.now();
    document.querySelector('nav a[href="/recordings"]').click();
    while (document.querySelector('.timeline-area[data-loaded="true"]') === null) await new Promise((done) => setTimeout(done, 2));
    await painted();
    return performance.now() - before;
  });
}

/** A click far from the last one: the picture comes out of another file. */
async function seek(share) {
  const box = await page.locator('.timeline-area').boundingBox();
  const y = box.y + box.height - 14;
  await page.evaluate(() => {
    const old = document.querySelector('.recorded video')?.currentSrc ?? '';
    window.sought = new Promise((done) => {
      addEventListener('pointerup', () => {
        const before = performance.now();
        const look = () => {
          const video = document.querySelector('.recorded video');
          if (!video || video.currentSrc === old || video.seeking || video.readyState < 2) return setTimeout(look, 2);
          // The next picture that is presented is one of the new time.
          return video.requestVideoFrameCallback(() => done(performance.now() - before));
        };
        look();
      }, { once: true, capture: true });
    });
  });
  await page.mouse.click(box.x + box.width * share, y);
  const ms = await Promise.race([page.evaluate(() => window.sought), page.waitForTimeout(SLOW).then(() => null)]);
  await page.waitForTimeout(400);
  return ms;
}

const opened = [];
const sought = [];
for (let n = 0; n < Number(GTV_ROUNDS); n += 1) opened.push(await open());
const passages = Number(await page.locator('.timeline-area').getAttribute('data-passages'));
// Golden section: never near the last one, and the same in each run.
for (let n = 0; n < Number(GTV_ROUNDS); n += 1) sought.push(await seek(0.03 + 0.85 * ((n * 0.618034) % 1)));
console.log(JSON.stringify({ open: opened, seek: sought, passages }));
await browser.close();
