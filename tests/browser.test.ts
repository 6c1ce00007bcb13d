/**
 * Pages in a real browser: the same numbers as here, from a worker, with the page free meanwhile. The browser is started
 * with the address of a page, which runs tests/page.ts and posts what it found; nothing has to drive it. Modules are served
 * as they were compiled, so the page needs an import map for the two packages that are imported by name.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, extname, join } from "node:path";
import { suite, test } from "node:test";
import { load, type Model, type Prediction } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { isPlain, ROOTS } from "./checkpoints.js";
import type { Found, Logits } from "./page.js";

/** How each browser is started on a page, with a profile that was never used. */
const BROWSERS: Record<string, (profile: string, page: string, webgpu: boolean) => string[]> = {
  chromium: (profile, page, webgpu) => [
    "--headless=new",
    "--no-sandbox",
    ...(webgpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-gpu"]),
    "--no-first-run",
    `--user-data-dir=${profile}`,
    page,
  ],
  "firefox-esr": (profile, page) => ["--headless", "--no-remote", "--profile", profile, page],
};

const find = (name: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(existsSync);

const IMPORTS = {
  "@jsquash/jpeg/": "/node_modules/@jsquash/jpeg/",
  "@jsquash/webp/": "/node_modules/@jsquash/webp/",
  "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs",
  unzipit: "/node_modules/unzipit/dist/unzipit.module.js",
  "node:test": "/dist/tests/node.js",
  "node:assert/strict": "/dist/tests/node.js",
  "node:fs": "/dist/tests/node.js",
};
const TYPES: Record<string, string> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".png": "image/png",
};

interface Site {
  /** Whether its pages are cross-origin isolated, so that they may share memory. */
  readonly isolated?: boolean;
  readonly headers?: Record<string, string>;
  /** A file that it does not have. */
  readonly missing?: string;
  /** Whether the browser has WebGPU, on a processor, and what checkpoints it is tested on. */
  readonly folders?: readonly string[];
}

/** What a browser's page finds for each task. */
async function visit(browser: string, tasks: (keyof Found)[], site: Site = {}): Promise<Found> {
  const found: Record<string, { failed?: string }> = {};
  const profile = mkdtempSync(join(tmpdir(), "vitrail-browser-"));
  let child: ChildProcess | undefined;
  let finish = (_?: Error) => {};
  const finished = new Promise<void>((resolve, reject) => {
    finish = (error) => (error ? reject(error) : resolve());
  });
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url!, "http://localhost");
    if (pathname === "/result") {
      let body = "";
      for await (const chunk of request) body += chunk;
      response.end();
      const task = searchParams.get("task")!;
      if (task === "end") finish();
      else found[task] = JSON.parse(body);
      return;
    }
    if (site.isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    for (const [name, value] of Object.entries(site.headers ?? {})) response.setHeader(name, value);
    // In a folder of its own: what is relative to the page is not so to the worker's script.
    if (pathname === "/tests/pages/") {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      const map = JSON.stringify({ imports: IMPORTS });
      response.end(`<!doctype html><title>vitrail</title><script type="importmap">${map}</script>
        <body><script type="module" src="/dist/tests/page.js"></script>`);
      return;
    }
    const file = pathname.startsWith("/shared/") ? `..${pathname}` : `.${pathname}`;
    const bytes = site.missing === pathname ? undefined : await readFile(file).catch(() => undefined);
    response.statusCode = bytes ? 200 : 404;
    response.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream");
    response.end(bytes);
  });
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const page = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tests/pages/?tasks=${tasks}&folders=${site.folders}`;
    // Firefox writes to its home, too.
    const env = { ...process.env, HOME: profile };
    child = spawn(find(browser)!, BROWSERS[browser]!(profile, page, site.folders !== undefined), {
      stdio: "ignore",
      env,
    });
    child.on("error", finish);
    child.on("exit", (code) => finish(new Error(`${browser} ended with status ${code}`)));
    const seconds = site.folders ? 500 : 100;
    const timer = setTimeout(() => {
      finish(new Error(`${browser} has not finished after ${seconds} seconds; done: ${Object.keys(found)}`));
    }, seconds * 1000);
    await finished.finally(() => clearTimeout(timer));
    for (const [task, { failed }] of Object.entries(found)) assert.equal(failed, undefined, task);
    return found as unknown as Found;
  } finally {
    child?.removeAllListeners("exit");
    const gone = new Promise((resolve) => child?.once("exit", resolve) ?? resolve(undefined));
    if (child?.exitCode === null) {
      child.kill();
      await gone;
    }
    server.closeAllConnections();
    server.close();
    await removeProfile(profile);
  }
}

/** A browser's children outlive it a little, and write. */
async function removeProfile(profile: string): Promise<void> {
  for (let left = 20; ; left--) {
    try {
      return rmSync(profile, { recursive: true, force: true });
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

const FIXTURE = "tests/fixtures/checkpoints/hf-vit";
const IMAGES = "tests/fixtures/image";
const SHARED = "../shared/models/vit-tiny-patch16-224";

const logitsOf = (predictions: Prediction[]): Logits => predictions.map(({ index, logit }) => [index, logit]);
const simdOf = (reason: string) => /relaxed SIMD|SIMD/.exec(reason)?.[0];

/** The same bits where the same kernels ran; Node 20 has no relaxed SIMD, which browsers have. */
function assertSame(found: Logits, expected: Logits, reasons: [string, string], tolerance: number): void {
  if (simdOf(reasons[0]) === simdOf(reasons[1])) {
    assert.deepEqual(found, expected);
    return;
  }
  const byIndex = (logits: Logits) =>
    Float32Array.from([...logits].sort((a, b) => a[0] - b[0]).map(([, logit]) => logit));
  assertClose(byIndex(found), byIndex(expected), tolerance);
}

for (const browser of Object.keys(BROWSERS)) {
  const skip = find(browser) ? false : `there is no ${browser} on the PATH`;
  suite(browser, { skip }, () => {
    test("a page that may share memory: two threads, and everything as it is here", async () => {
      const tasks = ["facts", "sources", "images", "errors", "progress", "abort", "dispose", "turns", "texts"] as const;
      const found = await visit(browser, [...tasks], { isolated: true });
      using model = await load(FIXTURE, { threads: 2 });

      const { config, labels, backend, memory, after, isolated, dims, states } = found.facts;
      assert.equal(isolated, true);
      assert.deepEqual({ config, labels }, JSON.parse(JSON.stringify({ config: model.config, labels: model.labels })));
      assert.deepEqual([backend.name, backend.precision, backend.threads], ["wasm", "f32", 2]);
      assert.equal(memory.weights, model.memory.weights);
      assert.ok(after.activations > memory.activations, JSON.stringify({ memory, after }));
      assert.deepEqual([dims, states.length, states[0]], [[2, 7], 3, [2, 13, 36]]);

      const same = (logits: Logits, expected: Logits, what: string) => {
        assert.equal(logits?.length, expected.length, what);
        assertSame(logits, expected, [backend.reason, model.backend.reason], 1e-5);
      };
      const classify = async (image: string) => logitsOf(await model.classify(`${IMAGES}/${image}`));
      const png = await classify("rgb-8.png");
      const { sources, images, errors } = found;
      assert.equal(Object.keys(sources.found).length, 6);
      for (const [kind, logits] of Object.entries(sources.found)) same(logits, png, kind);
      assert.equal(sources.intact, readFileSync(`${FIXTURE}/model.safetensors`).length);
      await checkSourceFailures(sources.failures);

      assert.equal(Object.keys(images.found).length, 12);
      for (const [kind, logits] of Object.entries(images.found)) same(logits, png, kind);
      for (const logits of [...images.intact, images.early]) same(logits, png, "a second time");
      assert.deepEqual(images.answered, ["canvas", "pixels"]);
      same(images.jpeg, await classify("rgb-420.jpg"), "JPEG");
      same(images.webp, await classify("lossy.webp"), "WebP");
      assert.deepEqual([images.embedding, images.pixelValues, images.bytes], [72, [2, 3, 12, 16], 12 * 16 * 3]);

      const { texts } = found;
      using clip = await load("tests/fixtures/checkpoints/hf-clip");
      using npz = await load("tests/fixtures/checkpoints/npz-vit");
      const photo = `${IMAGES}/rgb-420.jpg`;
      const zeroShot = await clip.zeroShot(photo, ["cat", "dog"], { template: "a photo of a {}." });
      same(texts.predictions, logitsOf(zeroShot), "zeroShot");
      assertClose(Float32Array.from(texts.row), await clip.text!.embed("a photo"), 1e-5);
      same(texts.classes, logitsOf(await npz.classify(photo)), "npz");

      await checkErrors(errors, model);
      const [read, ...unread] = errors.results;
      same(read!, png, "the image that could be read");
      assert.deepEqual(unread, [null, null]);

      const { seen, classes, same: thrown } = found.progress;
      const { loaded, total } = seen.at(-1)!;
      assert.deepEqual([loaded, classes, thrown], [total, 7, true]);
      assert.ok(seen.length > 10, `${seen.length} reports`);
      assert.deepEqual(found.abort, { stopped: true, already: true, loading: true, same: true });

      const gone = { name: "Error", message: "model: it was disposed of; load it again", isError: true };
      assert.deepEqual(found.dispose, { during: [gone, gone], after: gone, memory: gone });
      assert.ok(found.turns.turns >= 3, `${found.turns.turns} turns while 500 images were computed`);
    });

    test("a page that may not: one thread, and why", async () => {
      const { facts } = await visit(browser, ["facts"]);
      assert.deepEqual([facts.isolated, facts.backend.threads], [false, 1]);
      assert.match(
        facts.backend.reason,
        /; one thread: memory can be shared only on a page that is cross-origin isolated$/,
      );
    });

    test("without its worker, a page computes on its own thread, and says why", async () => {
      const policy = "worker-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'";
      for (const site of [
        { missing: "/dist/src/remote/worker.js" },
        { headers: { "Content-Security-Policy": policy } },
      ]) {
        const { facts } = await visit(browser, ["facts"], { isolated: true, ...site });
        assert.equal(facts.backend.threads, 1);
        const reason =
          /; on the page's own thread: worker: "http:.*\/dist\/src\/remote\/worker\.js" could not be started: .+/;
        assert.match(facts.backend.reason, reason);
        assert.equal(facts.logits.length, 14);
      }
    });

    const absent = existsSync(SHARED) ? false : `${SHARED} is absent: the checkpoint is not part of the package`;
    test("ViT-Ti/16 has the logits that it has here", { skip: absent }, async (t) => {
      const { vitTiny } = await visit(browser, ["vitTiny"], { isolated: true });
      for (const precision of ["f32", "int8"] as const) {
        using model = await load(`${SHARED}/hf`, { precision, threads: 2 });
        const photo = "../shared/images/imagenet/n01440764_tench.JPEG";
        const expected = logitsOf(await model.classify(photo, { topK: 1000 }));
        const { logits, reason, loadMs, ms } = vitTiny.found[precision]!;
        assertSame(logits, expected, [reason, model.backend.reason], precision === "f32" ? 1e-4 : 0.5);
        t.diagnostic(`${precision}: loaded in ${loadMs.toFixed()} ms, ${ms.toFixed(1)} ms an image; ${reason}`);
      }
      const long = vitTiny.long ? vitTiny.long.map(Math.round).join(", ") || "none" : "not observed by this browser";
      t.diagnostic(`tasks of the page's thread above 50 ms: ${long}`);
    });
  });
}

