/** Clips: frames of animated files against Pillow, which of them are taken and what a model says of them against transformers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeFramesFor } from "../src/image/decode/index.js";
import { kept } from "../src/image/upright.js";
import { type Clip, type ImageInput, load, type Prediction } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { readBytes, readShapes, readTensors } from "./tensors.js";

const CLI = fileURLToPath(new URL("../src/cli.js", import.meta.url));
const ANIMATED = "tests/fixtures/image/animated.safetensors";
const folder = mkdtempSync(join(tmpdir(), "vitrail-clips-"));
after(() => rmSync(folder, { recursive: true }));

/** Bytes of an animated file. */
const animated = (name: string) => readBytes(ANIMATED)(name);

const all = (frames: number) => [...Array(frames).keys()];

test("every frame of animated files is Pillow's", async () => {
  const names = [...readTensors(ANIMATED).keys()];
  const [bytes, shapes] = [readBytes(ANIMATED), readShapes(ANIMATED)];
  for (const name of names.filter((name) => !name.includes(".frames."))) {
    const own = names.filter((other) => other.startsWith(`${name.split(".")[0]}.frames.`));
    const frames = await decodeFramesFor(bytes(name), { label: name }, all, kept);
    assert.equal(frames.length, own.length, name);
    for (const [i, { data, width, height }] of frames.entries()) {
      const want = `${name.split(".")[0]}.frames.${i}`;
      assert.deepEqual([height, width, 3], shapes(want), want);
      assert.deepEqual(Buffer.from(data), Buffer.from(bytes(want)), want);
    }
  }
});

/** Frames of a fixture, as pixels. */
function framesOf(fixture: string): ImageInput[] {
  const path = `tests/fixtures/dense/${fixture}/frames.safetensors`;
  const [frames, height, width] = readShapes(path)("frames") as [number, number, number];
  const bytes = readBytes(path)("frames");
  const size = 3 * height * width;
  return all(frames).map((i) => ({ data: bytes.slice(i * size, (i + 1) * size), width, height }));
}

for (const fixture of ["hf-videomae", "hf-vivit", "hf-timesformer"]) {
  test(`${fixture} takes the frames that transformers takes, and says the same of them`, async () => {
    using model = await load(`tests/fixtures/dense/${fixture}`);
    const want = readTensors(`tests/fixtures/dense/${fixture}/frames.safetensors`);
    const clip: Clip = { frames: framesOf(fixture) };
    for (const [kind, frameSamplingRate] of [
      ["spread", undefined],
      ["every", 3],
    ] as const) {
      const pixelValues = await model.preprocess(clip, { frameSamplingRate });
      const { dims, data } = want.get(`${kind}.pixel_values`)!;
      assert.deepEqual(pixelValues.dims, dims);
      assert.deepEqual(pixelValues.data, data, kind);
      const logits = want.get(`${kind}.logits`)!.data;
      const said = await model.classify(clip, { topK: 5, frameSamplingRate });
      assertClose(
        Float32Array.from(said, ({ logit }) => logit),
        Float32Array.from(said, ({ index }) => logits[index]!),
        1e-4,
        kind,
      );
    }
    // What is between the frames that are taken is not opened.
    const taken = new Set(want.get("spread.indices")!.data);
    const others = clip.frames.map((frame, i) => (taken.has(i) ? frame : "no such file"));
    assert.deepEqual(await model.classify({ frames: others }), await model.classify(clip));
    const list = await model.classify([clip, { frames: [...clip.frames].reverse() }]);
    assert.deepEqual(list[0], await model.classify(clip));
    assert.notDeepEqual(list[1], list[0]);
    const row = await model.embed(clip);
    assert.equal(row.length, 16);
  });
}

test("a clip may be an animated file, from bytes, a path or an address, and of the command line a folder of frames", async (t) => {
  using model = await load("tests/fixtures/dense/hf-timesformer");
  const name = [...readTensors(ANIMATED).keys()].find((name) => /^\d*[02468]\.frames\.3$/.test(name))!;
  const bytes = animated(`${name.split(".")[0]}.gif`);
  const frames = await decodeFramesFor(bytes, { label: name }, all, kept);
  const want = await model.classify({ frames });
  const path = join(folder, "clip.gif");
  writeFileSync(path, bytes);
  assert.deepEqual(await model.classify(bytes), want);
  assert.deepEqual(await model.classify(path), want);
  assert.deepEqual(await model.classify([`data:image/gif;base64,${Buffer.from(bytes).toString("base64")}`, path]), [
    want,
    want,
  ]);
  t.diagnostic(`${frames.length} frames of ${frames[0]!.width}×${frames[0]!.height}`);
});

