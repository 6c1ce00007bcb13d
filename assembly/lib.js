// Joins the modules of dist/src into the files of dist/lib, which is what npm publishes. A process that classifies one photo needs
// 145 modules, which took Node 57 ms to find and link, a fifth of all its time; in 20 files it is 25. A page without a bundler asks
// for as many files less, one after the other.
//
// Modules are joined by who needs them, so that a bundler which drops files that nobody needs drops no less than before: a file of those
// that are needed for `vitrail/image` alone must not have the engine in it. What only some checkpoints, images or tasks need stays a
// file of its own, loaded when it is needed.
import { readFileSync, rmSync } from "node:fs";
import { basename, posix } from "node:path";
import { rolldown } from "rolldown";

const SOURCE = "dist/src";
const { dependencies, peerDependencies, exports, bin } = JSON.parse(readFileSync("package.json", "utf8"));

const AT_ONCE = /^(?:import|export)\b[^"\n]*"(\.[^"]+\.js)"/gm;
const LATE = /\bimport\("(\.[^"]+\.js)"\)/g;

/** A module and all that it imports, at once or also later. */
function closureOf(module, imports = [AT_ONCE], found = new Set()) {
  if (found.has(module)) return found;
  found.add(module);
  const code = readFileSync(module, "utf8");
  for (const [, path] of imports.flatMap((kind) => [...code.matchAll(kind)])) {
    closureOf(posix.join(posix.dirname(module), path), imports, found);
  }
  return found;
}

const closuresOf = (...modules) => new Set(modules.flatMap((module) => [...closureOf(posix.join(SOURCE, module))]));

/** Programs of their own: workers. */
const WORKERS = ["backends/wasm/thread.js", "engine/lane.js", "remote/worker.js"];
/** Modules that a checkpoint's first image needs, but are imported late: programs which only decode, search or serve do without. */
const MODEL = ["model.js", "backends/wasm/index.js", "image/decode/index.js", "checkpoint/families/timm.js"];
const both = (one, other) => new Set([...one].filter((module) => other.has(module)));
const model = closuresOf(...MODEL);
const OTHERS = ["collection", "hub", "jobs", "pictures", "serve"].map((folder) => `${folder}/index.js`);
const others = closuresOf(...OTHERS, "pipeline.js");
/** Files, the most particular ones first, and the modules in them. */
const WANTED = {
  thread: closuresOf("backends/wasm/thread.js"),
  front: closuresOf("index.js"),
  photos: both(closuresOf("image/index.js"), model),
  calls: both(closuresOf("remote/page.js"), model),
  shared: both(others, model),
  model,
};
// Modules that a worker runs are apart from those that start it: Vite refuses a worker that leads to itself, also by functions that it
// never calls.
const [lanes, worker] = ["engine/lane-jobs.js", "remote/requests.js"].map((module) =>
  closureOf(posix.join(SOURCE, module), [AT_ONCE, LATE]),
);
const FILES = Object.entries(WANTED).flatMap(([name, modules]) => [
  [`lane-${name}`, both(modules, lanes)],
  [name, both(modules, worker)],
]);

/** The module of dist/src that a path of dist/lib is of. */
const sourceOf = (path) => {
  const name = basename(path, ".js");
  const folder = ["image", "collection", "jobs", "serve", "pictures", "hub"].includes(name) ? `${name}/index` : name;
  return /^(edge|embedded)/.test(name) ? `hosts/${name}.js` : `${folder}.js`;
};
const published = [...Object.values(exports).flatMap((entry) => Object.values(entry)), ...Object.values(bin)];
const entries = [...new Set(published.filter((path) => /dist\/lib\/.*\.js$/.test(path)))].map(sourceOf);
const own = new Set(WORKERS.map((module) => posix.join(SOURCE, module)));

rmSync("dist/lib", { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries(
    [...entries, ...WORKERS].map((module) => [
      module.endsWith("/index.js") ? posix.dirname(module) : basename(module, ".js"),
      posix.join(SOURCE, module),
    ]),
  ),
  // Modules that do something where nothing of them is imported; package.json has the same of the files.
  treeshake: { moduleSideEffects: (id) => /\/(hosts\/.*|lane-jobs|requests)\.js$/.test(id) },
  external: [/^node:/, "webgpu", ...Object.keys({ ...dependencies, ...peerDependencies })],
  plugins: [
    {
      // Files beside the code, as seen from dist/lib: hosts and bundlers open them in their own ways.
      name: "files",
      resolveId: (path) => (/^\.\..*\/(kernels|models)\//.test(path) ? { id: path.slice(3), external: true } : null),
    },
  ],
  onLog: (level, log) => {
    // Decoders and readers of checkpoints are imported late by some modules and at once by others; they are joined all the same.
    if (log.code !== "INEFFECTIVE_DYNAMIC_IMPORT") throw new Error(`lib: ${level}: ${log.message}`);
  },
});
await bundle.write({
  dir: "dist/lib",
  format: "esm",
  entryFileNames: "[name].js",
  chunkFileNames: "[name].js",
  codeSplitting: {
    groups: FILES.map(([name, modules], i) => ({
      name,
      priority: FILES.length - i,
      test: (id) => {
        const module = posix.relative(process.cwd(), id);
        return modules.has(module) && !own.has(module);
      },
    })),
  },
});
await bundle.close();
