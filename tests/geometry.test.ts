/** Geometry: where a photo lies in what a model sees, held against the pixels themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Geometry, type Preprocessing, parsePreprocessing, toModel, toPhoto, toSeen } from "../src/image/index.js";
import { load } from "../src/index.js";

const torchvision = (preprocessor: object) =>
  parsePreprocessing(preprocessor, undefined, [24, 24], { processor: "torchvision" });

/** Each kind of plan, with a filter that keeps a ramp a ramp. */
const PIPELINES: Readonly<Record<string, Preprocessing>> = {
  "height and width": parsePreprocessing({ size: { height: 24, width: 36 }, resample: 2 }, undefined, [24, 36]),
  "short side, crop, offsets down": parsePreprocessing(
    { image_processor_type: "CLIPImageProcessor", size: { shortest_edge: 33 }, crop_size: 24, resample: 2 },
    undefined,
    [24, 24],
  ),
  "timm's crop_pct, offsets to even": parsePreprocessing(
    undefined,
    { architecture: "vit", pretrained_cfg: { crop_pct: 0.875, interpolation: "bilinear" } },
    [27, 27],
  ),
  "timm's crop_pct of a rectangle": parsePreprocessing(
    undefined,
    { architecture: "vit", pretrained_cfg: { crop_pct: 0.9, interpolation: "bilinear" } },
    [21, 30],
  ),
  "no resize, crop": parsePreprocessing(
    { image_processor_type: "CLIPImageProcessor", do_resize: false, crop_size: 19, size: 19, resample: 2 },
    undefined,
    [19, 19],
  ),
  "whole patches": parsePreprocessing(
    { image_processor_type: "Siglip2ImageProcessor", patch_size: 4, max_num_patches: 60 },
    undefined,
    [28, 28],
  ),
  "multiples near a size": parsePreprocessing(
    { image_processor_type: "DPTImageProcessor", size: 40, keep_aspect_ratio: true, ensure_multiple_of: 14 },
    undefined,
    [40, 40],
  ),
  "short side with a bound": parsePreprocessing(
    { image_processor_type: "YolosImageProcessor", size: { shortest_edge: 40, longest_edge: 70 } },
    undefined,
    [40, 70],
  ),
  "torchvision's crop with a border": torchvision({
    image_processor_type: "CLIPImageProcessor",
    size: { shortest_edge: 30 },
    crop_size: { height: 37, width: 35 },
    resample: 2,
  }),
  "torchvision's values with a border": torchvision({
    image_processor_type: "DINOv3ViTImageProcessor",
    size: { height: 24, width: 36 },
    do_center_crop: true,
    crop_size: { height: 31, width: 20 },
  }),
  "torchvision's border of an image that is not resized": torchvision({
    do_resize: false,
    do_center_crop: true,
    crop_size: { height: 50, width: 33 },
  }),
  "a border to a square": torchvision({ image_processor_type: "Owlv2ImageProcessor", size: 40 }),
  "a border to a square by SciPy": parsePreprocessing(
    { image_processor_type: "Owlv2ImageProcessor", size: 40 },
    undefined,
    [40, 40],
  ),
};

/** For each orientation of EXIF: the stored pixel that the person sees at (x, y) of an upright photo of w × h. */
const STORED: readonly ((x: number, y: number, w: number, h: number) => [number, number])[] = [
  (x, y) => [x, y],
  (x, y, w) => [w - 1 - x, y],
  (x, y, w, h) => [w - 1 - x, h - 1 - y],
  (x, y, _, h) => [x, h - 1 - y],
  (x, y) => [y, x],
  (x, y, w) => [y, w - 1 - x],
  (x, y, w, h) => [h - 1 - y, w - 1 - x],
  (x, y, _, h) => [h - 1 - y, x],
];

/** A photo whose red grows to the right and whose green grows downward, as it is stored. */
function ramps(width: number, height: number, orientation: number) {
  const stored = orientation >= 5 ? { width: height, height: width } : { width, height };
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [sx, sy] = STORED[orientation - 1]!(x, y, width, height);
      const at = 3 * (sy * stored.width + sx);
      data[at] = Math.round((255 * (x + 0.5)) / width);
      data[at + 1] = Math.round((255 * (y + 0.5)) / height);
    }
  return { ...stored, data, orientation };
}

