/** The page: reads what the server put into it (`#headrace`), and shows GraphiQL on it. */
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "@graphiql/plugin-explorer/style.css";
import "graphiql/graphiql.css";
import "./page.css";

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { createRoot } from "react-dom/client";

import { openingTabs } from "./tabs.js";

// WORKERS is put in by build.mjs: the hashed file names of the editor's workers, beside this script.
globalThis.MonacoEnvironment = {
  getWorker: (_moduleId, label) => new Worker(new URL(WORKERS[label] ?? WORKERS.editor, import.meta.url)),
};

function browserStorage() {
  try {
    return window.localStorage;
  } catch {
    return null; // refused by the browser's settings: nothing is kept, all else works
  }
}

const { endpoint, tabs } = JSON.parse(document.getElementById("headrace").textContent);
const url = new URL(endpoint, window.location.href);
const fetcher = createGraphiQLFetcher({
  url: url.href,
  subscriptionUrl: url.href.replace(/^http/, "ws"),
});
const storage = browserStorage();

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={[HISTORY_PLUGIN, explorerPlugin()]}
    defaultEditorToolsVisibility={true}
    storage={storage === null ? null : undefined}
    {...openingTabs(tabs, storage)}
  >
    <GraphiQL.Logo>Headrace</GraphiQL.Logo>
  </GraphiQL>,
);
