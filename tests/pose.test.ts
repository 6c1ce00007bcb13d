/** Poses by ViTPose and ViTPose+, against transformers: stages, crops to the byte, places of keypoints, and photos. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { cropPlaceOf } from "../src/image/affine.js";
import { parsePreprocessing, toModel, toSeen } from "../src/image/index.js";
import { cropsOf, valuesOfSeen } from "../src/image/preprocess.js";
import { type Box, load, type Tensor } from "../src/index.js";
import { peaksOf } from "../src/tasks/keypoints.js";
import { assertClose } from "./backend.cases.js";
import { caseOf, compareStages, DENSE_ROOTS, goldenOf } from "./dense.js";

const isPose = (folder: string) => /^hf-vitpose/.test(basename(folder));

/** A box of COCO: left, top, width, height. */
const boxOf = ([x, y, width, height]: readonly number[]): Box => ({
  ...{ xmin: x!, ymin: y!, xmax: x! + width!, ymax: y! + height! },
});

/** Boxes of a call in Python, all of them. */
const boxesOf = (call: string): Box[] =>
  (JSON.parse(/boxes=(\[\[\[.*?\]\]\])/.exec(call)![1]!) as number[][][]).flat().map(boxOf);

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`poses of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isPose)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, (t) =>
        compareStages(folder, { backend }, {
          post(model, got, golden, { file, post }) {
            if (!post) return;
            const [height, width] = model.config.imageSize;
            const boxes = boxesOf(post.call);
            // The library's own heatmaps give its own places; ours give nearly those.
            for (const [heatmaps, nearly] of [
              [golden.get("heatmaps")!, 2e-4],
              [got.heatmaps as Tensor, 0.02],
            ] as const) {
              const poses = peaksOf(heatmaps, boxes, { width, height });
              let largest = 0;
              for (const [i, peaks] of poses.entries()) {
                const want = golden.get(`post.${i}.keypoints`)!.data;
                const scores = golden.get(`post.${i}.scores`)!.data;
                for (const [k, { x, y, score }] of peaks.entries()) {
                  largest = Math.max(largest, Math.abs(x - want[2 * k]!), Math.abs(y - want[2 * k + 1]!));
                  assertClose(Float32Array.of(score), Float32Array.of(scores[k]!), 3e-5, `${file} score ${i}.${k}`);
                }
                const [cx, cy, sx, sy] = golden.get(`post.${i}.bbox`)!.data as unknown as number[];
                const { center, scale } = cropPlaceOf(boxes[i]!, { width, height });
                assertClose(Float32Array.from(center), Float32Array.of(cx!, cy!), 1e-4, `${file} center`);
                assertClose(Float32Array.from(scale), Float32Array.of(sx! - cx! + 1, sy! - cy! + 1), 1e-4, `${file} scale`);
              }
              t.diagnostic(`${file}: keypoints differ by up to ${largest.toExponential(1)} pixels`);
              assert.ok(largest <= nearly, `${file}: keypoints differ by up to ${largest} pixels`);
            }
          },
        }));
    }
  }
}

// Crops by the library's processors.
for (const { root, skip } of DENSE_ROOTS.slice(1)) {
  const folder = join(root, "image-processors");
  test(`crops are those of VitPoseImageProcessor in ${folder}`, { skip }, async () => {
    const { pipelines, photos } = JSON.parse(readFileSync(join(folder, "photos.json"), "utf8"));
    const entry = pipelines.find(({ pipeline }: { pipeline: string }) => pipeline === "vitpose");
    const golden = goldenOf(folder, "photos.safetensors");
    for (const processor of ["pillow", "torchvision"] as const) {
      const preprocessing = parsePreprocessing(entry.config, {}, [64, 48], { processor });
      for (const { photos: keys, backends } of entry.results) {
        const all: number[] = [];
        const { tensors, float32_sha256 } = backends[processor === "pillow" ? "pil" : "torchvision"];
        for (const [i, key] of keys.entries()) {
          const { width, height } = photos.find((photo: { key: string }) => photo.key === key);
          const image = { width, height, data: Uint8Array.from(golden.get(`decoded.${key}`)!.data) };
          const boxes = entry.arguments.boxes[i].map(boxOf);
          for (const crop of cropsOf(toSeen(image, { ...preprocessing, boxes }))) {
            assert.deepEqual(
              Float32Array.from(crop.data),
              golden.get(tensors[all.length / (3 * 64 * 48)])!.data,
              `${processor} ${key}`,
            );
            all.push(...valuesOfSeen(crop, preprocessing));
          }
        }
        const bytes = new Uint8Array(Float32Array.from(all).buffer);
        assert.equal(createHash("sha256").update(bytes).digest("hex"), float32_sha256, processor);
      }
    }
  });
}