for (const [name, preprocessing] of Object.entries(PIPELINES)) {
  test(`${name}: a pixel of the model shows the photo where the geometry says`, () => {
    for (const [width, height] of [
      [47, 31],
      [31, 47],
      [40, 40],
      [61, 20],
    ] as const) {
      // A photo that is not resized must be large enough.
      const { processor, resize, rescaleFirst } = preprocessing;
      if (processor === "pillow" && resize.mode === "none" && Math.min(width, height) < 20) continue;
      for (let orientation = 1; orientation <= 8; orientation++) {
        const seen = toSeen(ramps(width, height, orientation), preprocessing);
        const { geometry } = seen;
        assert.deepEqual(geometry.photo, { width, height });
        assert.deepEqual(geometry.model, { width: seen.width, height: seen.height });
        let compared = 0;
        // A step of the ramp in levels; filters see as far as a pixel, of the photo or of what it is resized to.
        const steps = [255 / width, 255 / height] as const;
        for (let y = 0; y < seen.height; y++)
          for (let x = 0; x < seen.width; x++) {
            const point = toPhoto(geometry, [x + 0.5, y + 0.5]);
            const { resized } = geometry;
            const [reachX, reachY] = [
              1.5 * Math.max(1, width / resized.width),
              1.5 * Math.max(1, height / resized.height),
            ];
            // In a border and beside it there is something else.
            if (point[0] < reachX || point[0] > width - reachX || point[1] < reachY || point[1] > height - reachY)
              continue;
            for (const axis of [0, 1] as const) {
              const side = axis === 0 ? width : height;
              const found = seen.data[3 * (y * seen.width + x) + axis]! * (rescaleFirst ? 255 : 1);
              const wanted = (255 * point[axis]) / side;
              // A third of a pixel beside it would show.
              const bound = Math.min(1.6, steps[axis] / 3);
              assert.ok(
                Math.abs(found - wanted) <= bound,
                `${width}×${height} turned ${orientation}: ${found}, ${wanted}`,
              );
              compared++;
            }
          }
        assert.ok(compared > 100, `${compared} compared`);
      }
    }
  });
}

test("corners and sides of one pixel are exact, there and back", () => {
  for (const preprocessing of Object.values(PIPELINES)) {
    const { processor, resize } = preprocessing;
    // Its size is a real number, and of no side more than one.
    if (resize.mode === "blurred") continue;
    for (const [width, height] of [
      [1, 1],
      [1, 300],
      [299, 1],
      [7, 5],
      [333, 500],
      [4001, 2999],
    ] as const) {
      if (processor === "pillow" && resize.mode === "none" && Math.min(width, height) < 19) continue;
      // These are refused, as nothing would be left of them.
      if (["bounded", "multiples"].includes(resize.mode) && Math.min(width, height) < 5) continue;
      const { geometry } = toSeen({ width, height, data: new Uint8Array(3 * width * height) }, preprocessing);
      const { resized, offset } = geometry;
      assert.deepEqual(toModel(geometry, [0, 0]), offset);
      assert.deepEqual(toModel(geometry, [width, height]), [resized.width + offset[0], resized.height + offset[1]]);
      assert.deepEqual(toPhoto(geometry, toModel(geometry, [width, height])), [width, height]);
      assert.deepEqual(toPhoto(geometry, offset), [0, 0]);
      // A crop from the middle: as much is missing on both sides, to a pixel.
      const [right, bottom] = toModel(geometry, [width, height]);
      assert.ok(Math.abs(right - geometry.model.width + offset[0]) <= 1);
      assert.ok(Math.abs(bottom - geometry.model.height + offset[1]) <= 1);
    }
  }
});

test("preprocess gives the geometry of each image, made here or in a thread, as plain data", async () => {
  using model = await load();
  const cat = fileURLToPath(new URL("../../models/samples/cat-1.jpg", import.meta.url));
  const { geometry, dims } = await model.preprocess(cat);
  assert.deepEqual([geometry.model.height, geometry.model.width], dims.slice(2));
  const list = await model.preprocess([cat, cat, cat]);
  assert.deepEqual(list.geometry, [geometry, geometry, geometry] satisfies Geometry[]);
  assert.deepEqual(JSON.parse(JSON.stringify(geometry)), geometry);
});
