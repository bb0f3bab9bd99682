/**
 * Builds GraphiQL into ../static: hashed files, each with its gzip twin, a manifest of them, and the licences.
 *
 * No source maps, no code splitting (the editor needs nearly all of it at once), no address of any other host.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, "..", "static");
const WORKERS = {
  editor: "monaco-editor/esm/vs/editor/editor.worker.js",
  json: "monaco-editor/esm/vs/language/json/json.worker.js",
  graphql: "monaco-graphql/esm/graphql.worker.js",
};
/** Packages that ship no licence text, by prefix: the package of the same authors and project whose text holds. */
const LICENCE_OF = [
  ["@graphiql/", "graphiql"],
  ["react-compiler-runtime", "react"],
  ["react-remove-scroll-bar", "react-remove-scroll"],
];
const LICENCE_NOTE = `The files beside this one are built from the packages below.
codicon-*.ttf, from monaco-editor, is Microsoft's Visual Studio Code icon font, under CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/).`;
const COMMON = {
  absWorkingDir: HERE,
  bundle: true,
  minify: true,
  metafile: true,
  outdir: OUT,
  target: "es2022",
  mainFields: ["browser", "module", "main"], // named, so that one require() of graphql does not pull in its CommonJS build
  legalComments: "none", // LICENSES.txt has the whole texts
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"' },
  plugins: [{ name: "production-graphql", setup: withProductionGraphql }],
};

/** graphql decides while it runs whether it is in production; this is the production half of that module. */
function withProductionGraphql(build) {
  build.onLoad({ filter: /graphql\/jsutils\/instanceOf\.mjs$/ }, () => ({
    contents: "export const instanceOf = (value, constructor) => value instanceof constructor;",
  }));
}

function outputOf(result, entry) {
  const found = Object.entries(result.metafile.outputs).find(([, output]) => output.entryPoint?.endsWith(entry));
  return { script: basename(found[0]), style: found[1].cssBundle && basename(found[1].cssBundle) };
}

async function buildWorkers() {
  const entryPoints = Object.entries(WORKERS).map(([name, path]) => ({ in: path, out: `${name}.worker` }));
  const result = await esbuild.build({ ...COMMON, entryPoints, format: "iife", entryNames: "[name]-[hash]" });
  const names = Object.entries(WORKERS).map(([name, path]) => [name, outputOf(result, path).script]);
  return { result, names: Object.fromEntries(names) };
}

async function buildPage(workers) {
  const result = await esbuild.build({
    ...COMMON,
    entryPoints: [{ in: "src/main.jsx", out: "graphiql" }],
    format: "esm",
    entryNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    jsx: "automatic",
    keepNames: true, // GraphiQL makes the icons' accessible titles from the names of functions
    loader: { ".ttf": "file", ".woff2": "file" },
    alias: {
      "prettier/parser-babel": "./src/jsonc.js",
      "prettier/plugins/estree": "./src/jsonc.js",
      "prettier/parser-graphql": "prettier/plugins/graphql",
    },
    define: { ...COMMON.define, WORKERS: JSON.stringify(workers) },
  });
  return { result, ...outputOf(result, "src/main.jsx") };
}

/** The folders of the packages that have bytes in the output. */
function bundledPackages(results) {
  const folders = new Set();
  for (const output of results.flatMap(({ metafile }) => Object.values(metafile.outputs))) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const folder = input.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0];
      if (folder && bytesInOutput > 0) folders.add(join(HERE, folder));
    }
  }
  return [...folders];
}

function licenceText(folder, name) {
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|thirdparty)/i.test(file));
  if (files.length > 0) return files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim()).join("\n\n");
  const [, twin] = LICENCE_OF.find(([prefix]) => name.startsWith(prefix)) ?? [];
  if (!twin) throw new Error(`${name} comes without a licence text: name a package of the same project in LICENCE_OF`);
  return licenceText(join(HERE, "node_modules", twin), twin);
}

function licences(folders) {
  const rule = "=".repeat(100);
  const blocks = folders.map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return `${rule}\n${name} ${version} (${license})\n${rule}\n\n${licenceText(folder, name)}\n`;
  });
  return `${LICENCE_NOTE}\n\n${blocks.sort().join("\n")}`;
}

function compress() {
  for (const file of readdirSync(OUT).filter((name) => /\.(js|css|ttf)$/.test(name))) {
    writeFileSync(join(OUT, `${file}.gz`), gzipSync(readFileSync(join(OUT, file)), { level: 9 }));
  }
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
const workers = await buildWorkers();
const page = await buildPage(workers.names);
compress();
const manifest = { script: page.script, style: page.style, workers: Object.values(workers.names) };
writeFileSync(join(OUT, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
writeFileSync(join(OUT, "LICENSES.txt"), licences(bundledPackages([workers.result, page.result])));
for (const file of readdirSync(OUT)) console.log(`${String(statSync(join(OUT, file)).size).padStart(9)} ${file}`);
