// Bundles src/ into static/: app.<hash>.js, app.<hash>.css, index.html and the licences of what is inside.
// The same sources give the same bytes; `npm ci --ignore-scripts && node build.mjs` needs no network after `npm ci`.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "static"));
const hash = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 12);

const result = await build({
  absWorkingDir: here, entryPoints: { app: "src/main.jsx" }, bundle: true, minify: true, format: "esm", target: "es2022",
  jsx: "automatic", jsxImportSource: "preact", legalComments: "none", write: false, outdir: "static", charset: "utf8",
});

mkdirSync(out, { recursive: true });
for (const name of readdirSync(out)) if (/^app\..*\.(js|css)$/.test(name)) rmSync(join(out, name));
const names = {};
for (const file of result.outputFiles) {
  const kind = file.path.endsWith(".css") ? "css" : "js";
  names[kind] = `app.${hash(file.contents)}.${kind}`;
  writeFileSync(join(out, names[kind]), file.contents);
}
copyFileSync(join(here, "src/icon.svg"), join(out, "icon.svg"));
const page = readFileSync(join(here, "src/index.html"), "utf8");
writeFileSync(join(out, "index.html"), page.replace("app.css", names.css).replace("app.js", names.js));

const packages = ["preact", "@preact/signals", "@preact/signals-core", "uplot"];
const licences = packages.map((name) => {
  const folder = join(here, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(out, "licenses.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
