/** ViTDet and alpha maps (ViTMatte), against transformers: stages, pixel values, photos, and trimaps of masks. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { inflateSync } from "node:zlib";
import { openImage } from "../src/image/index.js";
import { valuesOfSeen } from "../src/image/preprocess.js";
import { parsePreprocessing } from "../src/image/processors.js";
import { toSeen } from "../src/image/seen.js";
import { withTrimap } from "../src/image/trimap.js";
import { load, type Mask, type Matte, type Tensor, type Trimap, trimapOf } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { compareStages, DENSE_ROOTS, goldenOf } from "./dense.js";
import { sha256 } from "./pillow.js";

const BACKENDS = ["wasm", "reference"] as const;
const OWN = "tests/fixtures/dense/hf-vitmatte";
const PHOTOS = ["rgb-420.jpg", "exif-6.jpg", "gray.jpg"];
const photo = (name: string) => `tests/fixtures/image/${name}`;
const golden = goldenOf(OWN, "photos.safetensors");

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`alpha maps of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter((name) => /^hf-vit(det|matte)/.test(basename(name)))) {
    for (const backend of BACKENDS) {
      test(`${folder} on ${backend} is what its library computes`, () => compareStages(folder, { backend }));
    }
  }
}

/** A golden map of bytes. */
const levelsOf = (name: string, all = golden): Mask & Trimap => {
  const { dims, data } = all.get(name)!;
  return { width: dims[1]!, height: dims[0]!, data: Uint8Array.from(data) };
};

/** Red, green, blue and alpha of a PNG file whose lines are filtered by "Up". */
function rgbaOf(png: Uint8Array): { width: number; height: number; data: Uint8Array } {
  const view = new DataView(png.buffer, png.byteOffset);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  assert.deepEqual([...png.subarray(24, 26)], [8, 6], "a byte a channel, RGBA");
  const lines = inflateSync(png.subarray(41, 41 + view.getUint32(33)));
  const data = new Uint8Array(4 * width * height);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < 4 * width; x++, i++) {
      data[i] = lines[y * (4 * width + 1) + 1 + x]! + (y > 0 ? data[i - 4 * width]! : 0);
    }
  return { width, height, data };
}

async function compareMatte({ width, height, data, cutout }: Matte, name: string): Promise<void> {
  const want = golden.get(`${name}.alphas`)!;
  assert.deepEqual([height, width], want.dims, name);
  assertClose(data, want.data, 3e-5, name);
  const cut = rgbaOf(cutout);
  const whole = await openImage(photo(name));
  assert.deepEqual([cut.width, cut.height], [width, height]);
  const expected = new Uint8Array(cut.data.length);
  for (let i = 0; i < width * height; i++) {
    expected.set(whole.data.subarray(3 * i, 3 * i + 3), 4 * i);
    expected[4 * i + 3] = Math.round(255 * data[i]!);
  }
  assert.deepEqual(cut.data, expected, `the cut-out of ${name}`);
}

test("alpha maps of photos are transformers', and cut them out; of a list they have the same bits", async () => {
  using model = await load(OWN, { backend: "wasm" });
  assert.deepEqual(model.tasks, ["matte"]);
  const mattes: Matte[] = [];
  for (const name of PHOTOS) {
    mattes.push(await model.matte(photo(name), { trimap: levelsOf(`${name}.trimap`) }));
    await compareMatte(mattes.at(-1)!, name);
  }
  const values = mattes.flatMap(({ data }) => [...data]);
  assert.ok(Math.min(...values) < 0.2 && Math.max(...values) > 0.8, "alphas of all kinds");
  const trimap = PHOTOS.map((name) => levelsOf(`${name}.trimap`));
  assert.deepEqual(await model.matte(PHOTOS.map(photo), { trimap }), mattes);
});

/** An image in gray, as RGB pixels. */
const inRgb = ({ width, height, data }: Trimap) => ({
  ...{ width, height },
  data: Uint8Array.from({ length: 3 * data.length }, (_, i) => data[Math.floor(i / 3)]!),
});

