/**
 * Who may import whom, in src/: the picture in ARCHITECTURE.md as a table. A new arrow is a design decision: change both in
 * the same commit. Dynamic imports count.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";

interface Layer {
  /** Layers and packages whose modules it may import; its own it always may. */
  readonly imports: readonly string[];
  /** Those that it may import only when it needs them, by `import()`. */
  readonly lazily?: readonly string[];
}

/** By folder or file; a file belongs to the longest name that fits. */
const LAYERS: Readonly<Record<string, Layer>> = {
  "cli.ts": { imports: ["cli", "node:"] },
  cli: {
    imports: [
      ...["checkpoint", "collection", "engine/sources.ts", "heads", "identity.ts", "image", "index.ts", "io"],
      "io/objects.ts",
      ...["jobs", "json.ts", "numerics", "pictures", "platform", "serve", "tasks", "vit", "waiting.ts", "node:"],
    ],
  },
  "index.ts": {
    imports: [
      ...["backend.ts", "backends/wasm/threads.ts", "checkpoint", "hub/settings.ts", "image", "io", "json.ts"],
      ...["model.ts", "platform", "tasks", "vit"],
    ],
    lazily: ["remote"],
  },
  // The same by Transformers.js's names.
  "pipeline.ts": { imports: ["index.ts", "image", "platform", "tasks"] },
  // Embeddings on disk, heads of a few photos: users of a model that somebody has loaded.
  collection: {
    imports: [
      ...["checkpoint", "identity.ts", "image", "io", "json.ts", "model.ts", "numerics", "platform", "tasks"],
      "waiting.ts",
      "io/objects.ts",
    ],
    lazily: ["hyparquet-writer"],
  },
  // The shards of a collection as jobs for many machines.
  jobs: {
    imports: [
      "collection",
      "identity.ts",
      "io",
      "io/objects.ts",
      "json.ts",
      "model.ts",
      "platform",
      "tasks",
      "waiting.ts",
    ],
  },
  // A user of the library, from Request to Response.
  serve: {
    imports: ["index.ts", "image", "json.ts", "numerics", "pipeline.ts", "platform", "tasks", "waiting.ts"],
  },
  // What a model sees: asks a loaded model, and draws.
  pictures: { imports: ["checkpoint", "image", "index.ts", "io", "platform", "tasks", "vit"] },
  // Bundlers follow the page to its worker, and refuse a worker that leads to itself.
  remote: { imports: ["model.ts", "image", "io", "platform", "tasks"] },
  "model.ts": {
    imports: [
      ...["backend.ts", "checkpoint", "engine", "engine/sharing.ts", "engine/sources.ts", "forward", "hub/settings.ts"],
      ...["identity.ts", "image", "io", "numerics", "platform", "tasks", "vit"],
    ],
  },
  // Entries of some hosts, and the files that these import in their own ways.
  hosts: { imports: ["platform", "image", "index.ts", "serve", "../kernels/", "../../models/"] },
  // What is asked of a model and what its results are: no backend, no files.
  tasks: { imports: ["checkpoint", "image", "numerics", "vit"] },
  engine: {
    imports: [
      ...["backend.ts", "backends/join.ts", "backends/select.ts", "checkpoint", "forward", "forward/model.ts", "heads"],
      ...["hub/settings.ts", "identity.ts", "image", "io", "json.ts", "platform", "waiting.ts", "vit"],
      ...["engine/placement.ts", "engine/sharing.ts", "engine/sources.ts", "engine/trial.ts"],
    ],
    lazily: ["text"],
  },
  "engine/placement.ts": {
    imports: [
      "backend.ts",
      "backends/select.ts",
      "checkpoint",
      "engine/sharing.ts",
      "engine/trial.ts",
      "forward/model.ts",
      "io",
    ],
  },
  "engine/trial.ts": { imports: ["backend.ts", "forward", "forward/model.ts", "heads", "vit"] },
  "engine/sharing.ts": { imports: ["waiting.ts"] },
  "engine/sources.ts": {
    imports: [
      ...["backend.ts", "checkpoint", "engine/adapted.ts", "hub/reference.ts", "hub/settings.ts", "io", "json.ts"],
      "platform",
    ],
    lazily: ["engine/adapters.ts", "hub"],
  },
  // Adapters are found by the first, and opened by the second.
  "engine/adapted.ts": { imports: ["checkpoint", "io"] },
  "engine/adapters.ts": { imports: ["checkpoint", "engine/adapted.ts", "io", "json.ts", "numerics"] },
  text: { imports: ["json.ts", "platform"], lazily: ["@huggingface/tokenizers"] },
  "waiting.ts": { imports: [] },
  // What publishers call tensors ends here: a forward pass never asks whose checkpoint it runs.
  checkpoint: {
    imports: [
      "backend.ts",
      "forward/model.ts",
      "heads",
      "identity.ts",
      "json.ts",
      "keys.ts",
      "numerics",
      "planned.ts",
      "plans.ts",
      "vit",
    ],
  },
  forward: { imports: ["backend.ts", "forward/model.ts", "heads", "vit"] },
  "forward/model.ts": { imports: ["heads", "vit"] },
  heads: { imports: ["backend.ts", "numerics", "planned.ts", "plans.ts", "vit", "waiting.ts"] },
  "planned.ts": { imports: ["backend.ts"] },
  "plans.ts": { imports: ["planned.ts"] },
  vit: { imports: ["backend.ts", "waiting.ts"] },
  numerics: { imports: ["backend.ts"] },
  "identity.ts": { imports: ["json.ts"] },
  "backend.ts": { imports: ["maps.ts"] },
  "maps.ts": { imports: [] },
  "backends/join.ts": { imports: ["backend.ts"], lazily: ["backends/wasm"] },
  "backends/select.ts": {
    imports: ["backend.ts", "backends/join.ts"],
    lazily: ["backends/reference.ts", "backends/wasm", "backends/webgpu"],
  },
  "backends/reference.ts": { imports: ["backend.ts", "backends/shapes.ts", "numerics"] },
  "backends/wasm": { imports: ["backend.ts", "backends/shapes.ts", "backends/wasm/threads.ts", "platform"] },
  // Started before there is anything else to run.
  "backends/wasm/threads.ts": { imports: ["backend.ts", "platform"] },
  "backends/webgpu": { imports: ["backend.ts", "backends/shapes.ts", "numerics", "platform"] },
  "backends/shapes.ts": { imports: ["backend.ts"] },
  "json.ts": { imports: [] },
  "keys.ts": { imports: ["json.ts"] },
  hub: { imports: ["hub/reference.ts", "hub/settings.ts", "io", "json.ts", "platform", "waiting.ts"] },
  // What is there before a repository is asked for.
  "hub/reference.ts": { imports: ["io"] },
  "hub/settings.ts": { imports: ["platform"] },
  io: { imports: ["backend.ts", "json.ts", "numerics", "platform", "io/objects.ts"] },
  // Collections lie in folders or buckets.
  "io/objects.ts": { imports: ["io", "platform"], lazily: ["io/s3.ts"] },
  "io/s3.ts": { imports: ["io/objects.ts", "json.ts", "platform", "waiting.ts", "aws4fetch"] },
  image: { imports: ["backend.ts", "json.ts", "keys.ts", "platform", "waiting.ts"] },
  // Not even lazily what is Node's: bundlers for browsers would follow.
  platform: { imports: ["waiting.ts"] },
};

