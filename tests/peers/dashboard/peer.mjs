// The dashboard in a real browser: `peer.mjs DEED ADDRESS [FACT…]`. Says what is wrong, and ends with 1.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const [deed, address, ...wanted] = process.argv.slice(2);
const origin = `http://${address}`;
const LONG = 20_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const wrong = [];
const loaded = new Map();

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  pipe: true, // it ends with this program, however that ends
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
});

/** A page that keeps to what it is allowed, or it is told. */
async function open(width = 1280, scheme = "light") {
  const page = await browser.newPage();
  page.setDefaultTimeout(LONG);
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.evaluateOnNewDocument(() => {
    window.violations = [];
    addEventListener("securitypolicyviolation", (one) => window.violations.push(`${one.violatedDirective} ${one.blockedURI}`));
  });
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("console", (said) => {
    // A browser tells of each request that comes to nothing; that a sidecar is gone is what one deed is about.
    if (said.type() === "error" && !said.text().includes("Failed to load resource")) wrong.push(`console: ${said.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`)) wrong.push(`asks somebody else: ${request.url()}`);
    if (request.method() !== "GET") wrong.push(`does more than read: ${request.method()} ${request.url()}`);
  });
  page.on("response", async (answer) => {
    const path = new URL(answer.url()).pathname;
    if (path === "/" || path.startsWith("/page/")) loaded.set(path, Math.max(loaded.get(path) ?? 0, Number(answer.headers()["content-length"] ?? 0))); // its cache tells none
  });
  return page;
}

/** Waits until the page says `text` in `place`. */
async function says(page, place, text) {
  const seen = (place, text) => document.querySelector(place)?.innerText.includes(text);
  await page.waitForFunction(seen, {}, place, text).catch(async () => {
    wrong.push(`${place} does not say ${text}: ${await page.$eval(place, (one) => one.innerText).catch(() => "there is none")}`);
  });
}

async function opened(width, scheme) {
  const page = await open(width, scheme);
  await page.goto(`${origin}/`);
  await says(page, "#verdict", "Ready");
  await page.waitForSelector("#plots canvas");
  return page;
}

async function judge(page) {
  for (const violation of await page.evaluate(() => window.violations)) wrong.push(`CSP: ${violation}`);
}

const deeds = {
  /** Each fact is `PLACE=TEXT`. */
  async shows() {
    const page = await opened();
    for (const fact of wanted) {
      const [place, text] = fact.split("=");
      await says(page, place, text);
    }
    const whole = [...loaded.values()].reduce((sum, size) => sum + size, 0);
    if (loaded.size < 9 || !(whole < 100_000)) wrong.push(`${whole} bytes in ${[...loaded.keys()]}`);
    await judge(page);
  },

  async everybody() {
    for (const [width, scheme] of [[1280, "light"], [1280, "dark"], [360, "light"], [360, "dark"]]) {
      const page = await opened(width, scheme);
      const scrolled = await page.evaluate(() => document.documentElement.scrollWidth);
      if (scrolled > width) wrong.push(`${scrolled} px wide on ${width} px`);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run(document));
      for (const { id, impact, nodes } of violations.filter(({ impact }) => ["serious", "critical"].includes(impact))) {
        wrong.push(`axe, ${width} px ${scheme}, ${impact}: ${id} at ${nodes.map((node) => node.target).join("; ")}`);
      }
      await judge(page);
      await page.close();
    }
  },

  async keyboard() {
    const page = await opened();
    const count = await page.evaluate(() => {
      const all = [...document.querySelectorAll("a[href], button, [tabindex='0']")].filter((one) => one.checkVisibility());
      all.forEach((one, at) => { one.dataset.stop = at; });
      return all.length;
    });
    const reached = new Set();
    for (let press = 0; press < count + 5; press += 1) {
      await page.keyboard.press("Tab");
      const [stop, ring] = await page.evaluate(() => {
        const one = document.activeElement;
        return [one.dataset.stop ?? null, getComputedStyle(one).outlineStyle];
      });
      if (stop === null) continue;
      reached.add(stop);
      if (ring === "none") wrong.push(`focus cannot be seen at stop ${stop}`);
    }
    if (reached.size !== count) wrong.push(`${reached.size} of ${count} places are reached`);
    // There may be no sample yet, or a plot may have been made anew since.
    const walks = () => document.querySelector("#legend-when").innerText.includes("at ");
    for (let attempt = 0; attempt < 50 && !(await page.evaluate(walks)); attempt += 1) {
      await page.focus("#plots .plot");
      await page.keyboard.press("Home");
      await page.waitForFunction(walks, { timeout: 300 }).catch(() => {});
    }
    await says(page, "#legend-when", "at ");
    await page.keyboard.press("Escape");
    await says(page, "#legend-when", "now");
    await judge(page);
  },

  /** Tells when the page has noticed each change, for whoever makes them. */
  async silence() {
    const page = await opened();
    console.log("it is ready");
    await says(page, "#verdict", "does not answer");
    await says(page, "#seen", "last seen");
    console.log("it is silent");
    await says(page, "#verdict", "Ready");
    const stale = await page.evaluate(() => document.body.classList.contains("stale"));
    if (stale) wrong.push("it answers again, and the page looks as if it did not");
    await judge(page);
  },

  /** Every text that strangers can write is markup and script. */
  async hostile() {
    const page = await open();
    const STRIKE = `"><img src=x onerror="window.struck=1"><script>window.struck=1</script>`;
    const kept = /^\d{4}-\d\d-\d\dT|^(connection|request)-(denied|refused)$|^(inbound|outbound)$/;
    const struck = (value) => {
      if (typeof value === "string") return kept.test(value) ? value : STRIKE;
      if (Array.isArray(value)) return value.map(struck);
      if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, struck(one)]));
      return value;
    };
    await page.setRequestInterception(true);
    page.on("request", async (request) => {
      const path = new URL(request.url()).pathname;
      if (!["/status", "/denials", "/connections", "/history"].includes(path)) return request.continue();
      const told = await (await fetch(request.url())).json();
      return request.respond({ contentType: "application/json", body: JSON.stringify(struck(told)) });
    });
    await page.goto(`${origin}/`);
    for (const place of ["h1", "#denials-table", "#peers-table", "#rules-table", "#listeners-table", "#legend"]) await says(page, place, STRIKE);
    const [images, scripts, hit] = await page.evaluate(() => [document.images.length, document.scripts.length, window.struck ?? "nothing"]);
    if (images !== 1 || scripts !== 2 || hit !== "nothing") wrong.push(`taken for markup: ${images} images, ${scripts} scripts, struck: ${hit}`);
    await judge(page);
  },
};

try {
  await deeds[deed]();
} finally {
  await browser.close();
}
if (wrong.length > 0) {
  console.log([...new Set(wrong)].join("\n"));
  process.exitCode = 1;
} else {
  console.log(`${deed}: all is well`);
}
