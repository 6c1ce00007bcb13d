/**
 * The real ViT-Ti/16 on a GPU: photos from their JPEG bytes against timm's logits, in f32 and f16, and against SIMD's in int8.
 * Software adapters take a second a photo, so a few have to do unless VITRAIL_PHOTOS says how many.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { load } from "../src/index.js";
import { gpuForTests } from "./gpu.js";
import { readTensors } from "./tensors.js";

const root = "../shared/models/vit-tiny-patch16-224";
const photos = "../shared/images/imagenet";
const gpu = await gpuForTests();
const slow = "name" in gpu && /swiftshader/i.test(gpu.name) ? "SwiftShader takes 5 seconds a photo" : undefined;
const lacking = existsSync(root) ? undefined : `${root} is absent: the checkpoint is not part of the package`;
const skip = ("reason" in gpu ? gpu.reason : undefined) ?? slow ?? lacking ?? false;

const COUNT = Number(process.env.VITRAIL_PHOTOS ?? 8);
const best = (x: Float32Array) => x.indexOf(Math.max(...x));

suite(`ViT-Ti/16 on ${"name" in gpu ? gpu.name : "a GPU"}`, { skip }, () => {
  for (const precision of ["f32", "f16", "int8"] as const) {
    test(`${precision}: classes and logits of photos`, async () => {
      const all = JSON.parse(readFileSync(`${root}/golden/logits.json`, "utf8")) as { files: string[] };
      const files = all.files.slice(0, COUNT);
      const golden = readTensors(`${root}/golden/logits.safetensors`).get("logits")!.data;
      using model = await load(`${root}/timm`, { backend: "webgpu", precision });
      using simd = await load(`${root}/timm`, { backend: "wasm", precision });
      let agree = 0;
      let worst = 0;
      let sum = 0;
      for (const [i, file] of files.entries()) {
        const inputs = { pixelValues: await simd.preprocess(`${photos}/${file}`) };
        const { data: found } = (await model.forward(inputs)).logits;
        const expected =
          precision === "int8" ? (await simd.forward(inputs)).logits.data : golden.subarray(i * 1000, (i + 1) * 1000);
        agree += Number(best(found) === best(expected));
        for (let j = 0; j < 1000; j++) {
          const difference = Math.abs(found[j]! - expected[j]!);
          worst = Math.max(worst, difference);
          sum += difference;
        }
      }
      const mean = sum / (1000 * files.length);
      console.log(
        `${precision}: top-1 agrees on ${agree}/${files.length}, logits differ by ${mean.toExponential(2)}, at most ${worst.toExponential(2)}`,
      );
      if (precision === "f32") assert.ok(agree === files.length && worst <= 1e-3, `${agree} agree, within ${worst}`);
      if (precision === "f16") assert.ok(agree >= 0.99 * files.length, `${agree} agree`);
      // As far as two runs whose last bit differs (vit-tiny.test.ts).
      if (precision === "int8") assert.ok(agree >= 0.96 * files.length && mean < 0.1, `${agree} agree, mean ${mean}`);
    });
  }
});
