/** What npm would publish: the files, their size, and that they run by name in an empty project. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { thirdParty } from "./licences.js";
import { createProject, dependencies, npm, pack } from "./project.js";

const packed = pack();
const paths = packed.files.map(({ path }) => path);

const project = createProject("package");

test("the package holds the compiled library, its declarations, the default model and the documents, nothing else", () => {
  const compiled = paths.filter((path) => path.startsWith("dist/"));
  assert.deepEqual(paths.filter((path) => !compiled.includes(path)).sort(), [
    "CHANGELOG.md",
    "FAMILIES.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "THIRD-PARTY.md",
    "models/default/README.md",
    "models/default/compare.svg",
    "models/default/config.json",
    "models/default/model.safetensors",
    "models/default/photos.svg",
    "package.json",
  ]);
  const unexpected = compiled.filter((path) => {
    if (/^dist\/kernels\/((relaxed|simd|image|jpeg|png|rows|sha|webp)\.wasm|module\.d\.ts)$/.test(path)) return false;
    const source = /^dist\/(src\/.*)\.d\.ts$/.exec(path)?.[1];
    return !existsSync(`${source}.ts`) && !/^dist\/lib\/[\w-]+\.js$/.test(path);
  });
  assert.deepEqual(unexpected, [], "not compiled from src/; npm run clean removes what older builds left");
});

/** A file of dist/lib and all that it needs at once, by name. */
function closureOf(name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  const imports = readFileSync(`dist/lib/${name}`, "utf8").matchAll(/^(?:import|export)\b[^"\n]*"\.\/([^"]+\.js)"/gm);
  for (const [, path] of imports) closureOf(path!, found);
  return found;
}

test("the code is in few files: a model in a dozen, and nobody has one who decodes photos, searches or calls a server", () => {
  assert.ok(paths.filter((path) => path.endsWith(".js")).length < 160);
  const names = (...files: string[]) => files.map((file) => `${file}.js`);
  const lane = ["lane-calls", "lane-front", "lane-model", "lane-photos", "lane-shared", "lane-thread"];
  assert.deepEqual([...closureOf("index.js")].sort(), names("front", "index", "lane-front", "lane-thread", "src"));
  assert.deepEqual(
    [...closureOf("model2.js")].sort(),
    names("calls", "front", ...lane, "model", "model2", "photos", "shared"),
  );
  for (const entry of names("index", "image", "collection", "hub", "pictures", "serve", "jobs", "pipeline")) {
    const all = [...closureOf(entry)];
    assert.ok(all.length > 1 && !all.some((name) => /^(lane-)?model\./.test(name)), `${entry}: ${all}`);
  }
  assert.ok(![...closureOf("image.js")].some((name) => /shared|calls/.test(name)));
  // A worker that leads to what starts it is refused by Vite.
  assert.ok(![...closureOf("lane-jobs.js")].some((name) => !name.startsWith("lane-")));
});

test("everything that package.json names is in the package, every entry with its types", () => {
  const { exports, bin } = JSON.parse(readFileSync("package.json", "utf8")) as {
    exports: Record<string, string | Record<string, string>>;
    bin: Record<string, string>;
  };
  for (const [name, entry] of Object.entries(exports)) {
    if (!name.endsWith(".json")) assert.ok((entry as Record<string, string>).types?.endsWith(".d.ts"), name);
  }
  const entries = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry)));
  const named = [...entries, ...Object.values(bin)].map((path) => path.replace(/^\.\//, "").replace("*", "relaxed"));
  assert.ok(named.length >= 5, named.join());
  assert.deepEqual(
    named.filter((path) => !paths.includes(path)),
    [],
  );
});

test("the package is small: an engine of 1.13 MB, images of 0.53 MB, and what lies beside it", () => {
  // Modules before they are joined, and all else as it is packed.
  const modules = readdirSync("dist/src", { recursive: true, encoding: "utf8" }).map((name) => `dist/src/${name}`);
  const code = modules
    .filter((path) => path.endsWith(".js"))
    .map((path) => ({ path: path.replaceAll("\\", "/"), size: statSync(path).size }));
  const joined = packed.files.filter(({ path }) => path.startsWith("dist/lib/"));
  const sum = (files: readonly { readonly size: number }[]) => files.reduce((sum, { size }) => sum + size, 0);
  assert.ok(sum(joined) < 1.02 * sum(code), `${sum(joined)} bytes of ${sum(code)}`);
  const all = [...packed.files.filter((file) => !joined.includes(file)), ...code];
  const bytes = (ours: (path: string) => boolean) => sum(all.filter(({ path }) => ours(path)));
  const isModel = (path: string) => path.startsWith("models/");
  const isDocument = (path: string) => path.endsWith(".md");
  const isCommand = (path: string) => path.startsWith("dist/src/cli");
  const isGpu = (path: string) => path.startsWith("dist/src/backends/webgpu");
  const isKernel = (path: string) => path.startsWith("dist/kernels") && !isImage(path);
  const isImage = (path: string) =>
    /^dist\/kernels\/(image|jpeg|png|webp)\.wasm$/.test(path) || path.startsWith("dist/src/image/");
  const isCollection = (path: string) => /^dist\/src\/(collection|io\/(objects|parquet|s3)\.)/.test(path);
  const isJob = (path: string) => path.startsWith("dist/src/jobs");
  const isHub = (path: string) => path.startsWith("dist/src/hub");
  const isPicture = (path: string) => path.startsWith("dist/src/pictures");
  const isServer = (path: string) => path.startsWith("dist/src/serve");
  const rest = bytes(
    (path) =>
      ![isModel, isDocument, isCollection, isCommand, isGpu, isHub, isKernel, isImage, isJob, isPicture, isServer].some(
        (is) => is(path),
      ),
  );
  assert.ok(rest < 1.13e6, `${rest} bytes of engine`);
  assert.ok(bytes(isDocument) < 0.12e6, `${bytes(isDocument)} bytes of documents`);
  assert.ok(bytes(isCollection) < 0.11e6, `${bytes(isCollection)} bytes of collections`);
  assert.ok(bytes(isJob) < 0.04e6, `${bytes(isJob)} bytes of jobs`);
  assert.ok(bytes(isHub) < 0.06e6, `${bytes(isHub)} bytes of Hub`);
  assert.ok(bytes(isKernel) < 0.075e6, `${bytes(isKernel)} bytes of kernels as files`);
  assert.ok(bytes(isImage) < 0.53e6, `${bytes(isImage)} bytes of images: decoders, resizing, preprocessing`);
  assert.ok(bytes(isPicture) < 0.12e6, `${bytes(isPicture)} bytes of pictures`);
  assert.ok(bytes(isServer) < 0.08e6, `${bytes(isServer)} bytes of the server`);
  assert.ok(bytes(isGpu) < 0.08e6, `${bytes(isGpu)} bytes of WebGPU`);
  assert.ok(bytes(isCommand) < 0.12e6, `${bytes(isCommand)} bytes of command line`);
  assert.ok(bytes(isModel) < 2e6, `${bytes(isModel)} bytes of model`);
});

test("installed with all that it depends on, it takes 6 MB", (t) => {
  const files = readdirSync(join(project, "node_modules"), { recursive: true, withFileTypes: true });
  const sizes = files
    .filter((file) => file.isFile())
    .map(({ parentPath, name }) => statSync(join(parentPath, name)).size);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  t.diagnostic(`${bytes} bytes in ${sizes.length} files`);
  assert.ok(bytes < 6e6, `${bytes} bytes`);
});

test("installed in an empty project, it runs by its name and from the command line", () => {
  const modules = join(project, "node_modules");
  cpSync("tests/fixtures/checkpoints/hf-vit", join(project, "vit"), { recursive: true });
  cpSync("tests/fixtures/image/rgb-420.jpg", join(project, "photo.jpg"));
  const { probabilities } = JSON.parse(readFileSync(join(project, "vit/case.json"), "utf8")).classify;
  const best = probabilities.indexOf(Math.max(...probabilities));

  writeFileSync(
    join(project, "main.mjs"),
    `import { load } from "vitrail";
import { decode, resize } from "vitrail/image";
const vit = await load("vit");
const [best] = await vit.classify("photo.jpg");
const small = await load();
console.log(JSON.stringify([best.index, small.labels.length, typeof decode, typeof resize]));
`,
  );
  const run = (...args: string[]) =>
    JSON.parse(execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" }));
  assert.deepEqual(run("main.mjs"), [best, 10, "function", "function"]);

  const { bin } = JSON.parse(readFileSync(join(modules, "vitrail/package.json"), "utf8"));
  const command = join(modules, "vitrail", bin.vitrail);
  const { top } = run(command, "classify", "--model", "vit", "--json", "photo.jpg");
  assert.equal(top[0].index, best);

  // Without a model, the one that comes along.
  assert.equal(run(command, "classify", "--json", "photo.jpg").top.length, 5);
});

test("its declarations are all there: a user's strict program compiles against it", () => {
  writeFileSync(
    join(project, "user.mts"),
    `import { load, type Config, type Inputs, type Outputs, type ZeroShotOptions } from "vitrail";
import { cached, type CachedRepository } from "vitrail/hub";
import { type Collection, type FewShotHead, fewShot, openCollection } from "vitrail/collection";
import { decode } from "vitrail/image";
const models: CachedRepository[] = await cached({ cacheDir: "cache" });
const model = await load("vit", { imageSize: [32, 16], precision: "int8" });
const config: Config = model.config;
const turn: number | undefined = config.rotary?.kind === "axial" ? config.rotary.temperature : config.resnet?.groups;
const inputs: Inputs = { pixelValues: await model.preprocess("photo.jpg") };
const { attentions }: Pick<Outputs, "attentions"> = await model.forward(inputs, { outputs: ["attentions"] });
const options: ZeroShotOptions = { template: ["a {}"] };
const [best] = await model.zeroShot("photo.jpg", ["cat"], options);
const photos: Collection = await openCollection("photos", { model });
const head: FewShotHead = await fewShot(await model.embed(["a.jpg", "b.jpg"]), ["a", "b"], { model });
console.log(models, turn, attentions.length, best?.label, decode, photos.size, head.leaveOneOut.accuracy.interval[0]);
`,
  );
  const tsc = resolve("node_modules/typescript/bin/tsc");
  const flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"];
  // Without skipLibCheck: a declaration that names a missing one is an error.
  execFileSync(process.execPath, [tsc, ...flags, "--lib", "es2022,esnext.disposable,dom", "--types", "", "user.mts"], {
    cwd: project,
    stdio: "pipe",
  });
});

test("what is installed with it runs nothing at installation and holds nothing native", () => {
  const folders = dependencies();
  assert.ok(folders.length >= 1, folders.join());
  for (const folder of folders) {
    const { scripts = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    assert.deepEqual(
      ["preinstall", "install", "postinstall"].filter((name) => name in scripts),
      [],
      folder,
    );
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
    assert.deepEqual(
      files.filter((file) => /\.(node|gyp|so|dll|dylib|exe)$/.test(file)),
      [],
      folder,
    );
  }
});

test("THIRD-PARTY.md is what npm run licences writes, and npm's bill of materials names the same", () => {
  assert.equal(readFileSync("THIRD-PARTY.md", "utf8"), thirdParty());
  // What is written into the package as text: each is compiled from assembly/, or named with its terms.
  const ours = /\/(activations|jobs|kernels|kernel|rows|search|sha|png|jpeg-kernel|webp-codec)\.gen\.js$/;
  const modules = readdirSync("dist/src", { recursive: true, encoding: "utf8" });
  const generated = modules.map((path) => `/${path.replaceAll("\\", "/")}`).filter((path) => path.endsWith(".gen.js"));
  assert.ok(generated.length > 5);
  assert.deepEqual(
    generated.filter((path) => !ours.test(path)),
    [],
  );
  const bill = createProject("bill");
  const manifest = { name: "bill", version: "1.0.0", dependencies: { vitrail: "*" } };
  writeFileSync(join(bill, "package.json"), JSON.stringify(manifest));
  const { components } = JSON.parse(npm(["sbom", "--sbom-format", "cyclonedx"], bill)) as {
    components: { name: string; version: string; licenses: { license: { id: string } }[] }[];
  };
  const rows = components
    .filter(({ name }) => name !== "vitrail")
    .map(({ name, version, licenses }) => `| ${name} | ${version} | ${licenses[0]!.license.id} |`);
  assert.equal(rows.length, dependencies().length);
  for (const row of rows) assert.ok(thirdParty().includes(row), row);
});