// Firefox ESR has no WebGPU.
const noChromium = find("chromium") ? false : "there is no chromium on the PATH";
suite("chromium, WebGPU on a processor", { skip: noChromium }, () => {
  const plain = ROOTS.map(({ folders }) => folders.filter(isPlain));
  // A page is given one file.
  const addresses = (folders: readonly string[]) =>
    folders
      .filter((folder) => existsSync(join(folder, "model.safetensors")) || existsSync(join(folder, "model.npz")))
      .map((folder) => `/${folder.replace("../", "")}`);

  test("conformance, and plain ViTs' goldens, on the page's own thread", async (t) => {
    const folders = addresses(plain[0]!);
    const site = { isolated: true, missing: "/dist/src/remote/worker.js", folders };
    const { conformance, goldens } = await visit("chromium", ["conformance", "goldens"], site);
    assert.deepEqual([conformance.failures, goldens.failures], [[], []]);
    assert.ok(conformance.count > 300, `${conformance.count} cases`);
    assert.ok(goldens.count === folders.length && folders.length >= 5, `${goldens.count} checkpoints`);
    t.diagnostic(`${conformance.count} cases, ${goldens.count} checkpoints`);
  });

  test("plain ViTs' goldens in a worker", async (t) => {
    const { goldens } = await visit("chromium", ["goldens"], { isolated: true, folders: addresses(plain.flat()) });
    assert.deepEqual(goldens.failures, []);
    t.diagnostic(`${goldens.count} checkpoints`);
  });
});

