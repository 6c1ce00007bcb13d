/** Pictures: every kind against PyTorch and NumPy (tests/fixtures/pictures/make.py), drawings back to their numbers, and errors. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, type Geometry, type RgbImage } from "../src/image/index.js";
import { load, type Model, type Tensor } from "../src/index.js";
import {
  colorTable,
  type KindName,
  kinds,
  type Picture,
  picture,
  type SeeingModel,
  scoresOf,
  see,
} from "../src/pictures/index.js";
import { tensorsOf } from "./tensors.js";

const HERE = "tests/fixtures/pictures";
const SHARED = "../shared";
/** The largest difference, as a part of the largest magnitude. */
const TOLERANCE = 1e-4;

interface Case {
  readonly where: "checkpoints" | "shared" | "photos";
  readonly photos?: readonly string[];
  readonly pictures: readonly { readonly kind: KindName; readonly options: object; readonly tensor: string }[];
}

const CASES = JSON.parse(readFileSync(`${HERE}/cases.json`, "utf8")) as Record<string, Case>;
const FOLDERS = {
  checkpoints: (name: string) => `tests/fixtures/checkpoints/${name}`,
  shared: (name: string) => `${SHARED}/goldens/${name}`,
  photos: () => `${SHARED}/models/vit-tiny-patch16-224/timm`,
};

/** The model, to which every photo is the first of a golden's pixel values, and the texts are a golden's. */
function seeing(model: Model, golden: ReadonlyMap<string, Tensor>, lies?: Geometry): SeeingModel {
  const given = golden.get("pixel_values")!;
  const dims = [1, ...given.dims.slice(1)];
  const data = given.data.subarray(
    0,
    dims.reduce((product, n) => product * n),
  );
  const shapes = golden.get("spatial_shapes");
  const [rows, columns] = shapes?.data ?? [];
  const [height, width] = shapes
    ? [rows! * model.config.patchSize[0], columns! * model.config.patchSize[1]]
    : dims.slice(2);
  const size = { width: width!, height: height! };
  const geometry: Geometry = { photo: size, resized: size, offset: [0, 0], model: size };
  const spatialShapes = shapes && { dims: [1, 2], data: [rows!, columns!] };
  const preprocess = async () => ({ dims, data, ...(spatialShapes && { spatialShapes }), geometry: lies ?? geometry });
  const texts = golden.get("text_embeds");
  const { config, labels, forward } = model;
  return {
    ...{ config, labels, forward },
    preprocess: preprocess as unknown as Model["preprocess"],
    text: texts && { embed: async () => texts.data, tokenize: async () => [] },
  };
}

function compare({ dims, data }: Pick<Picture, "dims" | "data">, want: Tensor, what: string): void {
  assert.deepEqual(dims, want.dims, what);
  let [worst, most] = [0, 0];
  for (let i = 0; i < data.length; i++) {
    worst = Math.max(
      worst,
      Math.abs(data[i]! - want.data[i]!) || (data[i] === want.data[i] ? 0 : Number.POSITIVE_INFINITY),
    );
    most = Math.max(most, Math.abs(want.data[i]!));
  }
  assert.ok(worst <= TOLERANCE * most, `${what}: ${worst} of ${most}`);
}

const tested = new Set<KindName>();
for (const [name, { where, photos, pictures }] of Object.entries(CASES)) {
  const folder = FOLDERS[where](name);
  const skip = existsSync(folder) ? false : `${folder} is absent: it is not part of the package`;
  test(`${name}: pictures are what PyTorch and NumPy make`, { skip }, async () => {
    using model = await load(folder);
    const want = tensorsOf(readFileSync(`${HERE}/${name}.safetensors`), name);
    const golden = photos ? undefined : tensorsOf(readFileSync(`${folder}/golden.safetensors`), name);
    const seer = golden ? seeing(model, golden) : model;
    const images = photos?.map((file) => `${SHARED}/images/imagenet/${file}`) ?? [new Uint8Array()];
    for (const { kind, options, tensor } of pictures) {
      tested.add(kind);
      const made = await picture(seer, kind, images, options as never);
      const all = (Array.isArray(made) ? made : [made]) as Picture[];
      const golden = want.get(tensor)!;
      const what = `${name} ${kind} ${JSON.stringify(options)}`;
      compare(photos ? trimmed(all, kind, golden) : all[0]!, golden, what);
    }
  });
}