const layerOf = (file: string): string | undefined =>
  Object.keys(LAYERS)
    .filter((layer) => file === layer || file.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];

/** What `source`, at `file`, imports and may not. */
function violations(file: string, source: string): string[] {
  const layer = layerOf(file);
  if (!layer) return [`${file} is in no layer`];
  const { imports, lazily = [] } = LAYERS[layer]!;
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const found = code.matchAll(/(?:(?<!["'])\bfrom\s*|\bimport\s*(?<lazy>\(\s*)?)(["'])(?<path>[^"']+)\2/g);
  return [...found].flatMap(({ groups }) => {
    const { path, lazy } = groups as { path: string; lazy?: string };
    const allowed = lazy ? [...imports, ...lazily] : imports;
    const how = lazy ? "import lazily" : "import";
    if (!path.startsWith(".")) {
      return allowed.some((name) => path.startsWith(name)) ? [] : [`${file} may not ${how} ${path}`];
    }
    const target = posix.join(posix.dirname(file), path).replace(/\.js$/, ".ts");
    const other = layerOf(target);
    const isFile = target.startsWith("../") && allowed.some((name) => target.startsWith(name));
    return isFile || other === layer || (other && allowed.includes(other)) ? [] : [`${file} may not ${how} ${target}`];
  });
}

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".ts"));

test("modules import along the arrows only", () => {
  assert.ok(files.length > 20, `only ${files.length} files found`);
  assert.deepEqual(
    files.flatMap((file) => violations(file, readFileSync(`src/${file}`, "utf8"))),
    [],
  );
});

