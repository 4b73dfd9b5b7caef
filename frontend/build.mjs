// Builds the tracker; `node build.mjs --out FILE` writes elsewhere (the staleness test does).
import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values } = parseArgs({ options: { out: { type: "string" } } });

await build({
  entryPoints: [here("src/main.ts")],
  outfile: values.out ?? here("../src/ml_models/static/js/ml-tracking.js"),
  absWorkingDir: here("."),
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2019"],
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* Bunoraa ML tracker, Apache-2.0. Source: frontend/src */" },
});