/** The part of ViT-Ti's pictures that there are goldens of: all, or some tiles and classes, of one photo or of both. */
function trimmed([first, second]: Picture[], kind: KindName, { dims }: Tensor): Pick<Picture, "dims" | "data"> {
  const { data } = first!;
  if (kind === "features") return { dims: [2, ...first!.dims], data: Float32Array.of(...data, ...second!.data) };
  if (kind === "lens") {
    const rows = Array.from({ length: 13 }, (_, layer) => [...data.subarray(layer * 1000, layer * 1000 + 100)]);
    return { dims, data: Float32Array.from(rows.flat()) };
  }
  if (kind !== "positions") return first!;
  const tiles = [0, 5, 10].flatMap((row) => [0, 5, 10].map((column) => (row * 14 + column) * 196));
  return { dims, data: Float32Array.from(tiles.flatMap((at) => [...data.subarray(at, at + 196)])) };
}

// What reconstruction shows is in tests/reconstruction.test.ts.
test("every kind has a golden", () =>
  assert.deepEqual([...tested, "reconstruction"].sort(), Object.keys(kinds).sort()));

const VIT = FOLDERS.checkpoints("hf-vit");
const goldenOf = (folder: string) => tensorsOf(readFileSync(`${folder}/golden.safetensors`), folder);
const PHOTO = new Uint8Array();

/** A photo of gray. */
const gray = (width: number, height: number, level: number): RgbImage => ({
  ...{ width, height },
  data: new Uint8Array(3 * width * height).fill(level),
});
const at = ({ data, width }: RgbImage, x: number, y: number) => [
  ...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3),
];

test("a map lies on the photo where its patches are: turned, scaled, cropped, with a border", async () => {
  using model = await load(VIT);
  // 3 × 4 patches of 4 pixels see the middle of a photo of 100 × 30 pixels, at half of its size, above a border of 2 pixels.
  const lies: Geometry = {
    photo: { width: 100, height: 30 },
    resized: { width: 50, height: 15 },
    offset: [-17, -5],
    model: { width: 16, height: 12 },
  };
  const map = await picture(seeing(model, goldenOf(VIT), lies), "norms", PHOTO);
  const drawn = await map.pixels({ over: gray(100, 30, 200) });
  assert.deepEqual([drawn.width, drawn.height], [100, 30]);
  const table = colorTable("viridis");
  const most = Math.max(...map.data);
  // Patch (1, 2) begins at (8, 4) on the model's image: the photo's pixels from (50, 18).
  for (const [row, column] of [
    [1, 2],
    [0, 0],
    [2, 3],
  ] as const) {
    const level = Math.round((255 * map.data[row * 4 + column]!) / most);
    const want = [...table.subarray(3 * level, 3 * level + 3)].map((c) => 0.28 * 200 + 0.72 * c);
    for (const [x, y] of [
      [0, 0],
      [7, 0],
      [7, 7],
    ] as const) {
      const [px, py] = [34 + 8 * column + x, 10 + 8 * row + y];
      if (py >= 30) continue;
      for (const [c, value] of at(drawn, px, py).entries()) assert.ok(Math.abs(value - want[c]!) <= 1, `${px}, ${py}`);
    }
  }
  assert.deepEqual(at(drawn, 33, 12), [70, 70, 70], "left of what the model sees");
  assert.deepEqual(at(drawn, 66, 12), [70, 70, 70], "right of it");
  assert.deepEqual(at(drawn, 40, 9), [70, 70, 70], "above it");
  // Alone, a patch is a square; in another width the photo is smaller, and the map with it.
  const alone = await map.pixels({ width: 40 });
  assert.deepEqual([alone.width, alone.height], [40, 30]);
  const half = await map.pixels({ over: gray(100, 30, 200), width: 50 });
  assert.deepEqual([half.width, half.height, ...at(half, 16, 6)], [50, 15, 70, 70, 70]);
  assert.deepEqual(at(half, 17, 6), at(drawn, 34, 12));
  const png = await decode(await map.png({ over: gray(100, 30, 200) }));
  assert.deepEqual(png, drawn);
});

test("files say what they show: SVG with title, legend and units, .npy with the numbers", async () => {
  using model = await load(VIT);
  const seer = seeing(model, goldenOf(VIT));
  const map = await picture(seer, "similarity", PHOTO, { from: [1, 2] });
  const svg = await map.svg({ over: gray(16, 12, 99) });
  for (const part of ["<title>Patches alike to that in row 1, column 2", "data:image/png;base64,", ">cosine<", ">1<"]) {
    assert.ok(svg.includes(part), part);
  }
  const file = map.npy();
  const start = 10 + new DataView(file.buffer).getUint16(8, true);
  assert.match(new TextDecoder("latin1").decode(file.subarray(0, start)), /'shape': \(3, 4\), \}/);
  assert.deepEqual(new Float32Array(file.slice(start).buffer), map.data);
  const lens = await picture({ ...seer, labels: ["a<b", "c&d", "e", "f", "g", "h", "i"] }, "lens", PHOTO);
  assert.match(await lens.svg(), /a&lt;b[\s\S]*|c&amp;d/);
  await assert.rejects(lens.png(), { name: "RangeError", message: /lens is a chart, which has no pixels/ });
  const positions = await picture(seer, "positions");
  await assert.rejects(positions.png({ over: gray(9, 9, 9) }), {
    message: /positions is of the model, so it cannot be/,
  });
});

