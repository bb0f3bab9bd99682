/**
 * A prettier plugin that lays out JSON with comments.
 *
 * GraphiQL tidies its variables and headers editors with prettier's whole JavaScript printer, 545 kB of it, and for
 * nothing else. This stands in for both halves of that import (see `alias` in build.mjs) with the JSON formatter that
 * GraphiQL bundles already.
 */
import { applyEdits, format } from "jsonc-parser";

const LAYOUT = { tabSize: 2, insertSpaces: true, eol: "\n" };

function parse(text) {
  return { text: applyEdits(text, format(text, undefined, LAYOUT)), end: text.length };
}

export const parsers = {
  jsonc: { parse, astFormat: "laid-out-json", locStart: () => 0, locEnd: (node) => node.end },
};

export const printers = {
  "laid-out-json": { print: (path) => path.node.text },
};
