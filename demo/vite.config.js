import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { defineConfig } from "vite";

/** Nothing but the page's own files, and models from the Hub. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self' blob:",
  "worker-src 'self'",
  "manifest-src 'self'",
  "connect-src 'self' https://huggingface.co https://*.hf.co",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** The policy in the page itself, as static hosts send no headers of one's own, and fonts at once, so that no text moves. */
const head = {
  name: "head",
  apply: "build",
  transformIndexHtml: {
    order: "post",
    handler(_, { bundle }) {
      const fonts = Object.keys(bundle).filter((name) => name.endsWith(".woff2"));
      return [
        { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: POLICY }, injectTo: "head-prepend" },
        ...fonts.map((name) => ({
          tag: "link",
          attrs: { rel: "preload", href: `./${name}`, as: "font", type: "font/woff2", crossorigin: "" },
          injectTo: "head",
        })),
      ];
    },
  },
};

/** Terms of what is in the page, beside it. */
const licences = {
  name: "licences",
  apply: "build",
  generateBundle() {
    const { resolve } = createRequire(import.meta.url);
    const texts = ["vitrail", "preact", "@fontsource-variable/inter", "@fontsource/newsreader"].map((name) => {
      const folder = dirname(resolve(`${name}/package.json`));
      return `${name}\n\n${readFileSync(join(folder, "LICENSE"), "utf8")}`;
    });
    texts.push(readFileSync(new URL("photos/README.md", import.meta.url), "utf8"));
    this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join("\n\n") });
  },
};

/** The service worker, with the names of all files that it keeps, and a version that changes with any of them. */
const offline = {
  name: "offline",
  apply: "build",
  writeBundle({ dir }) {
    const files = readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "service-worker.js")
      .map((entry) => join(entry.parentPath, entry.name));
    const hash = createHash("sha256");
    for (const file of files.sort()) hash.update(file.slice(dir.length)).update(readFileSync(file));
    const names = files.map((file) => `.${file.slice(dir.length).replaceAll("\\", "/")}`);
    const facts = `const VERSION = "${hash.digest("hex").slice(0, 16)}";\nconst FILES = ${JSON.stringify(names)};\n`;
    const code = readFileSync(new URL("service-worker.js", import.meta.url), "utf8");
    writeFileSync(join(dir, "service-worker.js"), facts + code);
  },
};

export default defineConfig({
  base: "./",
  // A small file as a data: address would be nothing of the page's own.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  worker: { format: "es" },
  plugins: [head, licences, offline],
  preview: {
    headers: {
      "Content-Security-Policy": POLICY,
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
});