test("what is no clip, or too short, is refused in one sentence", async () => {
  using model = await load("tests/fixtures/dense/hf-videomae");
  using image = await load();
  const frames = framesOf("hf-videomae");
  const few = "must have at least 6 frames, as an animated GIF or WebP or as { frames: [...] }; got";
  const photo = "tests/fixtures/image/rgb-420.jpg";
  for (const [call, message] of [
    [() => model.classify(photo), `image: "${photo}" ${few} 1`],
    [() => model.classify({ frames: [] }), `image: the clip ${few} 0`],
    [() => model.classify({ frames: frames.slice(0, 5) }), `image: the clip ${few} 5`],
    [() => model.classify(frames[0]!), `image: the clip ${few} 1`],
    [() => model.classify(animated("0.gif")), /^image: the image must have at least 6 frames.*; got \d$/],
    [
      () => model.classify({ frames }, { frameSamplingRate: 9 }),
      "image: the clip must have at least 54 frames, 6 of every 9, as an animated GIF or WebP or as { frames: [...] }; got 20",
    ],
    [
      () => model.classify({ frames }, { frameSamplingRate: 0 }),
      "classify: frameSamplingRate must be a positive integer; got 0",
    ],
    [
      () => model.classify({ frames: "cat.jpg" as never }),
      "image: frames of a clip must be a list of images; got string",
    ],
    [
      () => image.classify(photo, { frameSamplingRate: 2 }),
      "classify: frameSamplingRate needs a model of videos; this one takes images",
    ],
    [
      () => image.classify({ frames }),
      "image: the image must be a path, URL, encoded bytes, pixels or something drawable; got Object",
    ],
    [
      () => model.forward({ pixelValues: { dims: [1, 3, 20, 14], data: new Float32Array(840) } }),
      "forward: pixelValues must be [clips, 6, 3, 20, 14]; got [1, 3, 20, 14]",
    ],
    [
      () => load("tests/fixtures/dense/hf-vivit", { patchSize: 4 }),
      "load: patchSize needs patches of one image's pixels, without a border; this checkpoint has none",
    ],
  ] as const) {
    await assert.rejects(call as () => Promise<unknown>, typeof message === "string" ? { message } : { message });
  }
  // One that fails does not take the others with it.
  const failed = await model.classify([{ frames }, { frames: [] }]).catch((error) => error);
  assert.match(String(failed.message ?? failed), /the clip must have at least 6 frames/);
});

test("an animation's frames are bounded by their pixels in all, and it ends with its signal", async () => {
  const none = () => [];
  for (const name of ["0.gif", "1.webp"]) {
    const kind = name.slice(2);
    await assert.rejects(decodeFramesFor(animated(name), { pixelLimit: 2 }, none, kept), {
      message: /and the limit is/,
    });
    const { width, height } = (await decodeFramesFor(animated(name), {}, () => [0], kept))[0]!;
    const area = width * height;
    assert.deepEqual(await decodeFramesFor(animated(name), { pixelLimit: area + 1000 }, none, kept), [], kind);
    await assert.rejects(
      decodeFramesFor(animated(name), { signal: AbortSignal.abort(new Error("enough")) }, all, kept),
      {
        message: "enough",
      },
    );
  }
  // A frame of one pixel, so often that all of them have too many.
  const [frame, header] = [",\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0", "GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff"];
  const gif = (frames: number) => Uint8Array.from(`${header}${frame.repeat(frames)};`, (x) => x.charCodeAt(0));
  assert.equal((await decodeFramesFor(gif(80), { pixelLimit: 10 }, all, kept)).length, 80);
  await assert.rejects(decodeFramesFor(gif(81), { pixelLimit: 10, label: "it" }, all, kept), {
    message: "decode: it has frames of 81 pixels in all, and the limit is 80; raise the option pixelLimit to decode it",
  });
  // Some of ten thousand: the others are counted, and drawn, but not kept.
  const seen = await decodeFramesFor(gif(10_000), {}, (n) => [0, n - 1], kept);
  assert.equal(seen.length, 2);
});

test("int8, f16, threads and a signal hold for clips", async () => {
  for (const fixture of ["hf-videomae", "hf-timesformer"]) {
    const path = `tests/fixtures/dense/${fixture}`;
    const { data } = readTensors(`${path}/golden.safetensors`).get("logits")!;
    const pixelValues = readTensors(`${path}/golden.safetensors`).get("pixel_values")!;
    for (const [precision, tolerance] of [
      ["f16", 2e-3],
      ["int8", 0.15],
    ] as const) {
      using model = await load(path, { precision });
      const { logits } = await model.forward({ pixelValues });
      assertClose(logits.data, data, tolerance * Math.max(...data.map(Math.abs)), `${fixture} ${precision}`);
    }
    using model = await load(path);
    const controller = new AbortController();
    const running = model.forward({ pixelValues }, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await assert.rejects(running, { message: "enough" });
    assert.deepEqual((await model.forward({ pixelValues })).logits.dims, [2, 5]);
  }
});

test("the command line takes a folder of frames as one clip", async () => {
  const frames = framesOf("hf-videomae") as { data: Uint8Array; width: number; height: number }[];
  const clip = join(folder, "clip");
  mkdirSync(clip);
  for (const [i, { data, width, height }] of frames.entries()) {
    const header = new TextEncoder().encode(`P6 ${width} ${height} 255\n`);
    writeFileSync(join(clip, `frame-${i}.ppm`), Buffer.concat([header, data]));
  }
  using model = await load("tests/fixtures/dense/hf-videomae");
  const want: Prediction[] = await model.classify({ frames }, { frameSamplingRate: 3 });
  const args = ["classify", clip, "--model", "tests/fixtures/dense/hf-videomae", "--every", "3", "--json"];
  const { stdout } = spawnSync(process.execPath, [CLI, ...args], { encoding: "utf8" });
  const line = JSON.parse(stdout.trim());
  assert.equal(line.image, clip);
  assert.deepEqual(
    line.top.map(({ label, probability }: Prediction) => [label, probability]),
    want.map(({ label, probability }) => [label, probability]),
  );
});
