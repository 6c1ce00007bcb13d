/** Pictures: every kind against PyTorch and NumPy (tests/fixtures/pictures/make.py), drawings back to their numbers, and errors. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { inflateSync } from "node:zlib";
import { decode, type Geometry } from "../src/image/index.js";
import { type ImageInput, load, type Model, type Tensor } from "../src/index.js";
import {
  colorTable,
  type KindName,
  kinds,
  lengthsOf,
  type Picture,
  picture,
  principalComponents,
  projectedOn,
  type SeeingModel,
} from "../src/pictures/index.js";
import { noise } from "./backend.cases.js";
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
function seeing(model: Model, golden: ReadonlyMap<string, Tensor>): SeeingModel {
  const given = golden.get("pixel_values")!;
  const [, channels, height, width] = given.dims as [number, number, number, number];
  const data = given.data.subarray(0, channels * height * width);
  const size = { width, height };
  const geometry: Geometry = { photo: size, resized: size, offset: [0, 0], model: size };
  const preprocess = async () => ({ dims: [1, channels, height, width], data, geometry });
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

test("every kind has a golden", () => assert.deepEqual([...tested].sort(), Object.keys(kinds).sort()));
