/** GraphiQL as a person uses it: tabs, the Execute button, the answer, the panels at the left. */
export class Ide {
  constructor(page, url) {
    this.page = page;
    this.url = url;
  }

  async open() {
    const response = await this.page.goto(this.url);
    await this.page.locator(".graphiql-query-editor .monaco-editor .view-line").first().waitFor();
    await this.page.getByRole("button", { name: "Show Documentation Explorer" }).waitFor();
    return response;
  }

  /** The examples that the server put into the page: [{title, query, variables, headers}]. */
  async examples() {
    return JSON.parse(await this.page.locator("#headrace").textContent()).tabs;
  }

  async tabTitles() {
    return this.page.getByRole("tab").allInnerTexts();
  }

  /** Opens a tab and waits until GraphiQL has taken note of its operation (it looks 100 ms after a change). */
  async selectTab(position) {
    await this.page.evaluate(() => localStorage.removeItem("graphiql:query"));
    await this.page.getByRole("tab").nth(position).click();
    await this.page.waitForFunction(() => localStorage.getItem("graphiql:query") !== null);
  }

  /** What an editor holds, as text: "operation", "variables" or "response". */
  async text(editor) {
    return this.page.evaluate((name) => {
      const model = globalThis.__MONACO.editor.getModels().find(({ uri }) => uri.path.includes(name));
      return model?.getValue() ?? "";
    }, `${editor}.`);
  }

  async write(editor, text) {
    await this.page.evaluate(
      ([name, value]) =>
        globalThis.__MONACO.editor
          .getModels()
          .find(({ uri }) => uri.path.includes(name))
          .setValue(value),
      [`${editor}.`, text],
    );
  }

  /** Clicks Execute; the answer that GraphiQL then shows, once it is JSON and drawn. */
  async execute() {
    await this.write("response", "");
    await this.page.getByRole("button", { name: /Execute query/ }).click();
    await this.page.waitForFunction(() => {
      const model = globalThis.__MONACO.editor.getModels().find(({ uri }) => uri.path.includes("response."));
      try {
        return typeof JSON.parse(model.getValue()) === "object";
      } catch {
        return false;
      }
    });
    await this.page.locator(".result-window .view-line", { hasText: '"data"' }).first().waitFor();
    return JSON.parse(await this.text("response"));
  }

  /** The messages of the marks under the operation's text, once there are any. */
  async complaints() {
    const handle = await this.page.waitForFunction(() => {
      const marks = globalThis.__MONACO.editor.getModelMarkers({}).filter(({ resource }) => /operation/.test(resource.path));
      return marks.length > 0 && marks.map(({ message }) => message);
    });
    return handle.jsonValue();
  }

  /** Waits until what the editors hold is kept as the last tab: GraphiQL writes the tabs half a second later. */
  async kept() {
    await this.page.waitForFunction(() => {
      const { tabs } = JSON.parse(localStorage.getItem("graphiql:tabState") ?? `{"tabs":[{}]}`);
      return ["query", "variables"].every((part) => localStorage.getItem(`graphiql:${part}`) === tabs.at(-1)[part]);
    });
  }

  /** Waits until nothing is marked as wrong: after a change of tab, the last tab's marks stay for a second. */
  async unmarked() {
    await this.page.waitForFunction(() => globalThis.__MONACO.editor.getModelMarkers({}).length === 0);
  }

  async openPanel(title) {
    await this.page.getByRole("button", { name: `Show ${title}` }).click();
    const panel = this.page.locator(".graphiql-plugin");
    await panel.waitFor();
    return panel;
  }

  async closePanel(title) {
    await this.page.getByRole("button", { name: `Hide ${title}` }).click();
  }
}
