// playwright-core and puppeteer-core, unmodified, through execd's relay: node browser.mjs URL DIRECTORY
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

const [base, directory] = process.argv.slice(2);
const socket = `${base.replace("http", "ws")}/ws/automation?tenantId=t`;
const html = `<title>Shop</title><input id=i><button id=b onclick="this.textContent='sold '+i.value">buy</button>
  <a id=d href=/file download>get</a>`;
const server = http.createServer((request, response) => {
  if (request.url === "/file") {
    response.setHeader("Content-Disposition", "attachment; filename=kept.bin");
    return response.end(Buffer.alloc(100_000, 7));
  }
  response.setHeader("Content-Type", "text/html");
  response.end(html);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const site = `http://127.0.0.1:${server.address().port}/`;
const downloads = `${directory}/downloads-${process.pid}`;
fs.mkdirSync(downloads, { mode: 0o777 });
fs.chmodSync(downloads, 0o777);

const arrived = async (name) => {
  for (let i = 0; i < 200; i++) {
    if (fs.existsSync(`${downloads}/${name}`) && fs.statSync(`${downloads}/${name}`).size === 100_000) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`${name} did not arrive`);
};

// Playwright, by the socket and by discovery.
for (const [name, address] of [["socket", socket], ["discovery", base]]) {
  const browser = await chromium.connectOverCDP(address);
  const page = browser.contexts()[0].pages()[0];
  await page.goto(site);
  await page.fill("#i", name);
  await page.click("#b");
  assert.equal(await page.textContent("#b"), `sold ${name}`);
  assert.ok((await page.screenshot({ fullPage: true })).length > 1000);
  await browser.close();
  console.log(`ok playwright by ${name}`);
}
{
  const browser = await chromium.connectOverCDP(socket);
  const page = browser.contexts()[0].pages()[0];
  assert.equal(page.url(), site);
  console.log("ok the page is there again");
  const session = await browser.newBrowserCDPSession();
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
  await page.click("#d");
  await arrived("kept.bin");
  console.log("ok download by playwright");
  const context = await browser.newContext();
  const other = await context.newPage();
  await other.goto(site);
  assert.equal(await other.title(), "Shop");
  await context.close();
  console.log("ok a context of its own");
  await browser.close();
}

// Puppeteer, which ends its use with Browser.close.
{
  const browser = await puppeteer.connect({ browserWSEndpoint: socket, defaultViewport: null });
  const [page] = await browser.pages();
  await page.goto(site);
  await page.type("#i", "puppet");
  await page.click("#b");
  assert.equal(await page.$eval("#b", (b) => b.textContent), "sold puppet");
  assert.ok((await page.screenshot()).length > 1000);
  console.log("ok puppeteer");
  const session = await browser.target().createCDPSession();
  fs.rmSync(`${downloads}/kept.bin`);
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
  await page.click("#d");
  await arrived("kept.bin");
  console.log("ok download by puppeteer");
  await browser.close();
}
{
  const browser = await puppeteer.connect({ browserURL: base, defaultViewport: null });
  assert.equal((await browser.pages())[0].url(), site);
  console.log("ok close() ended nothing");

  // Both at once, on the same page.
  const beside = await chromium.connectOverCDP(socket);
  const [mine] = await browser.pages();
  await mine.evaluate(() => { window.mark = 41; });
  assert.equal(await beside.contexts()[0].pages()[0].evaluate(() => window.mark + 1), 42);
  console.log("ok two clients at once");
  await beside.close();
  assert.equal(await mine.evaluate(() => window.mark), 41);
  await browser.disconnect();
  const again = await puppeteer.connect({ browserWSEndpoint: socket, defaultViewport: null });
  assert.equal(await (await again.pages())[0].evaluate(() => window.mark), 41);
  console.log("ok again after disconnect()");
  await again.disconnect();
}
server.close();
process.exit(0);
