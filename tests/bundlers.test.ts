/**
 * The example page as bundlers build it without any settings, in browsers: what a user chooses is classified with the numbers
 * of Node, the bar moves, the button cancels. And what bundlers leave out of a bundle.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { BROWSERS, type BrowserName, browse, type Visit } from "./browser.js";
import { absent, installed, toolNode } from "./installed.js";
import { createProject } from "./project.js";
import type { Seen } from "./visitor.js";

/** A photo by its name, among the samples and the fixtures; one of them is none. */
async function photo(name: string): Promise<Uint8Array | string> {
  if (name === "broken.jpg") return "no photo";
  const sample = `models/samples/${name}`;
  return readFile(existsSync(sample) ? sample : `tests/fixtures/image/${name}`);
}

interface Expected {
  readonly reason: string;
  readonly best: Readonly<Record<string, { readonly label: string; readonly probability: number }>>;
}

/** What Node finds on the photos; Node 20 has the baseline build, later ones the relaxed. */
const expectations: Expected[] = [];
function expected(reason: string, project: string): Expected | undefined {
  const simd = (reason: string) => /relaxed SIMD|SIMD/.exec(reason)?.[0];
  if (expectations.length === 0) {
    const code = `import { load } from "vitrail";
const vit = await load();
const best = {};
for (const name of ["cat-1.jpg", "dog-1.jpg", "lossy.webp", "rgb-8.png"]) {
  const sample = "${process.cwd()}/models/samples/" + name;
  best[name] = (await vit.classify(sample).catch(() => vit.classify("${process.cwd()}/tests/fixtures/image/" + name)))[0];
}
console.log(JSON.stringify({ reason: vit.backend.reason, best }));
`;
    writeFileSync(join(project, "expected.mjs"), code);
    for (const node of new Set([process.execPath, installed("node20/bin/node"), toolNode])) {
      if (node) expectations.push(JSON.parse(execFileSync(node, ["expected.mjs"], { cwd: project, encoding: "utf8" })));
    }
  }
  return expectations.find((each) => simd(each.reason) === simd(reason));
}

/** Runs a tool of the folder of hosts in a project. */
const tool = (project: string, path: string, ...args: string[]) =>
  execFileSync(toolNode, [installed(path)!, ...args], { cwd: project, encoding: "utf8", stdio: "pipe", env: quiet });
const quiet = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", CI: "1", NO_COLOR: "1" };

/** A page of files: those of a bundle, and the default model where bundles expect it that do not know its files. */
const fromFolder = (project: string, folder: string) => async (pathname: string) => {
  const path = pathname.endsWith("/") ? `${pathname}index.html` : pathname;
  const file = join(project, folder, path);
  return readFile(existsSync(file) ? file : join(project, "node_modules/vitrail", path));
};

/** The page with its visitor, in a browser. */
async function seenBy(browser: BrowserName, serve: Visit["serve"], visit: Partial<Visit> = {}): Promise<Seen> {
  const found = await browse(browser, {
    page: "/",
    isolated: true,
    ...visit,
    async serve(pathname) {
      if (pathname === "/visitor.js") return readFile("dist/tests/visitor.js");
      if (pathname.startsWith("/photos/")) return photo(pathname.slice("/photos/".length));
      const bytes = await serve(pathname);
      return pathname === "/" ? `${bytes}<script type="module" src="/visitor.js"></script>` : bytes;
    },
  });
  return (found as { seen: Seen }).seen;
}

/** Classes and cancelling as on every page; returns what it says of how it runs. */
function check(seen: Seen, project: string): string {
  const { status, results, progress, cancelled } = seen;
  const { best } = expected(status, project)!;
  const broken = results.at(-1)!;
  assert.match(broken.text, /^decode: the image is not a JPEG|^decode: "broken\.jpg" is not a JPEG/);
  for (const { text, probability } of results.slice(0, -1)) {
    const [name, label] = text.trim().split(": ") as [string, string];
    assert.equal(label, best[name]!.label, text);
    // The last bit of a logit moves a probability by 1e-7; engines differ in the last bit of Math.exp.
    assert.ok(
      Math.abs(probability! - best[name]!.probability) < 1e-12,
      `${text}${probability}, ${best[name]!.probability}`,
    );
  }
  assert.equal(results.length, 5);
  assert.equal(progress.at(-1), 1, "the bar is full in the end");
  assert.ok(progress.length > 1, `the bar moved: ${progress}`);
  assert.equal(cancelled.done + cancelled.cancelled, cancelled.all);
  assert.ok(cancelled.cancelled > 0, JSON.stringify(cancelled));
  return status;
}

const noBundlers = absent("vite", installed("vite/bin/vite.js"));
const project = noBundlers ? "" : createProject("bundlers");
if (project) for (const file of ["index.html", "main.js"]) cpSync(`examples/vite/${file}`, join(project, file));

