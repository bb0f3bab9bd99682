/**
 * Decides which tabs GraphiQL opens with: those it kept in this browser, or the server's examples.
 *
 * Examples come first whenever this browser has not seen exactly these before (a first visit, a new release of the
 * server); tabs that somebody wrote or edited stay, after them.
 */
const SEEN = "headrace:examples";
const KEPT = "graphiql:tabState";
const OPEN_EDITORS = ["graphiql:query", "graphiql:variables", "graphiql:headers"];

function sameText(one, other) {
  return one.query === other.query && (one.variables ?? "") === (other.variables ?? "");
}

function keptTabs(storage) {
  try {
    const { tabs } = JSON.parse(storage.getItem(KEPT));
    return tabs.filter((tab) => tab.query).map(({ query, variables, headers }) => ({ query, variables, headers }));
  } catch {
    return []; // nothing kept, or by a GraphiQL of another shape
  }
}

/** The props of GraphiQL for `examples` ([{title?, query, variables, headers}]); `storage` is null where refused. */
export function openingTabs(examples, storage) {
  const shown = examples.map(({ title, query, variables, headers }) => ({
    query: title ? `# ${title}\n${query}` : query,
    variables,
    headers,
  }));
  if (shown.length === 0) return {};
  const fingerprint = JSON.stringify(shown);
  const seen = storage?.getItem(SEEN);
  if (seen === fingerprint && storage.getItem(KEPT)) return {};

  const outdated = [...JSON.parse(seen ?? "[]"), ...shown];
  const own = storage ? keptTabs(storage).filter((tab) => !outdated.some((example) => sameText(example, tab))) : [];
  for (const key of [KEPT, ...OPEN_EDITORS]) storage?.removeItem(key);
  storage?.setItem(SEEN, fingerprint);
  // GraphiQL fills its editors from the first tab's query alone: the variables and headers must be said again.
  const [first] = shown;
  return {
    defaultTabs: [...shown, ...own],
    initialQuery: first.query,
    initialVariables: first.variables ?? undefined,
    initialHeaders: first.headers ?? undefined,
  };
}