/** Failures of `load` on a page are those of `load` here. */
async function checkSourceFailures(failures: Found["sources"]["failures"]): Promise<void> {
  const error = (name: string, message: string) => ({ name, message, isError: true });
  const all = readFileSync(`${FIXTURE}/model.safetensors`);
  const config = JSON.parse(readFileSync(`${FIXTURE}/config.json`, "utf8"));
  const messageOf = (weights: unknown) =>
    load({ config, weights: weights as never }).then(
      () => "no error",
      ({ message }) => message,
    );
  const { folder, ...others } = failures;
  assert.deepEqual(others, {
    locked: error("TypeError", "weights: the stream is locked, so something else is reading it"),
    failing: error("RangeError", "no luck"),
    short: error("Error", await messageOf(all.subarray(0, 70_000))),
    text: error("TypeError", await messageOf("weights")),
  });
  // Resolved against the page, not against the worker's script.
  assert.match(folder.message, /"http:\/\/127\.0\.0\.1:\d+\/tests\/pages\/nothing"/);
}

async function checkErrors(errors: Found["errors"], model: Model): Promise<void> {
  const failureOf = (promise: Promise<unknown>) =>
    promise.then(
      () => "no error",
      ({ name, message }) => ({ name, message, isError: true }),
    );
  const png = `${IMAGES}/rgb-8.png`;
  const { topK, name, element, batch, shape, option, broken } = errors;
  assert.deepEqual(topK, await failureOf(model.classify(png, { topK: 0 })));
  assert.deepEqual(name, await failureOf(model.classify(png, { topk: 1 } as never)));
  assert.deepEqual(shape, await failureOf(model.forward({ pixelValues: { dims: [1], data: new Float32Array(1) } })));
  assert.deepEqual(option, await failureOf(load(FIXTURE, { threads: 0 })));
  const config = JSON.parse(readFileSync(`${FIXTURE}/config.json`, "utf8"));
  assert.deepEqual(broken, await failureOf(load({ config, weights: new Uint8Array(100) })));
  const what = "image: the image must be a path, URL, encoded bytes, pixels or something drawable; got HTMLBodyElement";
  assert.deepEqual(element, { name: "TypeError", message: what, isError: true });
  assert.equal(batch.name, "AggregateError");
  assert.match(batch.message, /^classify: 2 of 3 images failed; file: "http:.*\/absent\.png" was answered with 404/);
  assert.deepEqual(batch.errors?.[1], element);
}