/** Builds the page into a folder; those that take scripts only are given the page beside the script. */
const BUNDLERS: Readonly<Record<string, { path: string; follows: boolean; build(out: string, path: string): void }>> = {
  Vite: {
    path: "vite/bin/vite.js",
    follows: true,
    build: (out, path) => tool(project, path, "build", "--outDir", out),
  },
  webpack: {
    path: "webpack/bin/webpack.js",
    follows: true,
    build: (out, path) => tool(project, path, "./main.js", "--mode", "production", "--output-path", join(project, out)),
  },
  esbuild: {
    path: "esbuild/bin/esbuild",
    follows: false,
    build: (out) => esbuild("main.js", "--bundle", "--format=esm", "--splitting", `--outdir=${out}`),
  },
  Rollup: {
    path: "rollup/dist/bin/rollup",
    follows: false,
    build: (out, path) => tool(project, path, "main.js", "--plugin", "node-resolve", "--dir", out, "--silent"),
  },
};
const esbuild = (...args: string[]) =>
  execFileSync(installed(".bin/esbuild")!, [...args, "--log-level=warning"], { cwd: project, encoding: "utf8" });

function build(name: string): Visit["serve"] {
  const { path, build } = BUNDLERS[name]!;
  const out = `out-${name}`;
  build(out, path);
  if (name !== "Vite") cpSync(join(project, "index.html"), join(project, out, "index.html"));
  return fromFolder(project, out);
}

