// Opens a report in Chromium at the widths of a desktop and a phone, light and dark. Fails where something is wider than
// the window, where the browser complains, or where the page asks for anything but itself.
//
//   node look.mjs REPORT.html [FOLDER]
//
// Needs playwright-core; CHROMIUM names the browser (default: playwright-core's own). Pictures go into FOLDER.
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";
import path from "node:path";

const { chromium } = createRequire(path.join(process.cwd(), "x"))("playwright-core");
const [report, folder] = process.argv.slice(2);
const address = pathToFileURL(path.resolve(report)).href;
const wrong = [];
// A container's root has no sandbox.
const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || undefined, args });
try {
  for (const width of [1280, 390]) {
    for (const colorScheme of ["light", "dark"]) {
      const where = `${width}-${colorScheme}`;
      const context = await browser.newContext({
        viewport: { width, height: width === 390 ? 844 : 900 },
        deviceScaleFactor: 1,
        colorScheme,
      });
      const page = await context.newPage();
      page.on("console", (message) => wrong.push(`${where}: the console says: ${message.text()}`));
      page.on("pageerror", (error) => wrong.push(`${where}: ${error}`));
      page.on("request", (request) => {
        const url = request.url();
        if (url !== address && !url.startsWith("data:")) wrong.push(`${where}: it asks for ${url}`);
      });
      await page.goto(address, { waitUntil: "load", timeout: 30_000 });
      wrong.push(...(await page.evaluate(look)).map((text) => `${where}: ${text}`));
      if (folder) await page.screenshot({ path: path.join(folder, `${where}.png`), fullPage: true });
      await context.close();
    }
  }
} finally {
  await browser.close();
}
for (const text of wrong) console.error(text);
console.log(`${wrong.length} problems in ${report}`);
process.exitCode = wrong.length ? 1 : 0;

// Runs in the page.
function look() {
  const found = [];
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const element of document.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > wide + 1 || box.left < -1)) {
      found.push(`<${element.tagName}> "${element.textContent.slice(0, 40)}" reaches from ${box.left} to ${box.right}`);
    }
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth && element.tagName !== "text") {
      found.push(`<${element.tagName} class=${element.getAttribute("class")}> is wider inside than outside`);
    }
  }
  for (const image of document.images) {
    if (!image.complete || !image.naturalWidth) found.push(`the picture "${image.alt}" does not load`);
  }
  return found;
}