test("a trimap may be an image, whose gray counts, and preprocess takes one", async () => {
  using model = await load(OWN, { backend: "wasm" });
  const [name] = PHOTOS as [string];
  const levels = levelsOf(`${name}.trimap`);
  const trimap = inRgb(levels);
  await compareMatte(await model.matte(photo(name), { trimap }), name);
  await compareMatte(await model.matte(photo(name), { trimap: photo("trimap.png") }), name);
  const { geometry, ...pixelValues } = await model.preprocess(photo(name), { trimap });
  const [height, width] = pixelValues.dims.slice(2) as [number, number];
  assert.ok(pixelValues.dims[1] === 4 && height % 32 === 0 && width % 32 === 0);
  assert.deepEqual(geometry.photo, { width: levels.width, height: levels.height });
  const { alphas } = await model.forward({ pixelValues }, { outputs: ["alphas"] });
  const want = golden.get(`${name}.alphas`)!;
  const cut = Float32Array.from(want.data, (_, i) => {
    return alphas.data[Math.floor(i / levels.width) * width + (i % levels.width)]!;
  });
  assertClose(cut, want.data, 3e-5, name);
});

/** The wider set, with pixel values of photos. */
const WIDER = DENSE_ROOTS.at(-1)!;

test("pixel values of photos are those of both processors of transformers", { skip: WIDER.skip }, () => {
  const folder = join(WIDER.root, "image-processors");
  const { pipelines } = JSON.parse(readFileSync(join(folder, "photos.json"), "utf8"));
  const tensors = goldenOf(folder, "photos.safetensors");
  const { config, crop, results } = pipelines.find(({ pipeline }: { pipeline: string }) => pipeline === "vitmatte");
  const [left, top, width, height] = crop;
  const trimap = {
    ...{ width, height },
    data: Uint8Array.from({ length: width * height }, (_, i) => {
      const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
      const r = ((x - width * 0.55) / (width * 0.4)) ** 2 + ((y - height * 0.45) / (height * 0.35)) ** 2;
      return r < 0.5 ? 255 : r < 1 ? 128 : 0;
    }),
  };
  let compared = 0;
  for (const { photos, shape, backends } of results) {
    for (const [processor, backend] of [
      ["pillow", "pil"],
      ["torchvision", "torchvision"],
    ] as const) {
      const { dims, data } = tensors.get(`decoded.${photos[0]}`)!;
      // As Pillow crops, with zeros outside of the photo.
      const cropped = new Uint8Array(3 * width * height);
      for (let y = 0; y < Math.min(height, dims[0]! - top); y++) {
        const [at, end] = [(top + y) * dims[1]! + left, (top + y + 1) * dims[1]!];
        cropped.set(data.subarray(3 * at, 3 * Math.min(at + width, end)), 3 * y * width);
      }
      const preprocessing = parsePreprocessing(config, { model_type: "vitmatte" }, [64, 64], { processor });
      const seen = toSeen({ width, height, data: cropped }, preprocessing);
      const values = { dims: [1, 3, seen.height, seen.width], data: valuesOfSeen(seen, preprocessing) };
      const all = withTrimap("matte", values, trimap, seen.geometry, preprocessing.trimap!);
      assert.deepEqual(all.dims, shape);
      assert.equal(sha256(all.data), backends[backend].float32_sha256, `${photos[0]} by ${processor}`);
      compared++;
    }
  }
  assert.equal(compared, 6);
});

test("an alpha map in f16 and one in int8 stay near", async () => {
  const pixelValues = goldenOf(OWN, "golden.safetensors").get("pixel_values")!;
  const { data } = goldenOf(OWN, "golden.safetensors").get("alphas")!;
  for (const [precision, most] of [
    ["f16", 1e-3],
    ["int8", 0.04],
  ] as const) {
    using model = await load(OWN, { backend: "wasm", precision });
    const { alphas } = await model.forward({ pixelValues }, { outputs: ["alphas"] });
    const mean = alphas.data.reduce((sum, x, i) => sum + Math.abs(x - data[i]!), 0) / data.length;
    assert.ok(mean > 0 && mean < most, `${precision}: alphas are off by ${mean} in the mean`);
  }
});