test("occlusion tells how far it is, and ends by its signal", async () => {
  using model = await load(VIT);
  const seer = seeing(model, goldenOf(VIT));
  const progress: number[][] = [];
  const controller = new AbortController();
  const whole = await picture(seer, "occlusion", PHOTO, { size: 1, onProgress: (...all) => progress.push(all) });
  assert.deepEqual(
    [whole.dims, progress],
    [
      [3, 4],
      [
        [8, 12],
        [12, 12],
      ],
    ],
  );
  const reason = new Error("the user left");
  const onProgress = () => controller.abort(reason);
  await assert.rejects(picture(seer, "occlusion", PHOTO, { onProgress, size: 1, signal: controller.signal }), reason);
});

test("labels are compared with the whole photo, also where imageEmbeds are of patches (OWL-ViT)", async () => {
  for (const name of ["hf-owlvit", "hf-owlv2"]) {
    using model = await load(FOLDERS.checkpoints(name));
    const photo = gray(30, 20, 90);
    const scores = await scoresOf("test", model, ["cat"], undefined);
    const [found] = await scores.of((await see(model, photo, undefined)).inputs);
    const image = await model.embed(photo, { normalize: true });
    const text = await model.text!.embed("cat", { normalize: true });
    const cosine = image.reduce((sum, x, i) => sum + x * text[i]!, 0);
    assert.ok(Math.abs(found![0]! - cosine) < 1e-5, `${name}: ${found![0]} beside ${cosine}`);
    const { data } = await picture(model, "occlusion", photo, { labels: ["cat"] });
    assert.ok(data.every(Number.isFinite) && data.some((fall) => fall !== 0), name);
  }
});

test("what a checkpoint cannot show, and options that are wrong, are one sentence", async () => {
  const cases: [folder: string, kind: KindName, options: object, message: RegExp][] = [
    ["hf-vit", "attention", { layer: 2 }, /layer must be from 0 to 1; got 2/],
    ["hf-vit", "attention", { head: 3 }, /head must be from 0 to 2; got 3/],
    ["hf-vit", "attention", { head: "sum" }, /head must be a number, mean, max or min; got "sum"/],
    [
      "hf-vit",
      "attention",
      { from: [3, 0] },
      /a patch is \[row, column\] of 3 rows and 4 columns, from 0; got \[3,0\]/,
    ],
    ["hf-vit", "attention", { from: "pool" }, /from: "pool" needs attention pooling; this checkpoint has none/],
    ["hf-vit", "attention", { discard: 1 }, /discard must be from 0 to less than 1; got 1/],
    [
      "hf-vit",
      "attention",
      { depth: 1 },
      /options are layer, head, from, rollout, heads, discard, signal; got "depth"/,
    ],
    ["hf-vit", "similarity", { layer: 3 }, /layer must be from 0 to 2; got 3/],
    ["hf-vit", "features", { keep: "both" }, /keep must be high or low; got "both"/],
    ["hf-vit", "occlusion", { size: 0 }, /size must be a positive number of patches; got 0/],
    ["hf-vit", "occlusion", { class: "cat" }, /class must be a class of the checkpoint; got "cat"/],
    ["hf-vit", "text", { labels: ["a"] }, /for text the checkpoint must have a text tower, to compare labels with/],
    ["hf-aimv2", "attention", { from: "class" }, /from: "class" needs a class token; this checkpoint has none/],
    ["hf-dinov3", "lens", {}, /for lens the checkpoint must have a classifier/],
    [
      "hf-dinov3",
      "positions",
      {},
      /positionEmbeddings needs a checkpoint that adds positions .*; this one has rotary ones/,
    ],
    [
      "hf-beit",
      "positions",
      {},
      /positionEmbeddings needs a checkpoint that adds positions .*; this one has relative ones/,
    ],
    ["timm-bit", "attention", {}, /must have a transformer; a ResNet's class activation is the kind activation/],
    ["timm-bit", "positions", {}, /must have a transformer/],
  ];
  for (const [name, kind, options, message] of cases) {
    const folder = FOLDERS.checkpoints(name);
    using model = await load(folder);
    const asked = picture(seeing(model, goldenOf(folder)), kind, PHOTO, options as never);
    await assert.rejects(asked, { name: "RangeError", message }, `${name} ${kind}`);
  }
  using model = await load(VIT);
  await assert.rejects(picture(model, "glow" as never, PHOTO), {
    message: /^picture: kinds are filters, .*; got "glow"/,
  });
  await assert.rejects(picture(model, "attention", []), {
    name: "TypeError",
    message: /attention needs a photo; got none/,
  });
});
