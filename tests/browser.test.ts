/** Pages in a real browser: the same numbers as here, from a worker, with the page free meanwhile. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { load, type Model, type Prediction } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { BROWSERS, visit } from "./browser.js";
import { COMMIT, startHub } from "./hub-server.js";
import type { Found, Logits } from "./page.js";

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

for (const browser of ["chromium", "firefox-esr"] as const) {
  const skip = BROWSERS[browser].command ? false : `there is no ${browser} on the PATH`;
  suite(browser, { skip }, () => {
    test("a page that may share memory: two threads, and everything as it is here", async () => {
      const tasks = [
        "facts",
        "sources",
        "images",
        "errors",
        "progress",
        "abort",
        "dispose",
        "turns",
        "texts",
        "boxes",
        "masks",
        "clips",
        "mattes",
      ] as const;
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

      const { boxes } = found;
      using owl = await load("tests/fixtures/checkpoints/hf-owlv2");
      const objects = await owl.detect(`${IMAGES}/exif-6.jpg`, { query: photo, iou: 0.3 });
      assert.ok(objects.length > 0);
      for (const got of [boxes.path, ...boxes.blob]) {
        const numbers = (list: typeof objects) =>
          Float32Array.from(list.flatMap(({ probability, box }) => [probability, ...Object.values(box)]));
        assertClose(numbers(got), numbers(objects), 1e-3);
      }
      assert.match(boxes.unread.message, /^image: /);
      assert.match(boxes.labels.message, /^detect: this checkpoint is told what to look for by labels or by query/);

      const { masks } = found;
      using sam = await load("tests/fixtures/dense/hf-sam");
      const prompts = { points: [{ x: 3, y: 4 }], boxes: [{ xmin: 1, ymin: 2, xmax: 8, ymax: 12.5 }] };
      const { segments } = await sam.segment(`${IMAGES}/exif-6.jpg`, prompts);
      for (const got of [masks.once, ...masks.twice, masks.kept]) {
        for (const [i, { probability, mask, ...segment }] of segments.entries()) {
          const { probability: other, mask: pixels, ...rest } = got[i]!;
          assert.deepEqual([pixels, rest], [[...mask.data], segment]);
          assert.ok(Math.abs(other - probability) < 1e-4);
        }
      }
      assert.deepEqual([masks.once.length, masks.intact], [3, 16 * 6 * 6]);
      assert.match(masks.outside.message, /^segment: a point must be on the photo of 9×17 pixels; got 99, 4$/);
      assert.match(masks.unread.message, /^image: /);

      const { clips } = found;
      using videos = await load("tests/fixtures/dense/hf-videomae");
      const still = `${IMAGES}/rgb-8.png`;
      same(clips.animation, logitsOf(await videos.classify(`${IMAGES}/moving.gif`)), "an animation");
      const clip6 = logitsOf(await videos.classify({ frames: Array(6).fill(still) }));
      for (const logits of clips.frames) same(logits, clip6, "frames");
      assert.match(clips.still.message, /must have at least 6 frames, .*; got 1$/);
      assert.match(clips.few.message, /must have at least 6 frames, .*; got 2$/);
      assert.ok(clips.intact > 0);

      const { mattes } = found;
      using vitmatte = await load("tests/fixtures/dense/hf-vitmatte");
      const { data, width, height } = await vitmatte.matte(photo, { trimap: `${IMAGES}/trimap.png` });
      for (const got of [mattes.one, mattes.list[0]!]) {
        assert.deepEqual(got.size, [width, height]);
        assertClose(Float32Array.from(got.data), data, 1e-4);
      }
      assert.notDeepEqual(mattes.list[1]!.data, mattes.one.data);
      assert.match(mattes.none.message, /^matte: trimap must be an image/);
      assert.equal(mattes.intact, 37 * 29);

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

    test("a page that may not: one thread, and why; kernels that it is given", async () => {
      const { facts, kernels } = await visit(browser, ["facts", "kernels"]);
      assert.equal(kernels.reasons.length, 4);
      for (const reason of kernels.reasons)
        assert.match(reason, /; SIMD, .*; one thread: these kernels share no memory$/);
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

    test("models by name: the browser keeps them, whole or in parts, and gives them back", async (t) => {
      const files = Object.fromEntries(
        readdirSync(FIXTURE).map((name) => [name, new Uint8Array(readFileSync(`${FIXTURE}/${name}`))]),
      );
      const hub = await startHub(files);
      t.after(hub.close);
      using model = await load(FIXTURE);
      const expected = logitsOf(await model.classify(`${IMAGES}/rgb-8.png`));
      const same = (logits: Logits, reason: string) =>
        assertSame(logits, expected, [reason, model.backend.reason], 1e-5);
      const bodies = () => hub.asked.filter(({ what }) => what === "body").map(({ file, range }) => [file, range]);

      const right = { kind: "whole" } as const;
      hub.faults["model.safetensors"] = [{ kind: "wrong" }, right, right, { kind: "wrong" }];
      const { hub: found } = await visit(browser, ["hub"], { isolated: true, hub: hub.endpoint });
      for (const { message } of [found.wrong, found.uncachedWrong]) {
        assert.match(message, /^hub: "model.safetensors" of "a\/b" must have the SHA-256 .{64}; what arrived has/);
      }
      for (const { logits, reason } of [...found.both, found.again, found.offline, found.page, found.uncached]) {
        same(logits, reason);
      }
      const total = ["preprocessor_config.json", "model.safetensors"].reduce(
        (sum, name) => sum + files[name]!.length,
        0,
      );
      const downloads = found.seen.filter(({ phase }) => phase === "download");
      assert.ok(downloads.length > 0 && downloads.every((progress) => progress.total <= total + 1000));
      assert.equal(downloads.at(-1)!.loaded, downloads.at(-1)!.total);
      const bytes = total + files["config.json"]!.length;
      assert.deepEqual(found.listed, [{ repo: "a/b", revisions: ["main"], commits: [COMMIT], bytes }]);
      assert.match(found.page.reason, /; on the page's own thread: a worker cannot be given the option fetch$/);
      // The listing, and the image.
      assert.deepEqual([found.asked, found.left, found.cleared], [2, 1, []]);
      assert.match(found.gone.message, /^hub: "a\/b" at main is not in the browser's cache/);

      // 20 MB, most of them in the header.
      const [weights] = [files["model.safetensors"]!];
      const length = Number(new DataView(weights.buffer).getBigUint64(0, true));
      const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)));
      header.__metadata__ = { ...header.__metadata__, padding: "x".repeat(20_000_000) };
      const text = new TextEncoder().encode(JSON.stringify(header));
      const large = new Uint8Array(8 + text.length + weights.length - 8 - length);
      new DataView(large.buffer).setBigUint64(0, BigInt(text.length), true);
      large.set(text, 8);
      large.set(weights.subarray(8 + length), 8 + text.length);
      hub.files = { ...files, "model.safetensors": large };
      hub.pace = 5;
      hub.asked.length = 0;
      const { hubResumed } = await visit(browser, ["hubResumed"], { isolated: true, hub: hub.endpoint });
      same(hubResumed.logits, hubResumed.reason);
      const piece = 2 ** 23;
      assert.equal(
        hubResumed.bytes,
        hubResumed.first + files["config.json"]!.length + files["preprocessor_config.json"]!.length,
      );
      assert.ok(hubResumed.first === piece || hubResumed.first === 2 * piece, `${hubResumed.first} bytes were there`);
      const ranges = bodies().flatMap(([file, range]) => (file === "model.safetensors" ? [range] : []));
      assert.deepEqual(ranges, [undefined, `bytes=${hubResumed.first}-`]);
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
  const { topK, name, element, batch, shape, option, broken, refused, allowed } = errors;
  assert.match(
    refused.message,
    /^image: "http:.*\/rgb-8\.png" is an address, and sources are bytes; give its bytes, or /,
  );
  assert.equal(allowed, 5);
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