suite("the page in Chromium, built by", { skip: noBundlers || absent("Chromium", BROWSERS.chromium.command) }, () => {
  for (const [name, { follows }] of Object.entries(BUNDLERS)) {
    test(name, async (t) => {
      const status = check(await seenBy("chromium", build(name)), project);
      t.diagnostic(status);
      // What is not followed is not lost: the model runs on the page's own thread.
      assert.equal(/on the page's own thread: worker: /.test(status), !follows, status);
    });
  }

  test("Next", { skip: absent("Next", installed("next/package.json")) }, async (t) => {
    const app = createProject("next");
    for (const part of ["app", "next.config.mjs"])
      cpSync(`examples/next/${part}`, join(app, part), { recursive: true });
    const next = "next/dist/bin/next";
    tool(app, next, "build");
    const server = spawn(toolNode, [installed(next)!, "start", "--port", "0"], { cwd: app, env: quiet });
    after(() => server.kill());
    let output = "";
    const address = await new Promise<string>((resolve, reject) => {
      server.on("exit", () => reject(new Error(output)));
      server.stdout.on("data", (text) => {
        output += text;
        const found = /http:\/\/localhost:\d+/.exec(output);
        if (found && output.includes("Ready")) resolve(found[0]);
      });
    });
    const serve = async (pathname: string) => {
      const response = await fetch(address + pathname);
      return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
    };
    const html = async (pathname: string) =>
      pathname === "/" ? new TextDecoder().decode((await serve("/")) as Uint8Array) : serve(pathname);
    const status = check(await seenBy("chromium", html), app);
    t.diagnostic(status);
    assert.doesNotMatch(status, /page's own thread/);
    const body = readFileSync("models/samples/dog-1.jpg");
    const [best] = await (await fetch(`${address}/api/models/cifar10`, { method: "POST", body })).json();
    assert.equal(best.label, "dog");
    server.removeAllListeners("exit");
  });
});

for (const browser of Object.keys(BROWSERS) as BrowserName[]) {
  suite(`the page of Vite in ${browser}`, { skip: noBundlers || absent(browser, BROWSERS[browser].command) }, () => {
    const serve = (pathname: string) => {
      if (!existsSync(join(project, "out-Vite"))) build("Vite");
      return fromFolder(project, "out-Vite")(pathname);
    };

    test("cross-origin isolated: several threads, where the browser shares memory", async (t) => {
      const status = check(await seenBy(browser, serve), project);
      t.diagnostic(status);
      assert.match(
        status,
        browser === "WebKitGTK" ? /threads: 1; .*; SIMD, .*one thread/ : /threads: [2-8]; .*relaxed SIMD/,
      );
    });

    test("not isolated: one thread", async (t) => {
      const status = check(await seenBy(browser, serve, { isolated: false }), project);
      t.diagnostic(status);
      assert.match(
        status,
        /threads: 1; .*one thread: memory can be shared only on a page that is cross-origin isolated/,
      );
    });

    test("the policy of browser extensions: scripts of its own and WebAssembly, no eval, nothing from elsewhere", async () => {
      const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
      const status = check(await seenBy(browser, serve, { headers: { "Content-Security-Policy": policy } }), project);
      assert.doesNotMatch(status, /page's own thread/);
    });
  });
}

/** The outputs of esbuild, with what each is made of. */
interface Metafile {
  readonly outputs: Readonly<
    Record<
      string,
      {
        inputs: Record<string, { bytesInOutput: number }>;
        imports: { path: string; kind: string }[];
        entryPoint?: string;
      }
    >
  >;
}

suite("what is in a bundle", { skip: noBundlers }, () => {
  /** A bundle of `code`: the modules of its chunks, which of them come at first, and which Node loads when it runs. */
  function bundle(code: string) {
    writeFileSync(join(project, "entry.js"), code);
    const flags = ["--bundle", "--format=esm", "--splitting", "--minify", "--outdir=measured", "--metafile=meta.json"];
    esbuild("entry.js", ...flags);
    const { outputs } = JSON.parse(readFileSync(join(project, "meta.json"), "utf8")) as Metafile;
    const initial = new Set(["measured/entry.js"]);
    for (const path of initial) {
      for (const { path: other, kind } of outputs[path]!.imports) if (kind === "import-statement") initial.add(other);
    }
    const modules = (path: string) =>
      Object.entries(outputs[path]!.inputs)
        .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
        .map(([input]) => input.replace(/.*node_modules\//, ""));
    /** Scripts that V8 has seen: chunks by their paths in the project. */
    function loaded(): string[] {
      const folder = join(project, "coverage");
      rmSync(folder, { recursive: true, force: true });
      execFileSync(process.execPath, ["measured/entry.js"], {
        cwd: project,
        env: { ...quiet, NODE_V8_COVERAGE: folder },
      });
      const urls = readdirSync(folder).flatMap((file) => {
        const { result } = JSON.parse(readFileSync(join(folder, file), "utf8")) as { result: { url: string }[] };
        return result.map(({ url }) => url);
      });
      return Object.keys(outputs).filter((path) => urls.some((url) => url.endsWith(`/${path}`)));
    }
    return {
      initial: [...initial],
      loaded,
      modules,
      gzip: (paths: readonly string[]) =>
        paths.reduce((sum, path) => sum + gzipSync(readFileSync(join(project, path))).length, 0),
    };
  }

  const isCodec = /lib\/(jpeg|png|webp|inflate)\d?\.js/;

  for (const [what, code] of Object.entries({
    classifying: 'await vit.classify("photo.jpg")',
    embedding: 'await vit.embed("photo.jpg")',
  })) {
    test(`${what} one image loads 175 kB gzip besides its codec, 21 kB of them at first`, (t) => {
      cpSync("tests/fixtures/image/rgb-420.jpg", join(project, "photo.jpg"));
      const { initial, loaded, modules, gzip } = bundle(`import { load } from "vitrail";
const vit = await load("node_modules/vitrail/models/default");
console.log(${code});
`);
      const all = loaded().filter((path) => !modules(path).some((module) => isCodec.test(module)));
      const found = all.flatMap(modules);
      assert.ok(
        found.some((module) => module.endsWith("lane-model.js")),
        found.join(),
      );
      const unwanted =
        /lib\/(gif|bmp|ppm|tiff|affine|owlv2|scipy|torchvision|cli|invocation|repository|tokenizer|page|requests|pictures|collection|serve|webgpu|reference|npz|torch|zip|dpt|sam|heatmaps|probe|.*(boxes|masks)|adapters)\d?\.js|tokenizers/;
      assert.deepEqual(
        found.filter((module) => unwanted.test(module)),
        [],
      );
      t.diagnostic(`${gzip(initial)} bytes gzip at first, ${gzip(all)} in ${all.length} files`);
      assert.ok(gzip(initial) < 21_000, `${gzip(initial)} bytes at first`);
      assert.ok(gzip(all) < 175_000, `${gzip(all)} bytes`);
    });
  }

  test("a page of Vite whose workers are modules loads 190 kB gzip besides decoders", {
    skip: absent("Chromium", BROWSERS.chromium.command),
  }, async (t) => {
    writeFileSync(join(project, "modules.config.js"), 'export default { worker: { format: "es" } };\n');
    tool(project, BUNDLERS.Vite!.path, "build", "--outDir", "out-modules", "--config", "modules.config.js");
    const serve = fromFolder(project, "out-modules");
    const sizes = new Map<string, number>();
    const seen = await seenBy("chromium", async (pathname) => {
      const bytes = await serve(pathname);
      if (pathname.endsWith(".js") && !/\/(jpeg|png|webp|inflate)\d?-/.test(pathname))
        sizes.set(pathname, gzipSync(bytes).length);
      return bytes;
    });
    assert.doesNotMatch(check(seen, project), /page's own thread/);
    const sum = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
    t.diagnostic(`${sum} bytes gzip in ${sizes.size} files`);
    assert.ok(sum < 190_000, [...sizes].map((entry) => entry.join(": ")).join(", "));
  });
});
