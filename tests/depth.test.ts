/** Depth and semantic segmentation by DPT heads, against transformers: stages, post-processing, and photos. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { atOnce } from "../src/image/slices.js";
import { type LoadOptions, load, type OutputName, type Tensor } from "../src/index.js";
import { bestClasses, masksOf, resizeBicubic } from "../src/tasks/maps.js";
import { assertClose } from "./backend.cases.js";
import { compareStages, DENSE_ROOTS, type DenseGolden, goldenOf, toleranceOf } from "./dense.js";

/** Folders of models with a DPT head. */
const isDpt = (folder: string) => /^hf-(depth-anything|dpt-)/.test(basename(folder));

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`depth of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isDpt)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, (t) => comparePost(t, folder, { backend }));
    }
  }
}

/** Compares stages, then results in the sizes of photos. */
export const comparePost = (t: TestContext, folder: string, options: LoadOptions) =>
  compareStages(folder, options, {
    post(_, got, golden, entry) {
      for (const [key, want] of golden) {
        if (key === "post.0.predicted_depth") compareDepth(got, want, entry);
        if (key === "post.0.segmentation") {
          const ties = compareClasses(got.logits as Tensor, want);
          t.diagnostic(`${entry.file}: ${ties} pixels of ${want.data.length} have two best classes within f32's error`);
        }
      }
    },
  });

function compareDepth(got: Partial<Record<OutputName, Tensor | Tensor[]>>, want: Tensor, entry: DenseGolden): void {
  const { dims, data } = got.predictedDepth as Tensor;
  const [height, width] = want.dims as [number, number];
  const map = atOnce(resizeBicubic(data, { width: dims[2]!, height: dims[1]! }, { width, height }));
  assertClose(map, want.data, toleranceOf(want, "predicted_depth", entry), `${entry.file} post-processed`);
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
for (const folder of DENSE_ROOTS[0]!.folders.filter(isDpt)) {
  test(`${basename(folder)} gives its library's results on photos`, async (t) => {
    assert.ok(existsSync(join(folder, "photos.safetensors")));
    using model = await load(folder, { backend: "wasm" });
    for (const [file, want] of goldenOf(folder, "photos.safetensors")) {
      const [height, width] = want.dims as [number, number];
      const photo = join("tests/fixtures/image", file);
      if (model.tasks.includes("depth")) {
        const map = await model.depth(photo);
        assert.deepEqual([map.width, map.height], [width, height], file);
        assertClose(map.data, want.data, toleranceOf(want, "", { file }), file);
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