/** A way along imports from a file back to itself, if there is one; what is imported only when it is needed leads nowhere. */
function circleOf(imports: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>();
  function walk(file: string, path: readonly string[]): readonly string[] | undefined {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of imports.get(file) ?? []) {
      const circle = walk(next, [...path, file]);
      if (circle) return circle;
    }
    done.add(file);
    return undefined;
  }
  for (const file of imports.keys()) {
    const circle = walk(file, []);
    if (circle) return circle;
  }
  return undefined;
}

test("no file imports itself by others, not even types", () => {
  const targets = (file: string) =>
    [...readFileSync(`src/${file}`, "utf8").matchAll(/\b(?:from|import)\s*(["'])(\.[^"']+)\1/g)].map(([, , path]) =>
      posix.join(posix.dirname(file), path!).replace(/\.js$/, ".ts"),
    );
  assert.equal(circleOf(new Map(files.map((file) => [file, targets(file)]))), undefined);
  const [a, b, c] = ["a", "b", "c"];
  assert.deepEqual(
    circleOf(
      new Map([
        [a, [b]],
        [b, [c]],
        [c, [b]],
      ]),
    ),
    [b, c, b],
  );
});

test("plain ViT's forward pass, from pixels to class scores, is five files of 900 lines at most", () => {
  const read = ["backend.ts", "vit/vit.ts", "vit/encoder.ts", "vit/call.ts", "heads/classifier.ts"];
  const lines = read.map((file) => readFileSync(`src/${file}`, "utf8").trimEnd().split("\n").length);
  const sum = lines.reduce((total, n) => total + n, 0);
  assert.ok(sum <= 900, `${sum} lines: ${lines.join(", ")}`);
});

test("every layer exists", () => {
  const empty = Object.keys(LAYERS).filter((layer) => !files.some((file) => layerOf(file) === layer));
  assert.deepEqual(empty, []);
});

test("arrows the wrong way are found, however they are written", () => {
  const cases: [file: string, source: string, found: string | undefined][] = [
    ["vit/vit.ts", 'import { f } from "../checkpoint/layouts.js";', "vit/vit.ts may not import checkpoint/layouts.ts"],
    ["vit/vit.ts", 'import { f } from "../heads/pooling.js";', "vit/vit.ts may not import heads/pooling.ts"],
    ["heads/a.ts", 'import type { A } from "../checkpoint/plan.js";', "heads/a.ts may not import checkpoint/plan.ts"],
    ["checkpoint/plan.ts", 'import "../forward/forward.js";', "checkpoint/plan.ts may not import forward/forward.ts"],
    ["vit/vit.ts", 'import { f } from "../cli.js";', "vit/vit.ts may not import cli.ts"],
    ["vit/vit.ts", 'export * from "../io/checkpoint.js";', "vit/vit.ts may not import io/checkpoint.ts"],
    ["vit/vit.ts", 'import "../platform/host.js";', "vit/vit.ts may not import platform/host.ts"],
    ["vit/vit.ts", 'import {\n  type A,\n} from "../index.js";', "vit/vit.ts may not import index.ts"],
    ["vit/vit.ts", 'await import("../io/source.js");', "vit/vit.ts may not import lazily io/source.ts"],
    ["backends/select.ts", 'import "./wasm/index.js";', "backends/select.ts may not import backends/wasm/index.ts"],
    ["backends/select.ts", 'await import("./wasm/index.js");', undefined],
    ["backends/reference.ts", 'import "./wasm/a.js";', "backends/reference.ts may not import backends/wasm/a.ts"],
    ["backends/wasm/index.ts", 'import "./heap.js";', undefined],
    ["io/source.ts", 'import { open } from "node:fs";', "io/source.ts may not import node:fs"],
    ["image/decode/jpeg.ts", 'import d from "sharp";', "image/decode/jpeg.ts may not import sharp"],
    ["image/decode/jpeg.ts", 'await import("sharp");', "image/decode/jpeg.ts may not import lazily sharp"],
    ["vit/vit.ts", 'import a from "../../kernels/a.wasm";', "vit/vit.ts may not import ../kernels/a.wasm"],
    ["hosts/edge.ts", 'import a from "../../kernels/a.wasm?module";', undefined],
    ["platform/files.ts", 'import fs from "node:fs";', "platform/files.ts may not import node:fs"],
    ["platform/files.ts", 'await import("node:fs");', "platform/files.ts may not import lazily node:fs"],
    ["helpers.ts", "", "helpers.ts is in no layer"],
    ["vit/vit.ts", 'const words = ["from", "to"];', undefined],
    ["io/source.ts", '/** @example\n * import { load } from "vitrail";\n */\n// from "node:fs"', undefined],
  ];
  for (const [file, source, found] of cases) assert.deepEqual(violations(file, source), found ? [found] : [], source);
});