test("a signal ends a matte between the decoder's maps", async () => {
  using model = await load(OWN, { backend: "wasm", threads: 1 });
  const pixelValues: Tensor = { dims: [1, 4, 512, 512], data: new Float32Array(4 * 512 * 512) };
  const reason = new Error("no longer wanted");
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 1);
  const { signal } = controller;
  await assert.rejects(model.forward({ pixelValues }, { outputs: ["alphas"], signal }), reason);
  await compareMatte(await model.matte(photo(PHOTOS[0]!), { trimap: levelsOf(`${PHOTOS[0]}.trimap`) }), PHOTOS[0]!);
});

test("trimaps of masks are where scipy's dilation and erosion differ", () => {
  const all = goldenOf(OWN, "trimaps.safetensors");
  for (const mask of ["wide", "tall"])
    for (const width of [1, 2, 5]) {
      const want = levelsOf(`${mask}.${width}`, all);
      assert.deepEqual(trimapOf(levelsOf(mask, all), { width }), want, `${mask}, ${width}`);
    }
  const { data } = trimapOf({ width: 100, height: 1, data: new Uint8Array(100).fill(1, 50) });
  assert.equal(data.filter((level) => level === 128).length, 4, "a fiftieth of the longer side on either side");
});

test("what is no mask or no trimap is one sentence", async () => {
  const one = Uint8Array.of(0, 1);
  for (const [mask, options, message] of [
    [undefined, {}, "mask must be { width, height, data }, a byte a pixel; got undefined"],
    [
      { width: 2, height: 2, data: one },
      {},
      "mask must be { width, height, data }, a byte a pixel; got 2 bytes of 2×2",
    ],
    [{ width: 2, height: 1, data: Uint8Array.of(0, 255) }, {}, "mask must be of 0 and 1; got 255 at 1"],
    [{ width: 2, height: 1, data: Uint8Array.of(1, 1) }, {}, "mask must have pixels of 0 and of 1; all of its 2 are 1"],
    [{ width: 2, height: 1, data: one }, { width: 0 }, "width must be a whole number of pixels from 1 on; got 0"],
  ] as const) {
    assert.throws(() => trimapOf(mask as Mask, options), { message: `trimapOf: ${message}` });
  }

  using model = await load(OWN, { backend: "wasm" });
  const [name] = PHOTOS as [string];
  const levels = levelsOf(`${name}.trimap`);
  const { width, height } = levels;
  const filled = (level: number) => ({ width, height, data: levels.data.map((x) => (x === 128 ? level : x)) });
  for (const [trimap, message] of [
    [undefined, "trimap must be an image, 0 beside the object, 255 on it and 128 between; got none"],
    [
      { width: 3, height: 1, data: Uint8Array.of(0, 128, 255) },
      `trimap must be as large as its photo, ${width}×${height}; got 3×1`,
    ],
    [filled(0), "trimap must have pixels of 128, which the model is to tell; it has none"],
    [
      { ...levels, data: levels.data.map((x, i) => (i === width + 2 ? 127 : x)) },
      "trimap must have levels 0, 128 and 255 alone; got 127 at 2, 1",
    ],
    [[levels], "trimap must be an image; got a list of 1"],
  ] as const) {
    await assert.rejects(model.matte(photo(name), { trimap: trimap as Trimap }), { message: `matte: ${message}` });
  }
  await assert.rejects(model.matte([photo(name), photo(name)], { trimap: levels }), {
    message: "matte: trimap must be a list, one for each of 2 images; got one",
  });
  await assert.rejects(model.preprocess(photo(name)), {
    message: "preprocess: this model sees a trimap beside an image, so the option trimap must be one; got none",
  });
  await assert.rejects(model.preprocess([photo(name)]), {
    message: "preprocess: images of this model have a trimap each, so each must be given by itself; got a list",
  });
  await assert.rejects(
    model.embed(photo(name)),
    /^RangeError: embed: the checkpoint must have a vector for the whole image/,
  );
  const pixelValues = { dims: [1, 4, 40, 64], data: new Float32Array(4 * 40 * 64) };
  await assert.rejects(model.forward({ pixelValues }, { outputs: ["alphas"] }), {
    message: "forward: for alphas the sides of pixelValues must be multiples of 16 and 16; got 40×64",
  });
});
