/** Starts the machine's Chromium and writes down whatever goes wrong in it. */
import { chromium } from "playwright-core";

// A container without user namespaces cannot sandbox; the rest keeps Chromium from calling its maker's hosts.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS });
}

/** A new profile (empty storage and cache) and its troubles, a list of lines that grows while the profile is used. */
export async function newProfile(browser, url) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, serviceWorkers: "block" });
  context.setDefaultTimeout(15_000);
  const troubles = [];
  const own = new URL(url).origin;
  context.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== own && protocol !== "data:" && protocol !== "blob:") troubles.push(`foreign: ${request.url()}`);
  });
  context.on("requestfailed", (request) => {
    const cause = request.failure()?.errorText;
    // A page that is left drops what it was still loading; a refusal by the policy or the server has another name.
    if (cause !== "net::ERR_ABORTED") troubles.push(`failed: ${request.url()}: ${cause}`);
  });
  context.on("response", (response) => {
    if (response.status() >= 400) troubles.push(`status ${response.status()}: ${response.url()}`);
  });
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) troubles.push(`console: ${message.text()}`);
  });
  context.on("weberror", (error) => troubles.push(`uncaught: ${error.error().stack}`));
  return { context, troubles };
}
