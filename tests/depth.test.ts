/** Depth and semantic segmentation by DPT heads, against transformers: stages, post-processing, and photos. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { atOnce } from "../src/image/slices.js";
import { load, type Tensor } from "../src/index.js";
import { bestClasses, masksOf, resizeBicubic } from "../src/tasks/maps.js";
import { assertClose } from "./backend.cases.js";
import { compareDense, DENSE, type Post, skipDense } from "./dense.js";
import { tensorsOf } from "./tensors.js";

const OWN = "tests/fixtures/dense";

/** Folders of models with a DPT head. */
export const dptFolders = (root: string): string[] =>
  existsSync(root) ? readdirSync(root).filter((name) => /^hf-(depth-anything|dpt-)/.test(name)) : [];

/** Post-processing of DPTImageProcessor. */
export const dptPosts = (t: TestContext): Readonly<Record<string, Post>> => ({
  post_process_depth_estimation({ outputs }, { target_sizes: sizes }) {
    const { dims, data } = outputs.predictedDepth as Tensor;
    const [height, width] = (sizes as [number, number][])[0]!;
    const map = atOnce(resizeBicubic(data, { width: dims[2]!, height: dims[1]! }, { width, height }));
    return new Map([["post.0.predicted_depth", Array.from(map)]]);
  },
  post_process_semantic_segmentation({ outputs, tensors, golden }) {
    const want = tensors.get("post.0.segmentation")!;
    const ties = compareClasses(outputs.logits as Tensor, want);
    t.diagnostic(`${golden.file}: ${ties} pixels of ${want.data.length} have two best classes within f32's error`);
    return new Map([["post.0.segmentation", Array.from(want.data)]]);
  },
});

for (const [root, skip] of [
  [OWN, false],
  [DENSE, skipDense],
] as const) {
  if (skip) test("depth and segments of the wider set", { skip }, () => undefined);
  for (const folder of dptFolders(root)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} of ${root} on ${backend} is what its library computes`, (t) =>
        compareDense(folder, { backend }, { root, posts: dptPosts(t) }));
    }
  }
}

/** Compares a map of classes. Returns the pixels that may differ, as their two best scores are closer than f32 tells. */
function compareClasses({ dims, data }: Tensor, want: Tensor): number {
  const [, classes, h, w] = dims as [number, number, number, number];
  const [height, width] = want.dims as [number, number];
  const map = atOnce(bestClasses(data, classes, { width: w, height: h }, { width, height }));
  let ties = 0;
  for (let i = 0; i < want.data.length; i++) {
    if (map.labels[i] === want.data[i]) continue;
    const scores = Array.from({ length: classes }, (_, c) => scoreAt(c, i % width, Math.floor(i / width)));
    const [own, other] = [scores[map.labels[i]!]!, scores[want.data[i]!]!];
    assert.ok(Math.abs(own - other) < 1e-5 * Math.abs(own), `pixel ${i}: ${map.labels[i]} in place of ${want.data[i]}`);
    ties++;
  }
  const masks = atOnce(masksOf(map));
  for (const [i, { index, area, box }] of map.regions.entries()) {
    assert.equal(
      masks[i]!.reduce((sum, x) => sum + x, 0),
      area,
      "an area is what its mask covers",
    );
    const places = [...masks[i]!.keys()].filter((at) => masks[i]![at] === 1);
    assert.ok(places.every((at) => map.labels[at] === index));
    assert.equal(box.xmin, Math.min(...places.map((at) => at % width)));
    assert.equal(box.xmax, Math.max(...places.map((at) => at % width)) + 1);
    assert.equal(box.ymin, Math.floor(places[0]! / width));
    assert.equal(box.ymax, Math.floor(places.at(-1)! / width) + 1);
  }
  return ties;

  /** Bilinear, as in PyTorch. */
  function scoreAt(c: number, x: number, y: number): number {
    const [sx, sy] = [Math.max(((x + 0.5) * w) / width - 0.5, 0), Math.max(((y + 0.5) * h) / height - 0.5, 0)];
    const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
    const at = (i: number, j: number) => data[(c * h + Math.min(j, h - 1)) * w + Math.min(i, w - 1)]!;
    const [u, v] = [sx - x0, sy - y0];
    return (
      (at(x0, y0) * (1 - u) + at(x0 + 1, y0) * u) * (1 - v) + (at(x0, y0 + 1) * (1 - u) + at(x0 + 1, y0 + 1) * u) * v
    );
  }
}

// From JPEG files, of which one is turned by its EXIF orientation 6 and one mirrored by 8 of XMP, one is gray.
for (const folder of dptFolders(OWN)) {
  test(`${folder} gives its library's results on photos`, async (t) => {
    using model = await load(join(OWN, folder), { backend: "wasm" });
    const results = tensorsOf(readFileSync(join(OWN, folder, "photos.safetensors")), folder);
    assert.ok(results.size >= 4);
    for (const [file, want] of results) {
      const [height, width] = want.dims as [number, number];
      const photo = join("tests/fixtures/image", file);
      if (model.tasks.includes("depth")) {
        const map = await model.depth(photo);
        assert.deepEqual([map.width, map.height], [width, height], file);
        const magnitude = want.data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
        assertClose(map.data, want.data, 3e-5 * magnitude, file);
      } else {
        const { segments, ...size } = await model.segment(photo);
        assert.deepEqual(size, { width, height }, file);
        const labels = new Int32Array(width * height).fill(-1);
        for (const { index, mask } of segments) {
          for (const [i, inside] of mask.data.entries()) {
            if (inside) {
              assert.equal(labels[i], -1, "a pixel is in one segment");
              labels[i] = index;
            }
          }
        }
        const different = labels.reduce((sum, label, i) => sum + Number(label !== want.data[i]), 0);
        t.diagnostic(`${file}: ${different} of ${labels.length} pixels differ`);
        assert.ok(different <= 2, `${file}: ${different} pixels differ`);
      }
    }
  });
}
