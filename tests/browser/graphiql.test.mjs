/** GraphiQL in headless Chromium, served by a running gateway whose endpoint is HEADRACE_URL. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { after, before, test } from "node:test";

import { launch, newProfile } from "./browser.mjs";
import { Ide } from "./ide.mjs";

const URL_OF_GRAPHQL = process.env.HEADRACE_URL;
const SCREENSHOT = process.env.SCREENSHOT ?? "graphiql.png";
const MUTATION = /^\s*mutation\b/m;

let browser;
let context;
let troubles;
let ide;
let response;

before(async () => {
  browser = await launch();
  ({ context, troubles } = await newProfile(browser, URL_OF_GRAPHQL));
  ide = new Ide(await context.newPage(), URL_OF_GRAPHQL);
  response = await ide.open();
});

after(async () => {
  await browser?.close();
});

/** The first example tab for which `holds(query)`; fails when there is none. */
async function selectExample(holds) {
  const examples = await ide.examples();
  const position = examples.findIndex(({ query }) => holds(query));
  assert.notEqual(position, -1, "no such example in the page");
  await ide.selectTab(position);
  return examples[position];
}

/** Every selection inside the payload that names an entity: the values under `...Accepted` but the receipt. */
function entitiesOf(payload) {
  return Object.entries(payload).filter(([name]) => name !== "receipt" && name !== "__typename");
}

test("the page comes with a policy that names no other host", async () => {
  assert.equal(response.status(), 200);
  const policy = response.headers()["content-security-policy"];
  assert.match(policy, /default-src 'self'/);
  assert.match(policy, /script-src 'self'(;|$)/);
  assert.doesNotMatch(policy, /https?:|unsafe-eval|\*/);
});

test("the examples are the tabs that it opens with", async () => {
  const examples = await ide.examples();
  assert.ok(examples.length >= 2, "a few examples");
  const named = examples.map(({ query }) => query.match(/^(?!#).*(?:query|mutation)\s+(\w+)/m)?.[1] ?? "<untitled>");
  assert.deepEqual(await ide.tabTitles(), named);
  assert.ok((await ide.text("operation")).includes(examples[0].query));
  assert.equal(await ide.text("variables"), examples[0].variables ?? "");
});

test("a click on Execute answers the first query", async () => {
  await selectExample((query) => !MUTATION.test(query));
  const answer = await ide.execute();
  assert.equal(answer.errors, undefined, JSON.stringify(answer.errors));
  const values = Object.values(answer.data);
  assert.ok(values.length > 0 && values.every((value) => value !== null), JSON.stringify(answer.data));
});

test("a mutation is accepted, and reads what it changed with its own token", async () => {
  await selectExample((query) => MUTATION.test(query) && /Accepted/.test(query) && /\btoken\b/.test(query));
  const answer = await ide.execute();
  assert.equal(answer.errors, undefined, JSON.stringify(answer.errors));
  const [payload] = Object.values(answer.data);
  assert.match(payload.__typename, /Accepted$/, JSON.stringify(payload));
  assert.ok(payload.receipt.token.length > 0);
  const entities = entitiesOf(payload);
  assert.ok(entities.length > 0, "the example selects the changed entity");
  for (const [name, entity] of entities) assert.ok(entity?.id, `${name} is ${JSON.stringify(entity)}`);
  const changed = payload.receipt.versions?.map(({ id }) => id) ?? [entities[0][1].id];
  assert.ok(changed.includes(entities[0][1].id), "what was read is what was changed");
  await ide.unmarked();
  await mkdir(dirname(SCREENSHOT), { recursive: true });
  await ide.page.screenshot({ path: SCREENSHOT });
});

test("the documentation explorer shows the schema", async () => {
  const panel = await ide.openPanel("Documentation Explorer");
  await panel.getByText("Root Types").waitFor();
  await panel.getByRole("link", { name: "Mutation", exact: true }).click();
  await panel.getByText("registerCustomer", { exact: true }).waitFor();
  await ide.closePanel("Documentation Explorer");
});

test("the explorer builds queries from the schema", async () => {
  await selectExample((query) => !MUTATION.test(query));
  const panel = await ide.openPanel("GraphiQL Explorer");
  await panel.locator('[data-field-name="customers"]').first().waitFor();
  await ide.closePanel("GraphiQL Explorer");
});

test("the editor's workers run: a wrong field is marked, a query and its variables are tidied", async () => {
  await ide.page.getByRole("button", { name: "New tab" }).click();
  await ide.write("operation", "query Wrong { thereIsNoSuchField }");
  assert.match((await ide.complaints()).join("\n"), /Cannot query field "thereIsNoSuchField"/);
  await ide.write("operation", "query Right{__typename}");
  await ide.write("variables", '{"a":[1,2],"b":{"c":null}}');
  await ide.page.getByRole("button", { name: /Prettify/ }).click();
  await ide.page.waitForFunction(() => localStorage.getItem("graphiql:query") === "query Right {\n  __typename\n}\n");
  assert.match(await ide.text("variables"), /^\{\n {2}"a": \[\n/);
});

test("tabs are kept over a reload, and new examples come before them", async () => {
  const examples = await ide.examples();
  await ide.kept();
  await ide.open();
  assert.equal((await ide.tabTitles()).at(-1), "Right");
  assert.equal((await ide.tabTitles()).length, examples.length + 1);

  await ide.page.route(URL_OF_GRAPHQL, async (route) => {
    if (route.request().resourceType() !== "document") return route.continue();
    const response = await route.fetch();
    const tabs = [{ title: "New", query: "query New($a: Int) { __typename }", variables: '{"a": 1}' }, ...examples];
    const data = JSON.stringify({ endpoint: new URL(URL_OF_GRAPHQL).pathname, tabs }).replaceAll("<", "\\u003c");
    const body = (await response.text()).replace(/(?<=id="headrace">)[^<]*/, () => data);
    return route.fulfill({ response, body });
  });
  await ide.open();
  const titles = await ide.tabTitles();
  assert.equal(titles[0], "New");
  assert.equal(titles.at(-1), "Right");
  assert.equal(titles.length, examples.length + 2);
  assert.equal(await ide.text("variables"), '{"a": 1}');
  await ide.page.unroute(URL_OF_GRAPHQL);
});

test("all along, no error in the console and no request to another host", () => {
  assert.deepEqual(troubles, []);
});
