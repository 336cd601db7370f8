// The page that shows the desktop, in a Chromium of the test's own; what it shows beside what the desktop shows:
// node viewer.mjs URL PATH prints {width, height, equal}.
import { chromium } from "playwright-core";

const [base, path] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
const said = [];
page.on("console", (message) => said.push(message.text()));
page.on("pageerror", (error) => said.push(String(error)));
try {
  await page.goto(base + path);
  await page.waitForSelector('body[data-state="connected"]', { timeout: 30_000 });
  const compare = async () => page.evaluate(async () => {
    const shown = document.querySelector("#screen canvas");
    const shot = await createImageBitmap(await (await fetch("/execd/v1/desktop/screenshot")).blob());
    const canvas = new OffscreenCanvas(shot.width, shot.height);
    canvas.getContext("2d").drawImage(shot, 0, 0);
    const mine = shown.getContext("2d").getImageData(0, 0, shown.width, shown.height).data;
    const theirs = canvas.getContext("2d").getImageData(0, 0, shot.width, shot.height).data;
    let near = 0;
    for (let i = 0; i < theirs.length; i += 4)
      if ([0, 1, 2].every((c) => Math.abs(mine[i + c] - theirs[i + c]) < 24)) near += 1;
    return { width: shown.width, height: shown.height, equal: near / (theirs.length / 4) };
  });
  let result;
  for (let i = 0; i < 20; i++) {
    result = await compare();
    if (result.equal > 0.99) break;
    await new Promise((done) => setTimeout(done, 250));
  }
  console.log(JSON.stringify(result));
  process.exit(0);
} catch (problem) {
  console.error(String(problem), said.join("\n"));
  process.exit(1);
}
